"""Reads a feed in RSS or Atom, as Google Merchant Center and Meta take it, as chunks of text cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO
from xml.parsers import expat

import pandas as pd

from fuserank_export.sources.formats.jsonlines import CHUNK_CHARACTERS, build_chunk
from fuserank_export.sources.report import InputError, RowReport

ROWS = frozenset({"item", "entry"})  # of RSS, and of Atom
_BLOCK_BYTES = 256 * 1024
_ALLOWED = "allowed: a feed in RSS or Atom, whose products are <item> or <entry> elements"


def read_feed(
    stream: BinaryIO,
    report: RowReport,
    select: Callable[[list[str]], list[str]],
    *,
    chunk_rows: int,
    before: int = 0,
) -> Iterator[pd.DataFrame]:
    """Reads the products of a feed.

    A product's elements are its columns, by their names without a namespace (`g:id` is `id`). An element that comes
    several times is a list of texts; one that has elements of its own, such as `g:shipping`, an object.

    Args:
        stream: The file's bytes.
        report: Counts the rows.
        select: Takes the names of all columns and returns those to keep.
        chunk_rows: The most rows in a chunk.
        before: The number of the row before the first, see `RowReport.begin_part`.

    Yields:
        Chunks; the index is the row's number, counted from 1.

    Raises:
        InputError: The file is no XML, declares entities, or has no product.
    """
    rows = _Rows(report.source)
    records: list[dict[str, object]] = []
    number, size, first = before, 0, before + 1
    while block := stream.read(_BLOCK_BYTES):
        rows.feed(block)
        size += len(block)
        records += rows.take()
        if len(records) >= chunk_rows or size >= CHUNK_CHARACTERS:
            while records:
                part, records = records[:chunk_rows], records[chunk_rows:]
                number += len(part)
                report.read += len(part)
                yield build_chunk(part, list(range(number - len(part) + 1, number + 1)), select, report.source)
            size = 0
    rows.close()
    records += rows.take()
    if records:
        report.read += len(records)
        yield build_chunk(records, list(range(number + 1, number + len(records) + 1)), select, report.source)
    elif number + 1 == first:
        raise InputError(f"{report.source}: found no product in {rows.root or 'an empty file'}; {_ALLOWED}")


class _Rows:
    """Collects the rows of a feed while it is parsed."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.root = ""
        self._open: list[tuple[str, dict[str, object], list[str]]] = []  # name, elements and text of open elements
        self._done: list[dict[str, object]] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        # An entity may name others a billion times, or a file of this machine.
        self._parser.EntityDeclHandler = self._refuse_entity

    def feed(self, block: bytes, *, is_last: bool = False) -> None:
        """Parses some of the file."""
        try:
            self._parser.Parse(block, is_last)
        except expat.ExpatError as error:
            raise InputError(f"{self._file}: cannot be read as XML: {error}; {_ALLOWED}. Write it anew") from None

    def close(self) -> None:
        """Parses what is left."""
        self.feed(b"", is_last=True)

    def take(self) -> list[dict[str, object]]:
        """Returns the rows that are complete, each once."""
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self.root = self.root or f"<{local}>"
        if self._open or local in ROWS:
            # Atom writes a link as an attribute.
            self._open.append((local, {}, [attributes.get("href", "")]))

    def _end(self, name: str) -> None:
        del name
        if not self._open:
            return
        local, elements, texts = self._open.pop()
        if not self._open:
            self._done.append(elements)
            return
        value: object = elements or "".join(texts).strip()
        siblings = self._open[-1][1]
        if local in siblings:
            earlier = siblings[local]
            value = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        siblings[local] = value

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise InputError(f"{self._file}: found the entity {name!r} declared; allowed: XML without entities of its own")
