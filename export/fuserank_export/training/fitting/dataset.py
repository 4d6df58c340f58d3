"""Cases as the ranker's inputs and labels, in batches of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fuserank_ensemble.catalog.arrays import release_pages
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.fitting.propensity import propensity_weights

MOST_TIMES = 3  # that a recommendation comes in an epoch
NEARLY = 0.8  # of the cases that an epoch should have are enough not to pass over them once more


class CaseDataset(Dataset[dict[str, Tensor]]):
    """Cases as the ranker's inputs and labels; a batch is taken at once."""

    def __init__(self, cases: Cases, vectors: NDArray[np.float16], least: int = 0) -> None:
        """Takes cases, the text vectors that they name, fp16 `[texts, dim]`, and about how many to learn from at least.

        To learn from, cases that are fewer come as often as it takes, and recommendations, of which a log gives fewer
        than searches, come more often, too.
        """
        self._cases, self._vectors = cases, vectors
        self._weights = propensity_weights(cases.propensities)
        rows = np.arange(len(cases))
        if least:
            recommended = np.isin(cases.kinds, ("user", "discover"))
            times = np.clip(round((~recommended).sum() / max(1, recommended.sum())), 1, MOST_TIMES)
            rows = np.concatenate([rows, *[rows[recommended]] * (int(times) - 1)])
            rows = np.tile(rows, max(1, math.ceil(NEARLY * least / len(rows))))
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, numbers: list[int]) -> dict[str, Tensor]:
        """Returns a batch, instead of its cases one by one: what PyTorch's loader calls where it is there."""
        rows = self._rows[numbers]
        return ranker_inputs(self._cases, self._vectors, rows) | {
            "positions": torch.from_numpy(self._cases.positions[rows]),
            "labels": torch.from_numpy(self._cases.labels[rows]),
            "weights": torch.from_numpy(self._weights[rows]),
        }


def ranker_inputs(cases: Cases, vectors: NDArray[np.float16], rows: NDArray[Any]) -> dict[str, Tensor]:
    """Returns the ranker's inputs for some cases, by the names of its arguments; what is absent is as serving pads it.

    Args:
        cases: The cases.
        vectors: Text vectors, fp16 `[texts, dim]`.
        rows: Which of the cases, int `[batch]`.
    """
    arrays = {
        "features": cases.features[rows],
        "vectors": _gather(vectors, cases.texts[rows]),
        "events": _gather(vectors, cases.events[rows]),
        "moments": cases.moments[rows],
        "reading": cases.reading[rows],
    }
    release_pages(vectors)  # else all of them stay mapped after an epoch
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _gather(vectors: NDArray[np.float16], rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """The vectors of some rows, zeros where a row is below 0, float32."""
    gathered: NDArray[np.float32] = vectors[np.maximum(rows, 0)].astype(np.float32, copy=False)
    gathered[rows < 0] = 0.0
    return gathered
