"""What a shop declares of how a text file is written; what it does not say is found in the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fuserank_export.layouts.mapping import fold


@dataclass(frozen=True)
class TextFormat:
    """What is declared of a text file.

    Attributes:
        encoding: What it is written in where it is not UTF-8; None guesses.
        delimiter: What stands between cells, one character or several; None finds it.
        skip_lines: How many lines stand before the header; None finds the header.
        header: The names of the columns of a file that has no header; empty where it has one.
    """

    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int | None = None
    header: tuple[str, ...] = ()


FOUND = TextFormat()


@dataclass(frozen=True)
class HeaderNames:
    """The columns by which a header is known.

    Attributes:
        columns: For each column that the file must have, the names that it may have there.
    """

    columns: Sequence[Collection[str]] = ()

    def match(self, cells: Collection[str]) -> bool:
        """Returns whether the cells of a line name all of these columns; False where there are none."""
        folded = {fold(cell) for cell in cells}
        return bool(self.columns) and all(any(fold(name) in folded for name in names) for names in self.columns)
