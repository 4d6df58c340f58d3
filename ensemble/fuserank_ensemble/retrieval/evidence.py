"""The evidence for fused candidates: the rank and the score that each channel gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.channel import RankedItems

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """What the channels know of the candidates; NaN where a channel did not list one.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        scores: The score in each channel's list, by channel name, float32 `[candidates]`.
        ranks: The position from 0 in each channel's list, by channel name, float32 `[candidates]`.
        votes: The sum of the channels' votes, float32 `[candidates]`; None where they were not counted.
    """

    rows: NDArray[np.int32]
    scores: dict[str, FloatArray]
    ranks: dict[str, FloatArray]
    votes: FloatArray | None = None

    def reweighed(self, worth: NDArray[np.float64], depth: int) -> Evidence:
        """Returns the first `depth` candidates by their votes times their worth, float64 `[candidates]`.

        The others follow as they stood.
        """
        assert self.votes is not None
        votes = (self.votes * worth).astype(np.float32)
        order = np.argsort(-votes[:depth], kind="stable")
        order = np.concatenate([order, np.arange(len(order), len(votes))])
        scores = {name: values[order] for name, values in self.scores.items()}
        ranks = {name: values[order] for name, values in self.ranks.items()}
        return Evidence(self.rows[order], scores, ranks, votes[order])


class RowTable:
    """Finds rows in short lists by one table over the catalogue, kept from call to call.

    For lists of a few hundred rows that is several times faster than sorting them. One instance serves one thread.
    """

    def __init__(self, items: int) -> None:
        self._position = np.full(items, -1, np.int32)

    def unique(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Returns the distinct rows in the order of their first occurrence, and each row's position among them."""
        position = self._position
        # Backwards, so that the first occurrence of a row is the one that stays.
        position[rows[::-1]] = np.arange(len(rows) - 1, -1, -1, dtype=np.int32)
        distinct = rows[position[rows] == np.arange(len(rows))]
        position[distinct] = np.arange(len(distinct), dtype=np.int32)
        positions: NDArray[np.int32] = position[rows]
        position[distinct] = -1
        return distinct, positions

    def locate(self, rows: NDArray[Any], among: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns each row's position in `among`, which has no repeats; -1 where it is not there."""
        self._position[among] = np.arange(len(among), dtype=np.int32)
        positions: NDArray[np.int32] = self._position[rows]
        self._position[among] = -1
        return positions


def gather_evidence(
    rows: NDArray[np.int32], votes: FloatArray, lists: Mapping[str, RankedItems], table: RowTable
) -> Evidence:
    """Looks the candidates up in every channel's whole list, also beyond the depth to which it voted.

    Args:
        rows: The candidates, int32 without repeats `[candidates]`.
        votes: The sum of their votes, float32 `[candidates]`.
        lists: Each channel's list.
        table: Of the catalogue that the rows are from.
    """
    ranks = np.full((len(lists), len(rows)), np.nan, np.float32)
    scores = np.full((len(lists), len(rows)), np.nan, np.float32)
    if lists:
        positions = table.locate(np.concatenate([ranked.rows for ranked in lists.values()]), rows)
        entries = np.flatnonzero(positions >= 0)
        ends = np.cumsum([len(ranked) for ranked in lists.values()])
        channel = np.searchsorted(ends, entries, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        ranks[channel, positions[entries]] = entries - starts[channel]
        scores[channel, positions[entries]] = np.concatenate([ranked.scores for ranked in lists.values()])[entries]
    return Evidence(rows, dict(zip(lists, scores, strict=True)), dict(zip(lists, ranks, strict=True)), votes)
