"""Matches ids that differ only in how programs wrote numbers, and names why ids do not match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from fuserank_export.sources.report import InputError, RowReport, shorten

_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0+")
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
_WHOLE = re.compile(r"-?\d+(?:\.0+)?")
DEFAULT_MAX_UNKNOWN_SHARE = 0.5  # shops delete items; a log of which most is unknown is of another catalogue
EXAMPLES = 3


def without_fraction(identifier: str) -> str:
    """Returns an id without the `.0` that pandas writes behind integers beside missing values."""
    match = _WHOLE_FLOAT.fullmatch(identifier)
    return match[1] if match else identifier


def is_meant(identifier: str, is_named: Callable[[str], bool]) -> bool:
    """Returns whether an id is named, as it is written or as `rename_float_ids` may write it when all ids are read."""
    return is_named(identifier) or is_named(without_fraction(identifier))


def rename_float_ids(identifiers: Iterable[str]) -> dict[str, str]:
    """Returns the new names of ids such as 7000.0, if all ids are whole numbers; none otherwise."""
    identifiers = list(identifiers)
    if not all(map(_WHOLE.fullmatch, identifiers)):
        return {}
    return {name: short for name in identifiers if (short := without_fraction(name)) != name}


def note_renamed(report: RowReport, column: str, renamed: Mapping[str, str]) -> None:
    """Notes in the report that ids of users were renamed, without naming one."""
    if renamed:
        report.notes.append(f"{column}: {len(renamed):,} ids such as 7.0 are taken for whole numbers")


@dataclass
class ItemIds:
    """The ids of a catalogue, looked up as a log writes them.

    Attributes:
        ids: By row number.
        matched: Ids of a log that only met their item without `.0`, and the item's id.
    """

    ids: pd.Index[str]
    matched: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lists the ids that are written otherwise without a fraction."""
        rows: dict[str, int] = {}
        for row, identifier in enumerate(self.ids):
            if (short := without_fraction(identifier)) != identifier:
                rows[short] = -1 if short in rows else row
        self._rows = rows

    def find(self, identifiers: npt.NDArray[np.object_]) -> npt.NDArray[np.int32]:
        """Returns the row of each id, int32 `[ids]`; -1 where the catalogue has none."""
        rows = self.ids.get_indexer(pd.Index(identifiers, dtype=object)).astype(np.int32)
        for place in np.flatnonzero(rows < 0).tolist():
            row = self._row_without_fraction(identifiers[place])
            if row >= 0:
                rows[place] = row
                self.matched[identifiers[place]] = self.ids[row]
        return rows

    def _row_without_fraction(self, identifier: str) -> int:
        """The row of the only id that is the same without a fraction; -1 where there is none, or two."""
        short = without_fraction(identifier)
        whole, with_fraction = int(self.ids.get_indexer(pd.Index([short], dtype=object))[0]), self._rows.get(short)
        if with_fraction is None:
            return whole
        return with_fraction if whole < 0 else -1

    def note_matches(self, report: RowReport) -> None:
        """Notes in the report which ids met their item only without `.0`."""
        if self.matched:
            identifier, item_id = next(iter(self.matched.items()))
            report.notes.append(
                f"item_id: {len(self.matched):,} ids are written as decimal numbers: {identifier} is item {item_id}"
            )


def explain_unknown(unknown: Iterable[str], known: Sequence[str]) -> str:
    """Returns the likely reason why ids are not in the catalogue, with an example; empty if none is seen."""
    unknown = sorted(unknown)
    if (rounded := next(filter(_ROUNDED.fullmatch, unknown), None)) is not None:
        return f"{rounded} is a number that a spreadsheet rounded: its digits are lost; export ids as text"
    for reason, fold in _REASONS.items():
        by_folded = {fold(identifier): identifier for identifier in known}
        for identifier in unknown:
            if (match := by_folded.get(fold(identifier))) is not None:
                return f"{shorten(identifier, 60)} would be {shorten(match, 60)} {reason}"
    return ""


_REASONS: Mapping[str, Callable[[str], str]] = {
    "but for leading zeros, which a spreadsheet or pandas drops from numbers: write ids as text": (
        lambda identifier: without_fraction(identifier).lstrip("0")
    ),
    "but for capital letters: write ids alike": str.casefold,
    "but for marks and spaces inside: write ids alike": lambda identifier: re.sub(r"[\W_]", "", identifier).casefold(),
    "but for what stands before its last mark: write ids alike": lambda identifier: re.split(r"[^\w]|_", identifier)[
        -1
    ],
}


def check_unknown(report: RowReport, known: Sequence[str], max_share: float) -> None:
    """Raises an error when too many valid rows of a log name items that the catalogue has not; else notes why.

    Args:
        report: The counts of the log.
        known: The catalogue's ids.
        max_share: The largest accepted share of such rows, 0 to 1.

    Raises:
        InputError: With three ids of each side and the likely reason.
    """
    if not report.unknown_item:
        return
    valid = report.kept + report.impressions + report.unknown_item
    reason = explain_unknown(report.unknown_item_ids, known)
    if report.unknown_item <= max_share * valid:
        if reason:
            report.notes.append(f"item_id: {reason}")
        return
    log, catalogue = (
        ", ".join(shorten(identifier, 60) for identifier in sorted(ids)[:EXAMPLES])
        for ids in (report.unknown_item_ids, known)
    )
    raise InputError(
        f"{report.file}: {report.unknown_item:,} of {valid:,} rows ({report.unknown_item / valid:.1%}) name items that "
        f"the catalogue has not; allowed: {max_share:.1%}.\n  the log has {log}\n  the catalogue has {catalogue}\n"
        + (f"  {reason}\n" if reason else "")
        + "Give the catalogue that the log is of, or allow a larger share with --max-unknown-items."
    )
