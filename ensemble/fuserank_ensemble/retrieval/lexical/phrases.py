"""The phrases that may be suggested: titles, names and logged queries, those that are one merged."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR, Columns
from fuserank_ensemble.catalog.text import collapse
from fuserank_ensemble.retrieval.lexical.words import MAX_CHARACTERS, split_characters

LONGEST_QUERY = 100  # characters of a logged query that is suggested; nobody would want a longer one
NAMED_BY = ("brand", "category")  # the fields whose values are phrases, too
_LONGEST_KEY = 1_000  # characters of a phrase that a prefix is compared with
_DIGEST_BYTES = 8  # of a key: of a million keys two share one with a probability of 3 in 100 million

Completion = tuple[str, float]


def collect_phrases(
    titles: Sequence[str],
    popularity: NDArray[np.float32],
    queries: Mapping[str, int],
    columns: Columns | None = None,
    spoken: Callable[[str], str] = str,
) -> Iterator[Completion]:
    """Yields the phrases that may be suggested, each with its popularity; `Suggester.write` merges equal ones.

    Args:
        titles: The items' titles `[items]`.
        popularity: The items' popularity `[items]`.
        queries: How often each query was logged.
        columns: The items' fields, whose brands and categories are suggested, too; None for neither.
        spoken: Shortens a title or a name to what may be suggested; empty where nothing of it may.

    Raises:
        ValueError: Where `titles` and `popularity` differ in length.
    """
    if len(titles) != len(popularity):
        raise ValueError(f"titles and popularity: found {len(titles)} and {len(popularity)}; allowed: equally many")
    asked = ((query, float(count)) for query, count in queries.items() if len(query) <= LONGEST_QUERY)
    titled = zip(map(spoken, titles), map(float, popularity), strict=True)
    named = () if columns is None else ((spoken(name), count) for name, count in _names(columns, popularity).items())
    return chain(titled, named, asked)


def _names(columns: Columns, popularity: NDArray[np.float32]) -> dict[str, float]:
    """Returns the brands and the categories' own names, each with the popularity of its items."""
    names: dict[str, float] = {}
    for field in NAMED_BY:
        column = columns.by_name.get(field)
        if column is None or column.kind not in ("keyword", "category"):
            continue
        known = column.values >= 0
        counts = np.bincount(column.values[known], popularity[known], minlength=len(column.words))
        for word, count in zip(column.words, counts.tolist(), strict=True):
            for name in word.split(CATEGORY_SEPARATOR) if column.kind == "category" else (word,):
                names[name] = names.get(name, 0.0) + count
    return names


def phrase_key(text: str) -> str:
    """Returns what phrases that differ in case, punctuation and white space alone have in common."""
    return key_of_words(split_characters(text))


def key_of_words(spelt: Sequence[str]) -> str:
    """Returns the key of a phrase from its words, see `split_characters`."""
    return " ".join(spelt)[:_LONGEST_KEY]


class MergedPhrases:
    """Phrases of which equal ones are one, iterated over from the most popular one on; see `phrase_key`.

    A phrase is written as its heaviest one is, and its popularity is the sum of all. Those without any word are left
    out. Equally popular ones stand in the order of their texts.
    """

    def __init__(self, phrases: Iterable[Completion], folder: Path) -> None:
        """Takes the phrases, one after the other, and a folder on a disk, where their texts lie meanwhile."""
        # In a file and as numbers: strings in lists and a dictionary took 200 bytes each, and a shop has millions.
        self._texts = _Texts(folder)
        digests, weights = array("Q"), array("d")
        for text, weight in phrases:
            # As it is written: what search makes of it is compared, never shown.
            phrase = collapse(text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8"))
            if key := phrase_key(phrase):
                self._texts.append(phrase)
                digest = blake2b(key.encode("utf-8"), digest_size=_DIGEST_BYTES).digest()
                digests.append(int.from_bytes(digest, "little"))
                weights.append(weight)
        weighed = np.asarray(weights, np.float64)
        _, self._heaviest, numbers = np.unique(np.asarray(digests, np.uint64), return_index=True, return_inverse=True)
        # A log or a popularity may be broken; one broken number must not decide the order of all.
        counted = np.where(np.isfinite(weighed) & (weighed > 0), weighed, 0.0)
        self._totals = np.bincount(numbers, counted, minlength=len(self._heaviest))
        self._choose_heaviest(numbers, weighed)

    def __len__(self) -> int:
        return len(self._heaviest)

    def __iter__(self) -> Iterator[Completion]:
        texts, heaviest = self._texts, self._heaviest
        # Sorted twice, the second time in an array: a million pairs to compare took 80 MB.
        by_text = np.array(sorted(range(len(self)), key=lambda number: texts[int(heaviest[number])]), np.int32)
        for number in by_text[np.argsort(-self._totals[by_text], kind="stable")]:
            yield texts[int(heaviest[number])], float(self._totals[number])

    def _choose_heaviest(self, numbers: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Of equal phrases takes the one with the largest weight, and of equal weights the first in their order.

        Args:
            numbers: Which of the distinct phrases each one is, `[phrases]`.
            weights: Its weight, `[phrases]`; may be no number.
        """
        for at in np.flatnonzero(np.bincount(numbers)[numbers] > 1) if len(numbers) else ():
            pair = (int(self._heaviest[numbers[at]]), int(at))
            self._heaviest[numbers[at]] = min((-float(weights[one]), self._texts[one], one) for one in pair)[2]


class _Texts:
    """Texts by number, one behind the other in a file without a name, which goes when nobody reads it."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  open as long as it is read
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        self._ends.append(self._ends[-1] + self._file.write(text.encode("utf-8")))

    def __getitem__(self, number: int) -> str:
        return self._bytes[self._ends[number] : self._ends[number + 1]].decode("utf-8")

    @cached_property
    def _bytes(self) -> mmap.mmap:
        """All of them; none is added from then on."""
        with self._file:
            self._file.flush()
            return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
