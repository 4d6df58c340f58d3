"""What a text tower said of pairs before: a reading is nobody's own, and many people ask the same of the same items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import digest
from fuserank_ensemble.serving.observability.caches import CacheCounter
from fuserank_ensemble.serving.triton import Tensors

READINGS = 65_536  # pairs that are remembered, in 13 MB


@dataclass(frozen=True)
class Unread:
    """A request of the ranker with those of its pairs alone that nobody has read.

    Attributes:
        tensors: The ranker's inputs; what is known of other pairs stands in `READ_BEFORE`.
        keys: The pairs that are left, by row.
    """

    tensors: Tensors
    keys: list[list[bytes]]


class Readings:
    """Remembers the tower's logits by the pairs' tokens, the least used forgotten first. For one thread."""

    def __init__(self, pad: int) -> None:
        """Takes the token id that pads a pair."""
        self._pad = pad
        self._known: LRUCache[bytes, float] = LRUCache(READINGS)
        self.looked = CacheCounter()

    def unread(self, tensors: Tensors) -> Unread:
        """Looks up a request's pairs.

        Args:
            tensors: The ranker's inputs, `[rows, …]`; they are not changed.
        """
        of, ids, types = (tensors[name] for name in ("PAIR_OF", "PAIR_IDS", "PAIR_TYPES"))
        new_ids, new_types = np.full_like(ids, self._pad), np.zeros_like(types)
        new_of, before = np.full_like(of, -1), tensors["READ_BEFORE"].copy()
        keys: list[list[bytes]] = []
        for row, pair_of in enumerate(of):
            pairs = range(int(pair_of.max()) + 1)
            mine = [self._key(ids[row, pair], types[row, pair]) for pair in pairs]
            # One place more, for candidates without a pair, whose -1 is the last.
            known = np.asarray([*(self._known.get(key, np.nan) for key in mine), np.nan], np.float32)
            new = np.flatnonzero(np.isnan(known[:-1]))
            place = np.full(len(known), -1, np.int64)
            place[new] = np.arange(len(new))
            new_of[row] = place[pair_of]
            before[row] = np.where(np.isnan(known[pair_of]), before[row], known[pair_of])
            new_ids[row, : len(new)], new_types[row, : len(new)] = ids[row, new], types[row, new]
            keys.append([mine[pair] for pair in new])
            self.looked.add(len(mine) - len(new), len(new))
        left = {"PAIR_IDS": new_ids, "PAIR_TYPES": new_types, "PAIR_OF": new_of, "READ_BEFORE": before}
        return Unread({**tensors, **left}, keys)

    def keep(self, unread: Unread, reading: NDArray[np.float32]) -> None:
        """Remembers what the tower has said of the pairs that were left; `reading` is `[rows, places]`."""
        for keys, pair_of, said in zip(unread.keys, unread.tensors["PAIR_OF"], reading, strict=True):
            for pair, key in enumerate(keys):
                self._known[key] = float(said[np.argmax(pair_of == pair)])

    def _key(self, ids: NDArray[np.int64], types: NDArray[np.int64]) -> bytes:
        real = ids != self._pad
        return digest(ids[real], types[real])
