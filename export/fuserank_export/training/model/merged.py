"""The ranker as its engine computes it: towers of one build share their matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fuserank_ensemble.candidates.features import SIGNALS
from fuserank_ensemble.contract.options import HEADS
from fuserank_export.training.model.ranker import GATES, PIECES, RANK, WIDTH, Ranker

_BELOW_ALL = -1e30  # a value below every piece: it fills none
_READ = 2 + PIECES  # values that a tower reads of a feature: its pieces, the value, whether it is missing


class MergedRanker(nn.Module):
    """A trained `Ranker` with the same answers in half of the operators.

    What a first layer reads of a feature stands together, so that a tower takes one slice; the layers after it are
    products of stacks, a tower each.
    """

    def __init__(self, ranker: Ranker) -> None:
        """Takes a trained ranker, whose weights it lays out anew."""
        super().__init__()
        self.ranker = ranker
        towers: list[Any] = list(ranker.towers)
        columns = [column for tower in towers for column in tower.columns]
        if columns != list(range(len(columns))):
            raise ValueError(f"columns of the towers: found {columns}; allowed: each column once, in order")
        self.sizes = [_READ * len(tower.columns) for tower in towers]
        first = [tower.part.layers[0] for tower in towers]
        self.entries = nn.ParameterList(
            _by_feature(layer.weight, len(tower.columns)) for layer, tower in zip(first, towers, strict=True)
        )
        self.gate = _fixed(torch.cat([layer.weight[:, -len(GATES) :] for layer in first]).T)
        self.bias = _fixed(torch.cat([layer.bias for layer in first]))
        self.missing = _fixed(torch.cat([tower.missing for tower in towers]))
        parts: list[Any] = [*(tower.part.layers for tower in towers), ranker.sequence.part.layers]
        self.middle = _fixed(torch.stack([layers[2].weight.T for layers in parts]))
        self.middle_bias = _fixed(torch.stack([layers[2].bias for layers in parts]).unsqueeze(1))
        # A silent signal and the calibration's slope are in the last layer's weights.
        factor = ranker.active.unsqueeze(-1).repeat(1, 1, 1 + RANK)  # [signals, heads, 1 + rank]
        factor[..., 0] *= ranker.slope
        last = torch.stack([layers[4].weight for layers in parts]).reshape(*factor.shape, WIDTH)
        bias = torch.stack([layers[4].bias for layers in parts]).reshape(factor.shape)
        self.last = _fixed(_effects_first(last * factor.unsqueeze(-1)).transpose(1, 2))
        self.last_bias = _fixed(_effects_first(bias * factor).unsqueeze(1))
        self.meeting = _fixed((0.5 * ranker.meeting * ranker.slope.unsqueeze(-1)).flatten())
        self.constant = _fixed(ranker.bias * ranker.slope + ranker.offset)

    def forward(
        self, features: Tensor, vectors: Tensor, events: Tensor, moments: Tensor, reading: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Ranker.forward`."""
        sequence: Any = self.ranker.sequence
        values = torch.cat([features, reading.unsqueeze(-1)], -1)
        absent = torch.isnan(values)
        gates = torch.where(absent[..., GATES], 0.0, features[..., GATES])
        entered = sequence.part.layers[0](sequence.part_inputs(vectors, events, moments, gates))
        read = nn.functional.silu(torch.cat([self._behaviour(values, absent, gates), entered], -1))
        # `[signals, batch * candidates, width]`: a product of stacks is one operator.
        stacked = read.reshape(-1, len(SIGNALS), WIDTH).transpose(0, 1)
        stacked = nn.functional.silu(stacked @ self.middle + self.middle_bias) @ self.last + self.last_bias
        main, meets = stacked[..., : len(HEADS)], stacked[..., len(HEADS) :]
        paired = meets * (meets.sum(0, keepdim=True) - meets) * self.meeting
        contributions = main + paired.reshape(*main.shape, RANK).sum(-1)
        logits = contributions.sum(0) + self.constant
        shape = features.shape[:2]
        return (
            logits.reshape(*shape, len(HEADS)),
            contributions.transpose(0, 1).reshape(*shape, len(SIGNALS), len(HEADS)),
        )

    def _behaviour(self, values: Tensor, absent: Tensor, gates: Tensor) -> Tensor:
        """What the first layers of the behaviour towers make, before their activation, `[…, towers * width]`."""
        ranker = self.ranker
        scaled = ((values - ranker.mean) / ranker.scale).clamp(-4.0, 4.0)
        filled = torch.where(absent, self.missing, scaled)
        present = torch.where(absent, _BELOW_ALL, values).unsqueeze(-1)
        pieces = ((present - ranker.start) * ranker.rate).clamp(0.0, 1.0)
        both = torch.stack([filled, absent.to(filled.dtype)], -1)
        read = torch.split(torch.cat([pieces, both], -1).flatten(-2), self.sizes, -1)
        entered = torch.cat([part @ entry for part, entry in zip(read, self.entries, strict=True)], -1)
        return entered + (gates @ self.gate + self.bias)


def _by_feature(weight: Tensor, features: int) -> nn.Parameter:
    """A first layer's weights but for the gates, feature by feature instead of kind by kind, `[reads, width]`."""
    filled, missing, pieces, _ = torch.split(weight.T, [features, features, PIECES * features, len(GATES)])
    by_feature = [pieces.reshape(features, PIECES, WIDTH), filled.unsqueeze(1), missing.unsqueeze(1)]
    return _fixed(torch.cat(by_feature, 1).flatten(0, 1))


def _effects_first(values: Tensor) -> Tensor:
    """Orders `[signals, heads, 1 + rank, …]` as all heads' main effects, then what meets: `[signals, outputs, …]`."""
    return torch.cat([values[:, :, 0], values[:, :, 1:].flatten(1, 2)], 1)


def _fixed(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
