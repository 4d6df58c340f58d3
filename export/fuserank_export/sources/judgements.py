"""Reads queries and relevance judgements (qrels) as TREC, BEIR and search workbenches write them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuserank_export.sources.columns.cells import CellError, parse_identifier, parse_text
from fuserank_export.sources.formats.dialect import Dialect
from fuserank_export.sources.formats.encoding import BYTE_ORDER_MARK, detect_encoding, open_text
from fuserank_export.sources.formats.rows import note_guess
from fuserank_export.sources.report import DEFAULT_MAX_BAD_SHARE, MAX_EXAMPLES, InputError, RowReport, closest, shorten

_GRADE = re.compile(r"[+-]?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})(e[+-]?\d)?", re.ASCII | re.IGNORECASE)
_JUDGEMENT_FORM = "query_id item_id grade, or query_id 0 item_id grade"
_QUERY_FORM = "query_id<TAB>query"
_QUERY_NAMES = frozenset({"queryid", "qid", "query", "topic", "topicid"})
_ITEM_NAMES = frozenset({"itemid", "corpusid", "docid", "docno", "doc", "documentid", "document", "productid", "sku"})
_GRADE_NAMES = frozenset({"grade", "score", "rating", "relevance", "rel", "label", "judgement", "judgment", "gain"})
_ID_NAMES = frozenset({"id", "queryid", "qid", "topic", "topicid"})
_TEXT_NAMES = frozenset({"query", "text", "querytext", "title"})
ParseLine = Callable[[int, str], bool | None]  # line's number and text -> whether its row is kept; None: no row


@dataclass(frozen=True)
class Judgements:
    """Queries with relevance judgements (qrels).

    Attributes:
        queries: Text by query id, in the file's order.
        grades: Grade by the item's row, by query id; above 0 is relevant. A query without any is left out.
        reports: The counts of the queries' rows and of the judgements' rows.
    """

    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[int, float]]
    reports: tuple[RowReport, RowReport]


def read_judgements(
    queries: str | Path,
    judgements: str | Path,
    catalog_ids: Sequence[str],
    *,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    encoding: str | None = None,
) -> Judgements:
    """Reads and validates both files.

    A valid judgement of an item that the catalogue lacks is not a bad row, because shops delete items. Such rows are
    left out and counted as `unknown_item`. Where an item is judged twice for a query, the last grade holds, with a
    warning in the report.

    Args:
        queries: A query a line: `query_id<TAB>query`, with or without a header; .csv with a comma; .jsonl with `_id` or
            `query_id` and `text` or `query`.
        judgements: A judgement a line: query id, item id and a whole or decimal grade, or TREC's four fields, whose
            second, the iteration, is not read. Separated by tabs, commas or white space. A header may name the columns,
            then in any order and beside others.
        catalog_ids: The catalogue's ids by row number.
        max_bad_share: The largest accepted share of bad rows, of each file.
        encoding: What the files are written in where they are not UTF-8; None guesses.

    Raises:
        InputError: A file cannot be read, too many of its rows are bad, or nothing is left to learn from.
    """
    query_report, judgement_report = RowReport(str(queries)), RowReport(str(judgements))
    texts = _Queries(query_report, Path(queries))
    _read_lines(Path(queries), query_report, texts.add, encoding)
    query_report.check(max_bad_share)
    rows = {item: row for row, item in enumerate(catalog_ids)}
    graded = _Grades(judgement_report, str(queries), texts.texts, rows)
    _read_lines(Path(judgements), judgement_report, graded.add, encoding)
    judgement_report.check(max_bad_share)
    if not graded.grades:
        raise InputError(
            f"{judgements}: found no judgement of an item that the catalogue has in {judgement_report.read:,} rows "
            f"({judgement_report.unknown_item:,} are of unknown items); allowed: one or more. "
            "Use the catalogue's item_id."
        )
    judged = {query_id: text for query_id, text in texts.texts.items() if query_id in graded.grades}
    return Judgements(judged, graded.grades, (query_report, judgement_report))


@dataclass
class _Queries:
    """Collects the queries of a file.

    Attributes:
        report: Gets the bad rows.
        path: The file, whose extension says how a line is written.
        texts: Text by query id.
    """

    report: RowReport
    path: Path
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, number: int, line: str) -> bool | None:
        """Adds a line's query; returns whether it is kept, None where the line is a header."""
        query_id, raw_text = self._split(line)
        if not query_id or raw_text is None:
            self.report.reject(number, "row", line, f"allowed: {_QUERY_FORM}")
            return False
        if not self.texts and _plain(query_id) in _ID_NAMES and _plain(raw_text) in _TEXT_NAMES:
            return None
        problem = ""
        try:
            text = parse_text(raw_text)
        except CellError as error:
            text, problem = None, str(error)
        if text is None:
            self.report.reject(number, "query", raw_text, problem or "missing")
        elif query_id in self.texts:
            self.report.reject(number, "query_id", query_id, "the id of an earlier query; allowed: each once")
        else:
            self.texts[query_id] = text
            return True
        return False

    def _split(self, line: str) -> tuple[str, str | None]:
        """Returns a line's id and text; an empty id or None where it lacks one."""
        names = self.path.name.lower()
        if ".jsonl" in names or ".ndjson" in names:
            try:
                entry = json.loads(line)
            except ValueError:
                return "", None
            values = {_plain(name): value for name, value in entry.items()} if isinstance(entry, dict) else {}
            query_id = next((str(values[name]) for name in ("queryid", "id", "qid") if name in values), "")
            text = next((str(values[name]) for name in ("query", "text", "querytext") if name in values), None)
            return query_id.strip(), text
        if "\t" not in line and ".csv" in names:
            cells = Dialect(",").split(line)
            return (cells[0].strip(), cells[1]) if len(cells) == 2 else ("", None)
        query_id, tab, text = line.partition("\t")
        return query_id.strip(), text if tab else None


@dataclass
class _Grades:
    """Collects the grades of a file.

    Attributes:
        report: Gets the bad rows.
        queries: The queries' file.
        texts: Text by query id.
        rows: Row by item id.
        grades: Grade by the item's row, by query id.
    """

    report: RowReport
    queries: str
    texts: Mapping[str, str]
    rows: Mapping[str, int]
    grades: dict[str, dict[int, float]] = field(default_factory=dict)
    _places: tuple[int, int, int] | None = None  # of query id, item id and grade, where a header names them
    _first: bool = True

    def add(self, number: int, line: str) -> bool | None:
        """Adds a line's grade; returns whether it is kept, None where the line is a header."""
        first, self._first = self._first, False
        if first and self._read_header(line):
            return None
        fields = self._fields(line)
        if fields is None:
            self.report.reject(number, "row", line, f"allowed: {_JUDGEMENT_FORM}")
            return False
        query_id, raw_item, grade = fields
        try:
            item = parse_identifier(raw_item)
        except CellError as error:
            self.report.reject(number, "item_id", raw_item, str(error))
            return False
        if query_id not in self.texts:
            # Looking for a similar name takes milliseconds, so it is done for the examples only.
            near = closest(query_id, self.texts) if self.report.bad < MAX_EXAMPLES else None
            self.report.reject(
                number, "query_id", query_id, f"not in {self.queries}", f"did you mean {near!r}?" if near else ""
            )
        elif not _GRADE.fullmatch(grade):
            self.report.reject(number, "grade", grade, "allowed: a number, such as 2 or 0.5")
        elif item not in self.rows:
            self.report.unknown_item += 1
            self.report.unknown_item_ids.add(item)
        else:
            query_grades = self.grades.setdefault(query_id, {})
            if self.rows[item] in query_grades:
                self.report.warn(number, "item judged again for its query: the last grade holds")
            query_grades[self.rows[item]] = _to_number(grade)
            return True
        return False

    def _read_header(self, line: str) -> bool:
        """Returns whether the first line names the columns, and learns where they are."""
        for cells in _splits(line):
            names = [_plain(cell) for cell in cells]
            places = [
                next((place for place, name in enumerate(names) if name in known), None)
                for known in (_QUERY_NAMES, _ITEM_NAMES, _GRADE_NAMES)
            ]
            query, item, grade = places
            if query is not None and item is not None and grade is not None:
                by_id = next((place for place, name in enumerate(names) if name in _ID_NAMES), query)
                self._places = by_id, item, grade
                return True
        fields = self._fields(line)
        if fields is None or _GRADE.fullmatch(fields[2]) or fields[0] in self.texts:
            return False
        self.report.note(f"the first line is taken for a header: {shorten(line, 80)!r}")
        return True

    def _fields(self, line: str) -> tuple[str, str, str] | None:
        """Returns query id, item id and grade of a line; None where it has not as many fields."""
        whole: tuple[str, str, str] | None = None
        for cells in _splits(line):
            if self._places is not None and len(cells) > max(self._places):
                query, item, grade = self._places
            elif self._places is None and len(cells) in (3, 4):
                query, item, grade = 0, len(cells) - 2, len(cells) - 1
            else:
                continue
            fields = cells[query], cells[item], cells[grade]
            if all(fields) and _GRADE.fullmatch(fields[2]):
                return fields
            whole = whole or (fields if all(fields) else None)
        return whole


def _splits(line: str) -> Iterable[list[str]]:
    """Yields a line's fields as each separator gives them: tabs, commas, semicolons, white space."""
    for delimiter in "\t,;":
        if delimiter in line:
            yield [cell.strip() for cell in Dialect(delimiter).split(line)]
    yield line.split()


def _plain(name: str) -> str:
    """Returns a column's name in lower case, letters alone."""
    return re.sub(r"[^a-z]", "", name.lower())


def _to_number(grade: str) -> float:
    """Returns a grade, as an integer where it is whole."""
    number = float(grade)
    return int(number) if math.isfinite(number) and number.is_integer() else number


def _read_lines(path: Path, report: RowReport, parse_line: ParseLine, encoding: str | None) -> None:
    """Reads a file line by line without blank lines, and counts its rows in the report."""
    try:
        detected = detect_encoding(path, encoding)
        if detected.example:
            note_guess(detected, report)
        with open_text(path, detected, newline="\n") as text:
            for number, marked in enumerate(text, 1):
                line = detected.repair(marked).lstrip(BYTE_ORDER_MARK).rstrip("\r\n")
                if not line.strip():
                    continue
                if detected.undecodable(line):
                    report.reject(number, "row", line[:80], detected.problem, detected.remedy)
                    kept: bool | None = False
                else:
                    kept = parse_line(number, line)
                report.read += kept is not None
                report.kept += kept is True
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of tab-separated lines") from None
