"""The position's part in a click, learned beside the ranker and not served.

After PAL (Guo et al., PAL: a position-bias aware learning framework for CTR prediction in live recommender systems,
RecSys 2019): a click takes being seen, which depends on the position, and being wanted, which does not. Two towers
are trained together and the first is dropped when serving. Here the two add up in the logit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

POSITIONS = 50  # further down counts as this far down
# Adam moves a weight by about the learning rate a step. A term of several logits, of one weight, would take thousands
# of steps where the ranker, of many weights, takes a hundred: it would learn the bias first.
PACE = 10.0


class PositionBias(nn.Module):
    """A term of the click logit for each position; 0 where the position is unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Embedding(POSITIONS + 1, 1, padding_idx=0)
        nn.init.zeros_(self.weight.weight)

    def forward(self, positions: Tensor) -> Tensor:
        """Maps positions from 1, 0 where unknown, int32 `[batch, candidates]`, to terms of the same shape."""
        terms: Tensor = self.weight(positions.clamp(max=POSITIONS).long()).squeeze(-1) * PACE
        return terms

    def terms(self, positions: NDArray[np.int32], least: int) -> dict[int, float]:
        """What was learned: each position's term less the first one's, of positions with enough data.

        Args:
            positions: Of all candidates learned from, 0 where unknown.
            least: How often a position must have been seen.
        """
        weights = self.weight.weight.detach().cpu().numpy()[:, 0] * PACE
        counts = np.bincount(np.minimum(positions, POSITIONS).ravel(), minlength=POSITIONS + 1)
        enough = [int(place) for place in np.flatnonzero(counts >= least) if place > 0]
        return {place: round(float(weights[place] - weights[enough[0]]), 3) for place in enough}
