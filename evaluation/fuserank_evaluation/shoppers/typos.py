"""Queries with one typing error each, and what the errors cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import SEED

LEAST_LETTERS = 4  # of a word that an error is made in
_NEIGHBOURS = {
    letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, letter in enumerate(row)
}


def _neighbour(word: str, at: int, draw: np.random.Generator) -> str:
    near = _NEIGHBOURS.get(word[at].lower(), word[at])
    return word[:at] + str(draw.choice(list(near))) + word[at + 1 :]


# Each takes a word, the position of a letter that another one follows, and the draws.
ERRORS: Mapping[str, Callable[[str, int, np.random.Generator], str]] = {
    "omitted": lambda word, at, _: word[:at] + word[at + 1 :],
    "doubled": lambda word, at, _: word[: at + 1] + word[at:],
    "swapped": lambda word, at, _: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    "neighbour": _neighbour,
}


@dataclass(frozen=True)
class Misspelling:
    """A query with a typing error.

    Attributes:
        position: Of the query among those that were given.
        error: What was done, of `ERRORS`.
        text: The query with it.
    """

    position: int
    error: str
    text: str


def misspell(texts: Sequence[str], seed: int = SEED) -> Iterator[Misspelling]:
    """Yields every query once with each kind of error, in a word and at a letter drawn at random.

    A query without a word of four Latin letters is left out. What is drawn depends on the query's text and the seed.
    """
    for position, text in enumerate(texts):
        words = text.split()
        long_enough = [
            i for i, word in enumerate(words) if len(word) >= LEAST_LETTERS and word.isascii() and word.isalpha()
        ]
        if not long_enough:
            continue
        draw = np.random.default_rng([seed, crc32(text.encode())])
        for error, make in ERRORS.items():
            i = int(draw.choice(long_enough))
            # A swap of equal letters, or a letter that has no neighbour, is no error: the next place is tried.
            places = draw.permutation(len(words[i]) - 1).tolist()
            typed = next((wrong for at in places if (wrong := make(words[i], at, draw)) != words[i]), None)
            if typed is not None:
                yield Misspelling(position, error, " ".join([*words[:i], typed, *words[i + 1 :]]))


def relative_loss(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """Returns the share of the mean that is lost: 0.1 where 0.8 became 0.72; 0 where there was nothing to lose.

    Args:
        right: A measure of each case without the error, float64 `[cases]`.
        wrong: The same with it.
    """
    before = float(right.mean()) if len(right) else 0.0
    return 1.0 - float(wrong.mean()) / before if before else 0.0
