"""Words queries as people do: with slips, fillers and words left out, or in another order.

A ranker that only ever sees a shop's own names learns that every candidate matches, so that popularity decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

# How often each way is taken; what is left are queries as the shop names things.
SHARES: Mapping[str, float] = {"slip": 0.15, "filler": 0.12, "fewer_words": 0.1, "other_order": 0.06, "number": 0.05}
FILLERS = (
    "{} please", "best {}", "i need {}", "looking for {}", "some {}", "{} for dinner", "{} for my family",
    "where is the {}", "good {}", "do you have {}", "something like {}", "{} for tonight", "really nice {}",
)  # fmt: skip
_NEIGHBOURS = {
    letter: near
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for letter, near in zip(row, [row[i - 1 : i] + row[i + 1 : i + 2] for i in range(len(row))], strict=True)
}
_LEAST_SLIP = 4  # letters of a word that a slip leaves recognisable


def reword(query: str, draw: np.random.Generator) -> str:
    """Returns a query as somebody may have typed it, often as it is; Chinese is left as it is."""
    if not query.isascii() or not query.strip():
        return query
    ways = [*SHARES, "none"]
    way = str(draw.choice(ways, p=[*SHARES.values(), 1.0 - sum(SHARES.values())]))
    return _WAYS[way](query, draw)


def _slip(query: str, draw: np.random.Generator) -> str:
    """One typing error: two letters swapped, one left out, doubled or replaced by its neighbour on the keyboard."""
    words = query.split()
    long_enough = [i for i, word in enumerate(words) if len(word) >= _LEAST_SLIP and word.isalpha()]
    if not long_enough:
        return query
    i = int(draw.choice(long_enough))
    word, at, kind = words[i], int(draw.integers(1, len(words[i]) - 1)), int(draw.integers(4))
    if kind == 0:
        words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        words[i] = word[:at] + word[at + 1 :]
    elif kind == 2:
        words[i] = word[: at + 1] + word[at:]
    else:
        near = _NEIGHBOURS.get(word[at].lower(), word[at])
        words[i] = word[:at] + str(draw.choice(list(near))) + word[at + 1 :]
    return " ".join(words)


def _filler(query: str, draw: np.random.Generator) -> str:
    return str(draw.choice(FILLERS)).format(query)


def _fewer_words(query: str, draw: np.random.Generator) -> str:
    words = query.split()
    if len(words) < 2:
        return query
    del words[int(draw.integers(len(words)))]
    return " ".join(words)


def _other_order(query: str, draw: np.random.Generator) -> str:
    words = query.split()
    return " ".join(words[i] for i in draw.permutation(len(words)))


def _number(query: str, draw: np.random.Generator) -> str:
    """The last word in the other number."""
    del draw
    last = query.rsplit(maxsplit=1)[-1]
    is_plural = len(last) >= _LEAST_SLIP and last.endswith("s") and not last.endswith("ss")
    return query.rstrip()[:-1] if is_plural else f"{query}s"


_WAYS: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "slip": _slip,
    "filler": _filler,
    "fewer_words": _fewer_words,
    "other_order": _other_order,
    "number": _number,
    "none": lambda query, _: query,
}
