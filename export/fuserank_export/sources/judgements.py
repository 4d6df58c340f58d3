"""Reads queries and judgements in TREC's formats: `query_id<TAB>query`, and `query_id 0 item_id grade`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuserank_export.sources.columns.cells import CellError, text
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, MAX_EXAMPLES, InputError, RowReport, closest

_GRADE = re.compile(r"[+-]?\d{1,9}", re.ASCII)
Row = Callable[[int, str], bool]  # takes a line's number and text; True where it is kept


@dataclass(frozen=True)
class Judgements:
    """Queries, and what people said of items for them.

    Attributes:
        queries: Text by query id, in the file's order.
        grades: Grade by the item's row, by query id; above 0 is relevant. A query without any is left out.
        reports: What became of the queries' rows and of the judgements' rows.
    """

    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[int, int]]
    reports: tuple[RowReport, RowReport]


def read_judgements(
    queries: str | Path,
    judgements: str | Path,
    catalog_ids: Sequence[str],
    *,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
) -> Judgements:
    """Reads and validates both files.

    A sound judgement of an item that the catalogue lacks is no bad row: shops delete items. Such rows are left out
    and counted as `unknown_item`. Where an item is judged twice for a query, the last one holds, and is counted.

    Args:
        queries: UTF-8, a query a line: `query_id<TAB>query`.
        judgements: UTF-8, a judgement a line: `query_id 0 item_id grade`, parted by tabs, or by any white space
            where no id holds a space. The second field is TREC's iteration, which nothing reads.
        catalog_ids: The catalogue's ids by row number.
        max_bad_share: The largest accepted share of bad rows, of each file.

    Raises:
        InputError: A file cannot be read, too many of its rows are bad, or nothing is left to learn from.
    """
    texts: dict[str, str] = {}
    grades: dict[str, dict[int, int]] = {}
    rows = {item: row for row, item in enumerate(catalog_ids)}
    asked, judged = RowReport(str(queries)), RowReport(str(judgements))

    def query(number: int, line: str) -> bool:
        name, parted, found = line.partition("\t")
        name, problem = name.strip(), ""
        if not parted or not name:
            asked.reject(number, "row", line, "allowed: query_id<TAB>query")
            return False
        try:
            clean = text(found)
        except CellError as error:
            clean, problem = None, str(error)
        if clean is None:
            asked.reject(number, "query", found, problem or "missing")
        elif name in texts:
            asked.reject(number, "query_id", name, "the id of an earlier query; allowed: each once")
        else:
            texts[name] = clean
            return True
        return False

    def judgement(number: int, line: str) -> bool:
        fields = [field.strip() for field in (line.split("\t") if line.count("\t") == 3 else line.split())]
        if len(fields) != 4 or not all(fields):
            judged.reject(number, "row", line, "allowed: query_id 0 item_id grade")
            return False
        name, _, item, grade = fields
        if name not in texts:
            # A look for the nearest name takes milliseconds: for the examples that are kept, not for every row.
            near = closest(name, texts) if judged.bad < MAX_EXAMPLES else None
            judged.reject(number, "query_id", name, f"not in {queries}", f"did you mean {near!r}?" if near else "")
        elif not _GRADE.fullmatch(grade):
            judged.reject(number, "grade", grade, "allowed: a whole number")
        elif item not in rows:
            judged.unknown_item += 1
            judged.unknown_item_ids.add(item)
        else:
            mine = grades.setdefault(name, {})
            if rows[item] in mine:
                judged.warnings["item judged again for its query: the last grade holds"] += 1
            mine[rows[item]] = int(grade)
            return True
        return False

    _read(queries, asked, query)
    asked.check(max_bad_share)
    _read(judgements, judged, judgement)
    judged.check(max_bad_share)
    if not grades:
        raise InputError(
            f"{judgements}: found no judgement of an item that the catalogue has in {judged.read:,} rows "
            f"({judged.unknown_item:,} are of unknown items); allowed: one or more. Use the catalogue's item_id."
        )
    return Judgements({name: texts[name] for name in texts if name in grades}, grades, (asked, judged))


def _read(path: str | Path, report: RowReport, row: Row) -> None:
    try:
        with Path(path).open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if not raw.strip():
                    continue
                report.read += 1
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    report.reject(number, "row", raw[:80].decode("latin-1"), "allowed: UTF-8 text")
                    continue
                report.kept += row(number, line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of tab-separated lines") from None
