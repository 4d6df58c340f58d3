"""Calibration of predicted probabilities: how often candidates with a predicted probability are really taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error

from fuserank_evaluation.datasets.cases import Rows

BINS = 15
HEADS = ("click", "purchase")


@dataclass(frozen=True)
class Probabilities:
    """What a ranker predicts for one case.

    Attributes:
        rows: The candidates, int32 `[candidates]`.
        by_head: Probability of each candidate by head, float32 `[candidates]`; heads without training are left out.
    """

    rows: Rows
    by_head: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Reliability:
    """A head's reliability diagram.

    Attributes:
        error: Expected calibration error over 15 bins of equal width (Naeini, Cooper, Hauskrecht, AAAI 2015).
        predicted: Mean probability by bin of equally many candidates, float64 `[bins]`.
        observed: Share of each bin's candidates that were relevant, float64 `[bins]`.
    """

    error: float
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]


def measure_reliability(predictions: Sequence[Probabilities], relevant: Sequence[Rows]) -> dict[str, Reliability]:
    """Reliability by head over all candidates of all cases.

    In a log of purchases alone, what was clicked is what was bought: both heads have the same answers.

    Args:
        predictions: The predictions of each case, `[cases]`.
        relevant: Relevant item rows, `[cases]`.
    """
    by_head = {}
    for head in HEADS:
        pairs = [
            (case.by_head[head], np.isin(case.rows, answers))
            for case, answers in zip(predictions, relevant, strict=True)
            if head in case.by_head
        ]
        if not pairs:
            continue
        predicted = np.concatenate([values for values, _ in pairs]).astype(np.float32)
        observed = np.concatenate([is_relevant for _, is_relevant in pairs])
        error = binary_calibration_error(
            torch.from_numpy(predicted), torch.from_numpy(observed.astype(np.int64)), n_bins=BINS, norm="l1"
        )
        observed_share, mean_predicted = calibration_curve(observed, predicted, n_bins=BINS, strategy="quantile")
        by_head[head] = Reliability(float(error), mean_predicted, observed_share)
    return by_head
