"""Counts the rows of an input file: read, kept and rejected, with the reasons.

No row is dropped silently: after a file is read, `rows == kept + impressions + bad + unknown_item`, and those of
`left_out`.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from fuserank_export.errors import ExportError

MAX_EXAMPLES = 20  # bad rows kept in memory; `bad_rows_path` gets them all
PART_LINES = 1 << 40  # more than a file has, so that a line tells the part file of an input that has several
MAX_VALUE_CHARACTERS = 200
PERSONAL = ("user_id", "session_id")  # columns whose cells are not told
WHOLE_ROW = "row"  # the column of a row that cannot be read as one
MAX_TYPES = 40  # columns whose type is printed; the manifest has them all
DEFAULT_MAX_BAD_SHARE = 0.05


class InputError(ExportError, ValueError):
    """An input file or setting cannot be used; the message names it, what was found, what is allowed, what to do."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that was probably meant, ignoring case; None if none is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[near[0]] if near else None


def shorten(value: object, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """Returns a value as text of at most `limit` characters that can be encoded as UTF-8."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = str(value)
        except RecursionError:
            text = f"(a deeply nested {type(value).__name__})"
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text):,} characters)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _describe_size(value: object) -> str:
    """What may be told of a cell that says who somebody is."""
    return f"({len(value):,} characters)" if isinstance(value, str) else f"(a value of type {type(value).__name__})"


@dataclass(frozen=True)
class BadRow:
    """One row that was rejected.

    Attributes:
        file: The file as the caller named it.
        line: The line on which a CSV or JSONL row begins, or the row number in Parquet; counted from 1.
        column: The column at fault, or "row" when the row as a whole cannot be read.
        value: The cell's value, shortened; of a user or a session its length alone.
        reason: What is wrong with it, and what is allowed.
    """

    file: str
    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.column}: found {self.value!r}: {self.reason}"


@dataclass
class RowReport:
    """Counts the rows of one file. Use it as a context manager when `bad_rows_path` is given.

    Attributes:
        file: The file that is read.
        bad_rows_path: Where every bad row is written as JSONL, no file where none is bad; None keeps only the first
            examples.
        read: Rows in the file, without header and blank lines.
        kept: Valid rows; of a log, those of events.
        impressions: Valid rows of a log that are impressions.
        bad: Rows rejected because something in them is wrong.
        unknown_item: Valid rows of a log whose item is not in the catalogue.
        unfolded: Rows beyond those read, since each entry of a list became one.
        left_out: Rows that the mapping of the columns leaves out, by what they are.
        reasons: Bad rows by "column: reason".
        examples: The first `MAX_EXAMPLES` bad rows.
        cleaned: Cells of kept rows in which control characters became spaces.
        marked_up: Cells of kept rows out of which HTML was taken, by column.
        missing: Cells that hold a null marker, by column and marker.
        zero_dates: Cells that hold a zero date, by column.
        types: Types of a catalogue's extra columns.
        warnings: Number of kept rows by warning.
        first_warned: Where each warning was first, as text.
        parts: Names of the part files, of an input that has several, in the order of reading.
        unknown_item_ids: The distinct item ids behind `unknown_item`.
        dropped_columns: Extra columns without a single value.
        notes: What else a reader should know of the file's columns.
        remedy: What to do where too many rows are bad.
    """

    file: str
    bad_rows_path: Path | None = None
    read: int = 0
    kept: int = 0
    impressions: int = 0
    bad: int = 0
    unknown_item: int = 0
    unfolded: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)
    cleaned: int = 0
    marked_up: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    zero_dates: Counter[str] = field(default_factory=Counter)
    types: dict[str, str] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    first_warned: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    unknown_item_ids: set[str] = field(default_factory=set)
    dropped_columns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remedy: str = "Correct the rows, or allow a larger share of bad rows."
    _sink: TextIO | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        if self.bad_rows_path is not None:
            # Opened before a bad row comes: a file of an earlier run would be taken for this one's.
            self.bad_rows_path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = self.bad_rows_path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
            if not self.bad and self.bad_rows_path is not None:
                self.bad_rows_path.unlink(missing_ok=True)

    @property
    def rows(self) -> int:
        """Rows read, and those that became of lists in them."""
        return self.read + self.unfolded

    @property
    def bad_share(self) -> float:
        """Bad rows divided by all rows; 0 for a file without rows."""
        return self.bad / self.rows if self.rows else 0.0

    @property
    def missing_by_column(self) -> dict[str, dict[str, int]]:
        """Counts of null markers by column, the most frequent first."""
        columns: dict[str, dict[str, int]] = {}
        for (name, marker), count in self.missing.most_common():
            columns.setdefault(name, {})[marker] = count
        return columns

    @property
    def source(self) -> str:
        """The file that is being read: the latest part, or the file itself."""
        return self.parts[-1] if self.parts else self.file

    def begin_part(self, name: str) -> int:
        """Registers the next part file; returns how far its lines are counted from those of the first part."""
        self.parts.append(name)
        return (len(self.parts) - 1) * PART_LINES

    def locate(self, line: int) -> tuple[str, int]:
        """Returns the file of a line and the line's number there, from 1."""
        part, number = divmod(int(line), PART_LINES)
        return (self.parts[part] if self.parts else self.file), number

    def describe_line(self, line: int) -> str:
        """Returns a line as a person looks it up; names the file where there are several."""
        file, number = self.locate(line)
        return f"line {number} of {file}" if len(self.parts) > 1 else f"line {number}"

    def warn(self, line: int, warning: str) -> None:
        """Counts one row that is kept although something about it is odd, and remembers the first such line."""
        if warning not in self.warnings:
            self.first_warned[warning] = self.describe_line(line)
        self.warnings[warning] += 1

    def note(self, text: str) -> None:
        """Adds a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def reject(self, line: int, column: str, value: object, reason: str, detail: str = "") -> None:
        """Counts one bad row.

        Args:
            line: Its line, counted from 1; of part files, see `begin_part`.
            column: The column at fault.
            value: The cell's value.
            reason: What is wrong; rows with the same reason are counted together.
            detail: More about this row.
        """
        self.bad += 1
        self.reasons[f"{column}: {reason}"] += 1
        if len(self.examples) >= MAX_EXAMPLES and self._sink is None:
            return
        told = _describe_size(value) if column in PERSONAL else shorten(value)
        row = BadRow(*self.locate(line), column, told, f"{reason}; {detail}" if detail else reason)
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(row)
        if self._sink is not None:
            self._sink.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")

    def check(self, max_bad_share: float = DEFAULT_MAX_BAD_SHARE) -> None:
        """Raises an error when too many of the rows are bad.

        Args:
            max_bad_share: The largest accepted share of bad rows, 0 to 1.

        Raises:
            InputError: With the counts, the reasons and the first examples.
        """
        if not 0.0 <= max_bad_share <= 1.0:
            raise InputError(f"max_bad_share: found {max_bad_share!r}; allowed: a share from 0 to 1")
        if self.bad_share <= max_bad_share:
            return
        examples = "\n".join(f"  {row}" for row in self.examples[:5])
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(5))
        raise InputError(
            f"{self.file}: {self.bad:,} of {self.rows:,} rows ({self.bad_share:.1%}) are bad; "
            f"allowed: {max_bad_share:.1%}. Reasons: {reasons}.\n{examples}\n"
            f"{self.remedy}"
        )

    def summary(self) -> dict[str, Any]:
        """Returns the counts as JSON values, for a bundle's manifest."""
        return {
            "file": self.file,
            "parts": len(self.parts) or 1,
            "read": self.read,
            "kept": self.kept,
            "impressions": self.impressions,
            "unfolded": self.unfolded,
            "left_out": dict(self.left_out.most_common()),
            "bad": self.bad,
            "bad_share": round(self.bad_share, 6),
            "reasons": dict(self.reasons.most_common()),
            "unknown_item": self.unknown_item,
            "unknown_item_distinct": len(self.unknown_item_ids),
            "unknown_item_examples": sorted(self.unknown_item_ids)[:5],
            "cleaned": self.cleaned,
            "marked_up": dict(self.marked_up),
            "missing": self.missing_by_column,
            "zero_dates": dict(self.zero_dates),
            "types": dict(self.types),
            "warnings": dict(self.warnings.most_common()),
            "dropped_columns": list(self.dropped_columns),
            "notes": list(self.notes),
            # What a whole row holds may say who somebody is; the list of bad rows beside the bundle has it.
            "examples": [asdict(replace(row, value="") if row.column == WHOLE_ROW else row) for row in self.examples],
        }

    def __str__(self) -> str:
        of_parts = f" ({len(self.parts):,} files)" if len(self.parts) > 1 else ""
        lines = [f"{self.file}{of_parts}: {self.read:,} rows read, {self.kept:,} kept, {self.bad:,} bad"]
        if self.impressions:
            lines[0] += f", {self.impressions:,} impressions"
        if self.unknown_item:
            examples = ", ".join(shorten(item_id, 40) for item_id in sorted(self.unknown_item_ids)[:3])
            lines[0] += f", {self.unknown_item:,} of unknown items"
            lines.append(f"  {len(self.unknown_item_ids):,} items are not in the catalogue, such as {examples}")
        if self.unfolded:
            lines.append(f"  {self.unfolded:,} rows more, since each entry of a list is one")
        lines += [f"  left out: {count:,} × {what}" for what, count in self.left_out.most_common(8)]
        if len(self.left_out) > 8:
            lines.append(f"  left out: {len(self.left_out) - 8:,} more kinds of rows, see the manifest")
        if not self.kept and not self.impressions:
            lines.append("  nothing is left after validation")
        lines += [f"  {count:,} × {reason}" for reason, count in self.reasons.most_common(5)]
        lines += [f"  e.g. {row}" for row in self.examples[:3]]
        if self.cleaned:
            lines.append(f"  {self.cleaned:,} cells had control characters, now spaces")
        if self.marked_up:
            counts = ", ".join(f"{name} {count:,}" for name, count in self.marked_up.items())
            lines.append(f"  HTML was taken out of cells: {counts}; --keep-html keeps the raw text beside it")
        for name, markers in list(self.missing_by_column.items())[:MAX_EXAMPLES]:
            counts = ", ".join(f"{shorten(marker, 40)} {count:,}" for marker, count in markers.items())
            lines.append(f"  {name}: null markers are missing values ({counts}); --keep-null-markers {name} keeps them")
        lines += [f"  {name}: {count:,} zero dates are missing" for name, count in self.zero_dates.items()]
        if self.types:
            named = [f"{shorten(name, 40)} {kind}" for name, kind in self.types.items()]
            more = f" and {len(named) - MAX_TYPES:,} more" if len(named) > MAX_TYPES else ""
            lines.append(f"  types: {', '.join(named[:MAX_TYPES])}{more}; --types COLUMN=TYPE says otherwise")
        for warning, count in self.warnings.most_common():
            first = f", first in {self.first_warned[warning]}" if warning in self.first_warned else ""
            lines.append(f"  note: {count:,} × {warning}{first}")
        if self.dropped_columns:
            lines.append(f"  columns without a value, left out: {', '.join(self.dropped_columns)}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)
