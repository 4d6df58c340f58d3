"""Trains the ranker on what lies before the cut, as the export trains it, and enters it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble.contract import HEADS
from ensemble.retrieval.index import Learned
from export.learning import popularity_before
from export.training.train import MIN_POSITIVES, objective, train_ranker
from relevance.cases import SEED
from relevance.grocery import Grocery
from relevance.ranker import Ranker
from relevance.retrieved import Retrieved


def trained_ranker(grocery: Grocery, retrieved: Retrieved, advanced: Callable[[str, int, int], None]) -> Ranker:
    """The bundle's kind of ranker, of a log that ends at the cut: nothing of the test's window is there to be seen."""
    log, shop = grocery.known_log, grocery.shop
    known: list[Learned] = []

    def learned_before(moment: float) -> Learned:
        if not known:
            known.append(grocery.learned(moment))
        return replace(known[0], popularity=popularity_before(log, shop, moment))

    builder = grocery.builder(grocery.cut)
    model, report = train_ranker(log, shop, builder, learned_before, seed=SEED, advanced=advanced)

    def score(features: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = model(torch.from_numpy(features))[0].numpy()
        return logits

    weights = objective(report)
    trained = tuple(head for head in HEADS if report.heads[head] >= MIN_POSITIVES)
    return Ranker(retrieved, grocery.bundle.spec.candidates, score, tuple(weights[head] for head in HEADS), trained)
