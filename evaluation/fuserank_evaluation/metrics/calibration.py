"""Whether a predicted probability comes true as often as it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error

from fuserank_evaluation.datasets.cases import RankingCases, Rows

BINS = 15
HEADS = ("click", "purchase")


@dataclass(frozen=True)
class Probabilities:
    """What a ranker predicts for one case.

    Attributes:
        rows: The candidates, int32 `[candidates]`.
        of: Probability of each by head, float32 `[candidates]`; a head that is not trained is left out.
    """

    rows: Rows
    of: Mapping[str, NDArray[np.float32]]


class Calibrated(Protocol):
    """An entrant that predicts probabilities, too."""

    def probabilities(self, cases: RankingCases) -> list[Probabilities]:
        """Of each case's candidates."""
        ...


@dataclass(frozen=True)
class Reliability:
    """How one head's probabilities came true.

    Attributes:
        error: Expected calibration error over 15 bins of equal width (Naeini, Cooper, Hauskrecht, AAAI 2015).
        predicted: Mean probability by bin of equally many candidates, float64 `[bins]`.
        observed: Share that came true there, float64 `[bins]`.
    """

    error: float
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]


def reliability(predicted: Sequence[Probabilities], relevant: Sequence[Rows]) -> dict[str, Reliability]:
    """Compares predictions with what happened, over all candidates of all cases.

    In a log of purchases alone, what was clicked is what was bought: both heads have the same answers.
    """
    out = {}
    for head in HEADS:
        pairs = [
            (each.of[head], np.isin(each.rows, right))
            for each, right in zip(predicted, relevant, strict=True)
            if head in each.of
        ]
        if not pairs:
            continue
        chance = np.concatenate([values for values, _ in pairs]).astype(np.float32)
        happened = np.concatenate([right for _, right in pairs])
        error = binary_calibration_error(
            torch.from_numpy(chance), torch.from_numpy(happened.astype(np.int64)), n_bins=BINS, norm="l1"
        )
        observed, mean = calibration_curve(happened, chance, n_bins=BINS, strategy="quantile")
        out[head] = Reliability(float(error), mean, observed)
    return out
