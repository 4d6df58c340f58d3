"""The text tower in one process: every operation is on a flat list of (query, text) pairs.

The engine is `PAIR_IDS, PAIR_TYPES [batch, pairs, length] -> TEXT_SCORES [batch, pairs]`. In the ensemble each request
brings its own pairs; here the pairs of all requests of a batch are one list, without padding and without repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.graph.engine import LENGTH_STEP, OnnxEngine
from fuserank_ensemble.graph.tensors import Tensors

MOST_PAIRS = 32  # of one run: lengths differ, and a run is as wide as its longest pair


class PairEngine(Protocol):
    """What scores pairs of query and text."""

    def score(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Returns the logit of each pair, float32 `[pairs]`.

        Args:
            ids: The token ids of each pair, int64 `[length]`.
            types: Their token types.
        """
        ...


class OnnxPairEngine:
    """Runs a text tower's model over a list of pairs, those of like length together."""

    def __init__(
        self, engine: OnnxEngine, pad: int, pool: ThreadPoolExecutor | None = None, share_from: float = 2
    ) -> None:
        """Takes the model.

        Args:
            engine: The model, whose session may run in two threads at once.
            pad: Token id that pads a pair.
            pool: A second thread, for half of the pairs: operators of a small tower are too small to be shared.
            share_from: From how many pairs on the second thread gains more than it costs to reach.
        """
        self._engine, self._pad, self._pool, self._share_from = engine, pad, pool, share_from

    def score(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `PairEngine`."""
        by_length = np.argsort([len(tokens) for tokens in ids], kind="stable")
        shared = self._pool is not None and len(ids) >= self._share_from
        runs = np.array_split(by_length, max(2 if shared else 1, -(-len(ids) // MOST_PAIRS)))
        scores = np.empty(len(ids), np.float32)

        def run(parts: Sequence[NDArray[np.int64]]) -> None:
            for pairs in parts:
                scores[pairs] = self._run([ids[at] for at in pairs], [types[at] for at in pairs])

        if self._pool is None or not shared:
            run(runs)
            return scores
        # Every other one, for long pairs take longer than short ones.
        beside = self._pool.submit(run, runs[1::2])
        try:
            run(runs[::2])
        finally:
            wait([beside])  # whatever happens: it writes into this call's array
        beside.result()
        return scores

    def _run(self, ids: Sequence[NDArray[np.int64]], types: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        length = -(-max(map(len, ids)) // LENGTH_STEP) * LENGTH_STEP
        tokens = np.full((1, len(ids), length), self._pad, np.int64)
        kinds = np.zeros_like(tokens)
        for at, (pair, pair_types) in enumerate(zip(ids, types, strict=True)):
            tokens[0, at, : len(pair)], kinds[0, at, : len(pair)] = pair, pair_types
        scores: NDArray[np.float32] = self._engine.run({"PAIR_IDS": tokens, "PAIR_TYPES": kinds})["TEXT_SCORES"][0]
        return scores


class FlatTextTower:
    """The step `text_tower` over a list of pairs: real pairs are collected, scored, and put back in their places."""

    def __init__(self, tower: PairEngine, pad: int) -> None:
        """Takes what scores pairs, and the token id that pads one."""
        self._tower, self._pad = tower, pad

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """Returns `TEXT_SCORES`, float32 `[rows, pairs]`, of each request; NaN where a place holds no pair."""
        ids, types, places = [], [], []
        scores = [np.full(tensors["PAIR_IDS"].shape[:2], np.nan, np.float32) for tensors in requests]
        for request, tensors in enumerate(requests):
            real = tensors["PAIR_IDS"] != self._pad
            # Up to the last real token: a query may hold the pad token's own name.
            lengths = np.where(real.any(2), real.shape[2] - np.argmax(real[..., ::-1], axis=2), 0)
            for row, place in zip(*np.nonzero(lengths), strict=True):
                length = lengths[row, place]
                ids.append(tensors["PAIR_IDS"][row, place, :length])
                types.append(tensors["PAIR_TYPES"][row, place, :length])
                places.append((request, row, place))
        if places:
            for (request, row, place), score in zip(places, self._tower.score(ids, types), strict=True):
                scores[request][row, place] = score
        return [{"TEXT_SCORES": row} for row in scores]
