"""Reads queries and judgements in TREC's formats: `query_id<TAB>query`, and `query_id 0 item_id grade`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuserank_export.sources.columns.cells import CellError, parse_text
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, MAX_EXAMPLES, InputError, RowReport, closest

_GRADE = re.compile(r"[+-]?\d{1,9}", re.ASCII)
ParseLine = Callable[[int, str], bool]  # line's number and text -> whether its row is kept


@dataclass(frozen=True)
class Judgements:
    """Queries with relevance judgements (qrels).

    Attributes:
        queries: Text by query id, in the file's order.
        grades: Grade by the item's row, by query id; above 0 is relevant. A query without any is left out.
        reports: The counts of the queries' rows and of the judgements' rows.
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

    A valid judgement of an item that the catalogue lacks is not a bad row, because shops delete items. Such rows are
    left out and counted as `unknown_item`. Where an item is judged twice for a query, the last grade holds, with a
    warning in the report.

    Args:
        queries: UTF-8, a query a line: `query_id<TAB>query`.
        judgements: UTF-8, a judgement a line: `query_id 0 item_id grade`, separated by tabs, or by any white
            space where no id holds a space. The second field is TREC's iteration and is not read.
        catalog_ids: The catalogue's ids by row number.
        max_bad_share: The largest accepted share of bad rows, of each file.

    Raises:
        InputError: A file cannot be read, too many of its rows are bad, or nothing is left to learn from.
    """
    texts: dict[str, str] = {}
    grades: dict[str, dict[int, int]] = {}
    rows = {item: row for row, item in enumerate(catalog_ids)}
    query_report, judgement_report = RowReport(str(queries)), RowReport(str(judgements))

    def parse_query(number: int, line: str) -> bool:
        query_id, tab, raw_text = line.partition("\t")
        query_id, problem = query_id.strip(), ""
        if not tab or not query_id:
            query_report.reject(number, "row", line, "allowed: query_id<TAB>query")
            return False
        try:
            text = parse_text(raw_text)
        except CellError as error:
            text, problem = None, str(error)
        if text is None:
            query_report.reject(number, "query", raw_text, problem or "missing")
        elif query_id in texts:
            query_report.reject(number, "query_id", query_id, "the id of an earlier query; allowed: each once")
        else:
            texts[query_id] = text
            return True
        return False

    def parse_judgement(number: int, line: str) -> bool:
        fields = [field.strip() for field in (line.split("\t") if line.count("\t") == 3 else line.split())]
        if len(fields) != 4 or not all(fields):
            judgement_report.reject(number, "row", line, "allowed: query_id 0 item_id grade")
            return False
        query_id, _, item, grade = fields
        if query_id not in texts:
            # Looking for a similar name takes milliseconds, so it is done for the examples only.
            near = closest(query_id, texts) if judgement_report.bad < MAX_EXAMPLES else None
            judgement_report.reject(
                number, "query_id", query_id, f"not in {queries}", f"did you mean {near!r}?" if near else ""
            )
        elif not _GRADE.fullmatch(grade):
            judgement_report.reject(number, "grade", grade, "allowed: a whole number")
        elif item not in rows:
            judgement_report.unknown_item += 1
            judgement_report.unknown_item_ids.add(item)
        else:
            query_grades = grades.setdefault(query_id, {})
            if rows[item] in query_grades:
                judgement_report.warnings["item judged again for its query: the last grade holds"] += 1
            query_grades[rows[item]] = int(grade)
            return True
        return False

    _read_lines(queries, query_report, parse_query)
    query_report.check(max_bad_share)
    _read_lines(judgements, judgement_report, parse_judgement)
    judgement_report.check(max_bad_share)
    if not grades:
        raise InputError(
            f"{judgements}: found no judgement of an item that the catalogue has in {judgement_report.read:,} rows "
            f"({judgement_report.unknown_item:,} are of unknown items); allowed: one or more. "
            "Use the catalogue's item_id."
        )
    judged = {query_id: text for query_id, text in texts.items() if query_id in grades}
    return Judgements(judged, grades, (query_report, judgement_report))


def _read_lines(path: str | Path, report: RowReport, parse_line: ParseLine) -> None:
    """Reads a file line by line without blank lines, and counts its rows in the report."""
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
                report.kept += parse_line(number, line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of tab-separated lines") from None
