"""Texts outside of Python's heap: as objects a million of them take twice as much, and leave holes behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BLOCK = 10_000  # texts that are Python's at a time
_KIND = pa.large_string()


class TextColumn(Sequence[str]):
    """Texts by number, in Arrow's memory; a slice of them shares it."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Takes the texts, one after the other; those of another column are shared."""
        remaining = iter(texts)
        blocks = iter(lambda: list(islice(remaining, BLOCK)), [])
        self._texts: Any = (
            texts._texts
            if isinstance(texts, TextColumn)
            else pa.chunked_array([pa.array(block, _KIND) for block in blocks], _KIND)
        )

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> TextColumn: ...
    def __getitem__(self, number: int | slice) -> str | TextColumn:
        return self._column(self._texts[number]) if isinstance(number, slice) else str(self._texts[int(number)].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK):
            yield from self._texts.slice(start, BLOCK).to_pylist()

    def take(self, numbers: NDArray[Any]) -> list[str]:
        """Returns the texts of some numbers, int `[texts]`."""
        texts: list[str] = self._texts.take(pa.array(numbers)).to_pylist()
        return texts

    def distinct(self) -> tuple[NDArray[np.int32], TextColumn]:
        """Returns each text's number among the distinct ones, int32 `[texts]`, and these in order of first use."""
        encoded = self._texts.combine_chunks().dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int32, copy=False), self._column(
            pa.chunked_array([encoded.dictionary])
        )

    @staticmethod
    def _column(texts: Any) -> TextColumn:
        column = TextColumn()
        column._texts = texts
        return column


class TextNumbers:
    """Finds the number of a text among many, by their hashes: a dictionary would take ten times as much."""

    def __init__(self, texts: TextColumn) -> None:
        """Takes the texts."""
        self._texts = texts
        # Python's own hash differs between processes, but for those that are forked.
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
        self._order = np.argsort(hashes, kind="stable").astype(np.int32)
        self._hashes = hashes[self._order]

    def find(self, text: str) -> int:
        """Returns the last number of a text, -1 where there is none."""
        value = hash(text)
        end = int(np.searchsorted(self._hashes, value, "right"))
        while end and self._hashes[end - 1] == value:
            end -= 1
            number = int(self._order[end])
            if self._texts[number] == text:
                return number
        return -1
