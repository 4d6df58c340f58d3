"""Reads a JSON file that is one list of objects, or one object around such a list, as programs write for `products`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import pandas as pd

from fuserank_export.sources.formats.encoding import BYTE_ORDER_MARK, TextEncoding
from fuserank_export.sources.formats.jsonlines import CHUNK_CHARACTERS, build_chunk, check_record
from fuserank_export.sources.report import InputError, RowReport, shorten

_BLOCK_CHARACTERS = 1024 * 1024
_LONGEST_VALUE = 64 * 1024 * 1024  # characters of one row
# Objects that programs put around the list: answers of Elasticsearch, Solr and of REST interfaces.
_AROUND = frozenset(("hits", "response", "data", "result", "results"))
_ALLOWED = "allowed: a list of objects, an object with one such list, or one object a line"
_decode = json.JSONDecoder().raw_decode


def holds_list(text: TextIO) -> bool:
    """Returns whether a file is one list, or one object around lists; else it has an object a line.

    Args:
        text: The file, from its beginning.
    """
    first = _first_line(text)
    if first.startswith("["):
        return True
    if not first.startswith("{"):
        return False
    try:
        value = json.loads(first)
    except ValueError:
        # An object over several lines; one whose only line is cut off is reported as a row.
        return bool(_first_line(text))
    except RecursionError:
        return False
    if _first_line(text):
        return False
    return (len(value) == 1 and _are_rows(next(iter(value.values())))) or _has_rows_inside(value)


def _first_line(text: TextIO) -> str:
    """Returns the next line that is not blank, without white space around it; empty at the end."""
    return next((line for raw in text if (line := raw.lstrip(BYTE_ORDER_MARK).strip())), "")


def _are_rows(value: Any) -> bool:
    """Whether a value is a list of objects."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _has_rows_inside(value: dict[str, Any]) -> bool:
    """Whether one of the objects that programs put around a list has one, at any depth."""
    around = [inner for name, inner in value.items() if name in _AROUND and isinstance(inner, dict)]
    return any(any(map(_are_rows, inner.values())) or _has_rows_inside(inner) for inner in around)


def read_json_list(
    text: TextIO,
    encoding: TextEncoding,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Reads the objects of a list; of an object around lists, those of its one list of objects.

    Args:
        text: The file's text.
        encoding: What it was decoded with.
        report: Counts the rows, and gets those that cannot be read.
        select: Takes the names of all keys and returns those to keep.
        chunk_rows: The most rows in a chunk.
        before: The number of the row before the first, see `RowReport.begin_part`.

    Yields:
        Chunks as `read_jsonlines`; the index is the row's number, counted from 1.

    Raises:
        InputError: The file is no JSON, or has no list of objects or several.
    """
    values = _Values(text, encoding, report.source)
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    size = 0
    for number, (value, length) in enumerate(_rows(values, report.source), before + 1):
        report.read += 1
        record = check_record(value, number, report)
        if record is None:
            continue
        records.append(record)
        numbers.append(number)
        size += length
        if len(records) >= chunk_rows or size >= CHUNK_CHARACTERS:
            yield build_chunk(records, numbers, select, report.source)
            records, numbers, size = [], [], 0
    if records:
        yield build_chunk(records, numbers, select, report.source)


def _rows(values: _Values, file: str) -> Iterator[tuple[Any, int]]:
    """Yields the rows with the number of their characters."""
    if values.peek() == "[":
        yield from values.elements()
        values.end()
        return
    lists: list[str] = []
    other: list[str] = []
    yield from _rows_of_object(values, file, lists, other)
    values.end()
    if not lists:
        raise InputError(
            f"{file}: found an object with {', '.join(map(repr, other[:10])) or 'no key'} and without a list of "
            f"objects; {_ALLOWED}"
        )


def _rows_of_object(values: _Values, file: str, lists: list[str], other: list[str]) -> Iterator[tuple[Any, int]]:
    """Takes an object; yields the rows of its one list of objects, also inside an object that programs put around it.

    Args:
        values: Stand before the object.
        file: What is read.
        lists: Gets the names of the lists of objects.
        other: Gets the names of all else.
    """
    for name in values.names():
        if values.peek() == "{" and name in _AROUND:
            yield from _rows_of_object(values, file, lists, other)
            continue
        if values.peek() != "[":
            values.value()
            other.append(name)
            continue
        rows = values.elements()
        first = next(rows, None)
        if first is None or not isinstance(first[0], dict):
            for _ in rows:
                pass
            other.append(name)
            continue
        lists.append(name)
        if len(lists) > 1:
            raise InputError(
                f"{file}: found several lists of objects ({', '.join(lists)}); allowed: one. "
                "Write it to a file of its own"
            )
        yield first
        yield from rows


class _Values:
    """The JSON values of a text, one after the other, of which no more is held than one of them."""

    def __init__(self, text: TextIO, encoding: TextEncoding, file: str) -> None:
        self._text, self._encoding, self._file = text, encoding, file
        self._buffer, self._place, self._passed = "", 0, 0

    def peek(self) -> str:
        """Returns the next character that is no white space, without taking it; empty at the end."""
        while True:
            while self._place < len(self._buffer):
                character = self._buffer[self._place]
                if not (character.isspace() or character == BYTE_ORDER_MARK):
                    return character
                self._place += 1
            if not self._fill():
                return ""

    def take(self, expected: str) -> str:
        """Takes the next character, which is one of those expected."""
        found = self.peek()
        if not found or found not in expected:
            raise self._error(f"expected {' or '.join(map(repr, expected))}, found {found or 'the end'!r}")
        self._place += 1
        return found

    def value(self) -> tuple[Any, int]:
        """Takes a whole value; returns it and the number of its characters."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._buffer, self._place)
            except RecursionError:
                raise self._error("nested too deeply") from None
            except ValueError as error:
                # It may go on behind what has been read.
                is_whole = len(self._buffer) - self._place > _LONGEST_VALUE or not self._fill(len(self._buffer))
                if is_whole:
                    raise self._error(str(error)) from None
                continue
            # A number may go on behind what has been read.
            if end < len(self._buffer) or not self._fill():
                length, self._place = end - self._place, end
                return value, length

    def elements(self) -> Iterator[tuple[Any, int]]:
        """Takes a list; yields its elements with the number of their characters."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def names(self) -> Iterator[str]:
        """Takes an object; yields its keys, the value of each of which is to be taken before the next."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            name, _ = self.value()
            self.take(":")
            yield str(name)
            if self.take(",}") == "}":
                return

    def end(self) -> None:
        """Refuses anything more."""
        if self.peek():
            raise self._error("more behind the end of the list")

    def _fill(self, characters: int = 0) -> bool:
        """Reads on, as much again as is held; returns whether there was more."""
        block = self._text.read(max(_BLOCK_CHARACTERS, characters))
        if self._encoding.undecodable(block):
            block = "".join(map(self._encoding.repair, block.splitlines(keepends=True)))
            if self._encoding.undecodable(block):
                raise self._error(f"{self._encoding.problem}; {self._encoding.remedy}")
        self._passed += self._place
        self._buffer, self._place = self._buffer[self._place :] + block, 0
        return bool(block)

    def _error(self, problem: str) -> InputError:
        near = shorten(self._buffer[self._place : self._place + 60], 60)
        place = f"character {self._passed + self._place + 1:,} ({near!r})"
        return InputError(f"{self._file}: cannot be read as JSON at {place}: {problem}; {_ALLOWED}. Write it anew")
