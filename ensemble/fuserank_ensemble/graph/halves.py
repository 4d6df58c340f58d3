"""One request on two cores: a ranker scores each candidate by itself, so two threads may take half of them each.

A text tower gains more by it than by a second thread within its operators, which are too small to share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.serving.triton import Tensors
from fuserank_ensemble.spec import PAIR_TENSORS

OF_CANDIDATES = ("FEATURES", "VECTORS")


@dataclass(frozen=True)
class Halves:
    """A request of one row as two.

    Attributes:
        parts: Inputs of the ranker, each with half of the candidates and their pairs alone.
        read: Of each part's first candidates, where they stand in the request, int64.
        places: Where the candidates of both parts stand in the request, int64 `[candidates]`.
    """

    parts: tuple[Tensors, Tensors]
    read: tuple[NDArray[np.int64], NDArray[np.int64]]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, tensors: Tensors) -> Halves | None:
        """Shares out a request's candidates, so that each text is read once.

        Args:
            tensors: The ranker's inputs `[1, …]`, trimmed.

        Returns:
            None where a half would have no pair, or fewer candidates than the engine has places for pairs.
        """
        of = tensors["PAIR_OF"][0]
        pairs, candidates = int(of.max()) + 1, tensors["FEATURES"].shape[1]
        if pairs < 2 or candidates % 2 or candidates // 2 < len(of):
            return None
        middle, size = (pairs + 1) // 2, candidates // 2
        # What needs no reading goes with the first half: both have room for all places of pairs.
        first, second = np.flatnonzero(of < middle), np.flatnonzero(of >= middle)
        rest = np.arange(len(of), candidates)
        # Those with pairs come first: the engine looks for pairs of the first ones alone.
        shares = np.split(rest, [size - len(first)])
        chosen = [np.concatenate(each) for each in zip((first, second), shares, strict=True)]
        parts = []
        for mine, read, start, end in zip(chosen, (first, second), (0, middle), (middle, pairs), strict=True):
            pair_of, before = np.full_like(tensors["PAIR_OF"], -1), np.full_like(tensors["READ_BEFORE"], np.nan)
            pair_of[0, : len(read)] = np.maximum(of[read] - start, -1)
            before[0, : len(read)] = tensors["READ_BEFORE"][0, read]
            part = {name: tensors[name][:, mine] for name in OF_CANDIDATES}
            part |= {name: tensors[name][:, start:end] for name in PAIR_TENSORS}
            parts.append({**tensors, **part, "PAIR_OF": pair_of, "READ_BEFORE": before})
        return cls((parts[0], parts[1]), (first, second), np.concatenate(chosen))

    def whole(self, outputs: tuple[Tensors, Tensors]) -> Tensors:
        """What the engine answered to the parts `[1, candidates / 2, …]`, as one answer in the request's order."""
        back = np.argsort(self.places)
        names = [name for name in outputs[0] if name != "READING"]
        whole = {name: np.concatenate([part[name] for part in outputs], axis=1)[:, back] for name in names}
        # Not of all candidates, but of the places of pairs.
        read = [part["READING"][:, : len(mine)] for part, mine in zip(outputs, self.read, strict=True)]
        return {**whole, "READING": np.concatenate(read, axis=1)[:, np.argsort(np.concatenate(self.read))]}
