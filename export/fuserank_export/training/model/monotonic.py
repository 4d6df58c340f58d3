"""Holds the ranker to what the domain says: what matches a query better is never worth less.

A hint in the manner of Abu-Mostafa (Hints, Neural Computation 1995): candidates are made better at random, and a score
that falls by it costs what it falls. It holds where training has seen candidates, unlike a network whose weights are
bound to be positive, and leaves every other feature free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from fuserank_ensemble.candidates.features import FeatureLayout

# Columns of which more (1) or less (-1) is never worse; of all others nothing is known beforehand.
DIRECTIONS: Final = {
    "text_score": 1.0,
    "text_rank": -1.0,
    "category_of_query": 1.0,
    "lexical_score": 1.0,
    "lexical_rank": -1.0,
    "missed": -1.0,
}
READING_DIRECTION: Final = 1.0  # of the text tower's logit, which stands behind all columns


class MonotonicHint:
    """The loss of scores that fall where candidates get better.

    Args:
        layout: The ranker's columns.
        scale: Standard deviation of each column and of the reading, `[F + 1]`.
    """

    def __init__(self, layout: FeatureLayout, scale: Tensor) -> None:
        directions = [DIRECTIONS.get(feature.name, 0.0) for feature in layout.features]
        self._step = torch.tensor([*directions, READING_DIRECTION]) * scale

    def improve(self, features: Tensor, reading: Tensor) -> tuple[Tensor, Tensor]:
        """Returns candidates that are better: every other column by up to a standard deviation, drawn for each.

        What is missing stays missing; ranks and missed conditions end at 0.

        Args:
            features: float32 `[batch, candidates, F]`.
            reading: float32 `[batch, candidates]`.
        """
        values = torch.cat([features, reading.unsqueeze(-1)], -1)
        step = self._step.to(values.device)
        drawn = torch.rand_like(values) * (torch.rand_like(values) < 0.5)
        better = values + drawn * step
        better = torch.where(step < 0, better.clamp(min=0.0), better)
        return better[..., :-1], better[..., -1]

    def __call__(
        self, score: Callable[[Tensor, Tensor], Tensor], features: Tensor, reading: Tensor, logits: Tensor
    ) -> Tensor:
        """Returns by how much the logits of all heads fall in the mean where candidates get better.

        Args:
            score: Maps features and reading to logits `[batch, candidates, heads]`.
            features: float32 `[batch, candidates, F]`.
            reading: float32 `[batch, candidates]`.
            logits: Their logits.
        """
        fall: Tensor = torch.relu(logits - score(*self.improve(features, reading))).mean()
        return fall
