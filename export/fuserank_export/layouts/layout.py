"""What a known layout declares of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from fuserank_export.layouts.mapping import FileMapping, LogMapping, find_name, fold

Kind = Literal["catalog", "interactions", "users"]
Prepare = Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]


@dataclass(frozen=True)
class Headless:
    """A file of a layout that has no header.

    Attributes:
        header: The names of its columns.
        patterns: What the cells of each column look like, as regular expressions of whole cells.
    """

    header: tuple[str, ...]
    patterns: tuple[str, ...]

    def fits(self, rows: pd.DataFrame) -> bool:
        """Returns whether rows of text are of such a file."""
        return len(rows.columns) == len(self.patterns) and all(
            re.fullmatch(pattern, str(cell)) is not None
            for place, pattern in enumerate(self.patterns)
            for cell in rows.iloc[:, place]
        )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A known layout of a file.

    Attributes:
        name: What the TOML file calls it.
        title: What a message calls it.
        kind: Whether it is a catalogue or a log.
        signatures: Sets of columns; a file with all columns of one of them has this layout.
        headless: Such files without a header.
        mapping: What each column becomes. Columns that a file has not are left out when a TOML file is written.
        prepare: Takes the chunks of a file and returns them as the mapping expects them: variants joined, cells taken
            apart. A row that is joined to another disappears. None leaves them as they are.
        explained: What the reader prepares, in words, for the TOML file.
        comments: What to know of a column, by our name, for the TOML file.
        left_open: Columns that only the shop can confirm, by our name, and what it has to see to. They are commented
            lines of the TOML file.
        unknown: Columns that no such file has, by our name, and where a shop finds them.
    """

    name: str
    title: str
    kind: Kind
    signatures: tuple[tuple[str, ...], ...]
    mapping: FileMapping | LogMapping
    headless: tuple[Headless, ...] = ()
    prepare: Prepare | None = None
    explained: str = ""
    comments: Mapping[str, str] = field(default_factory=dict)
    left_open: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    def signature(self, columns: Collection[str]) -> tuple[str, ...]:
        """Returns the longest signature of which a file has all columns; none where it has another layout."""
        folded = {fold(name) for name in columns}
        held = [names for names in self.signatures if all(fold(name) in folded for name in names)]
        return max(held, key=len, default=())

    def count_known(self, columns: Iterable[str]) -> int:
        """Returns how many of a file's columns the layout knows."""
        roots = [name.partition(".")[0] for ours in self.mapping.columns for name in self.mapping.names(ours)]
        wanted = [*roots, *(name for names in self.signatures for name in names)]
        return sum(find_name(wanted, column) is not None or self.mapping.ignores(column) for column in columns)
