"""What a shop's TOML file says of its input files: which column is which, and what their values mean."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

import msgspec

IGNORE = "ignore"  # in place of an event's name: rows of that event are left out


class FileMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """How the columns of a file become the product's columns.

    A name on the file's side is a column, or a path with dots into a column of nested values (`properties.sku`). It is
    found in any case, and with spaces, underscores or hyphens between its words.

    Attributes:
        layout: Name of the known layout whose reader prepares the rows, such as `shopify`; None prepares nothing.
        header: The names of the columns of a text file that has no header.
        rows: Path of a list: each of its entries becomes a row of its own.
        pairs: Columns that hold lists of keys and values (`[{"key": …, "value": …}]`); they become objects.
        columns: Our name of a column: the file's name. Of several names, the first with a value in the row counts.
        values: Our name of a column: the file's value: what it means.
        split: Our name of a column: what separates several values in one of its cells.
        only: Our name of a column: the values of the rows to keep. Rows without a value are kept.
        ignore: The file's columns to leave out; `*` and `?` stand for any characters and for one.
    """

    layout: str | None = None
    header: list[str] = []
    rows: str | None = None
    pairs: list[str] = []
    columns: dict[str, str | list[str]] = {}
    values: dict[str, dict[str, str]] = {}
    split: dict[str, str] = {}
    only: dict[str, list[str]] = {}
    ignore: list[str] = []

    def names(self, column: str) -> list[str]:
        """Returns the file's names of one of our columns, the preferred first; its own name where none is given."""
        names = self.columns.get(column, column)
        return [names] if isinstance(names, str) else names

    def ignores(self, column: str) -> bool:
        """Returns whether a column of the file is left out."""
        return any(column == pattern or fnmatchcase(fold(column), fold(pattern)) for pattern in self.ignore)


class LogMapping(FileMapping, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """How the columns and events of a log become the product's.

    Attributes:
        event: The event of every row, where no column names it.
        events: The log's name of an event: ours, or `ignore`.
        other_events: What becomes of events that are neither ours nor in `events`: bad rows, or left out.
    """

    event: str | None = None
    events: dict[str, str] = {}
    other_events: Literal["reject", "ignore"] = "reject"


@lru_cache(maxsize=1 << 16)
def fold(text: str) -> str:
    """Returns a name without case, spaces, underscores and hyphens: by this, names of columns and events are equal."""
    return "".join(character for character in text.casefold() if not character.isspace() and character not in "_-")


def find_name(names: Iterable[str], wanted: str) -> str | None:
    """Returns the name that is `wanted`, or else the first that differs only as `fold` allows; None if none does."""
    by_fold: dict[str, str] = {}
    for name in names:
        if name == wanted:
            return name
        by_fold.setdefault(fold(name), name)
    return by_fold.get(fold(wanted))
