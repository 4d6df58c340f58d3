"""Teaches a small query encoder the vectors that the full encoder makes of the same texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fuserank_export.query_encoder.model import QueryEncoder
from fuserank_export.training.fitting.threads import one_thread

EPOCHS = 8
BATCH = 512  # texts of a step
TABLE_RATE, RESIDUAL_RATE = 1e-2, 1e-3  # of Adam at first; both fall to nothing in a straight line
WARM_STEPS = 50
HELD_OUT = 0.03  # of the texts, on which the report's cosine is measured


@dataclass(frozen=True)
class Distilled:
    """A query encoder that has learned.

    Attributes:
        encoder: The model.
        cosine: Mean cosine with the full encoder's vectors, of texts that it did not see.
        texts: How many it saw.
        seconds: What learning took.
    """

    encoder: QueryEncoder
    cosine: float
    texts: int
    seconds: float


@one_thread()
def distil(
    tokens: Sequence[Sequence[int]],
    vectors: NDArray[np.float32],
    vocabulary: int,
    seed: int,
    advanced: Callable[[int, int], None] = lambda step, steps: None,
) -> Distilled:
    """Teaches a query encoder.

    Args:
        tokens: Token ids of each text, those that stand around every text included.
        vectors: The full encoder's vectors, float32 `[texts, dim]`, L2-normalised.
        vocabulary: How many tokens there are.
        seed: Of the order, and of the first weights.
        advanced: Called with the step that is done and their number.
    """
    started, draw = time.monotonic(), np.random.default_rng(seed)
    torch.manual_seed(seed)
    rows = [torch.tensor(row) for row in tokens]
    targets = torch.from_numpy(vectors)
    encoder = QueryEncoder(_first_table(tokens, targets, vocabulary))
    order = draw.permutation(len(rows))
    held, learned = np.split(order, [max(1, int(len(order) * HELD_OUT))])
    steps = EPOCHS * -(-len(learned) // BATCH)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam([encoder.table], lr=TABLE_RATE),
        torch.optim.Adam(encoder.residual.parameters(), lr=RESIDUAL_RATE),
    ]
    rates = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda step: min((step + 1) / WARM_STEPS, 1.0) * (1 - step / steps))
        for one in optimisers
    ]
    done = 0
    for _ in range(EPOCHS):
        for batch in _batches(draw.permutation(learned)):
            loss = 1.0 - _cosine(encoder, rows, targets, batch).mean()
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimiser, rate in zip(optimisers, rates, strict=True):
                optimiser.step()
                rate.step()
            done += 1
            advanced(done, steps)
    with torch.no_grad():
        cosine = float(_cosine(encoder, rows, targets, held).mean())
    return Distilled(encoder.eval(), round(cosine, 4), len(learned), round(time.monotonic() - started, 1))


def _first_table(tokens: Sequence[Sequence[int]], targets: Tensor, vocabulary: int) -> Tensor:
    """A word that is a text begins with that text's vector; all else begins as nothing.

    So a token that no text has says nothing, and its neighbours decide.
    """
    always = set(tokens[0]).intersection(*tokens)
    table = torch.zeros(vocabulary, targets.shape[1])
    for row, target in zip(tokens, targets, strict=True):
        own = [token for token in row if token not in always]
        if len(own) == 1:
            table[own[0]] = target
    return table


def _cosine(encoder: QueryEncoder, rows: Sequence[Tensor], targets: Tensor, batch: NDArray[np.int64]) -> Tensor:
    """The cosine of each text's vector with the full encoder's, float32 `[batch]`."""
    return (encoder.embed([rows[at] for at in batch]) * targets[batch]).sum(1)


def _batches(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
