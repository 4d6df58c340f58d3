"""The ranker as it is trained and as its engine computes it: towers of one build share their products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fuserank_ensemble.contract.options import HEADS
from fuserank_export.training.model.ranker import GATES, PIECES, RANK, WIDTH, Ranker

_BELOW_ALL = -1e30  # a value below every piece: it fills none
_READ = 2 + PIECES  # values that a tower reads of a feature: its pieces, the value, whether it is missing


class _Weights(Protocol):
    """See `MergedWeights`."""

    @property
    def signals(self) -> Sequence[int]: ...
    @property
    def entries(self) -> Any: ...
    @property
    def gate(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor: ...
    @property
    def middle(self) -> Tensor: ...
    @property
    def middle_bias(self) -> Tensor: ...
    @property
    def last(self) -> Tensor: ...
    @property
    def last_bias(self) -> Tensor: ...
    @property
    def meeting(self) -> Tensor: ...
    @property
    def constant(self) -> Tensor: ...


@dataclass(frozen=True)
class MergedWeights:
    """A ranker's weights laid out anew; gradients reach the ranker's own.

    Attributes:
        signals: The numbers of the signals that are computed, those of the others are silent.
        entries: The first layers of the behaviour towers, feature by feature, each `[reads, width]`.
        gate: What those layers make of the gates, `[gates, towers * width]`.
        bias: Of those layers, `[towers * width]`.
        middle: The second layers, `[signals, width, width]`.
        middle_bias: Their biases, `[signals, 1, width]`.
        last: The last layers, the main effects of all heads first, `[signals, width, heads * (1 + rank)]`.
        last_bias: Their biases, `[signals, 1, heads * (1 + rank)]`.
        meeting: Half of what each dimension of a pair counts, `[heads * rank]`.
        constant: What every logit has added, `[heads]`.
    """

    signals: Sequence[int]
    entries: list[Tensor]
    gate: Tensor
    bias: Tensor
    middle: Tensor
    middle_bias: Tensor
    last: Tensor
    last_bias: Tensor
    meeting: Tensor
    constant: Tensor

    @classmethod
    def of(cls, ranker: Ranker, signals: Sequence[int] | None = None) -> MergedWeights:
        """Lays out a ranker's weights, whose towers must read each column once and in order.

        Args:
            ranker: The ranker.
            signals: The numbers of the signals that are computed, in order; None computes silent ones, too.
        """
        towers: list[Any] = list(ranker.towers)
        columns = [column for tower in towers for column in tower.columns]
        if columns != list(range(len(columns))):
            raise ValueError(f"columns of the towers: found {columns}; allowed: each column once, in order")
        chosen = range(len(towers) + 1) if signals is None else signals
        parts: list[Any] = [[*towers, ranker.sequence][signal].part.layers for signal in chosen]
        towers = [towers[signal] for signal in chosen if signal < len(towers)]
        first = [tower.part.layers[0] for tower in towers]
        active = ranker.active[list(chosen)]
        # A silent signal and the calibration's slope are in the last layer's weights.
        factor = torch.cat(
            [(active * ranker.slope).unsqueeze(-1), active.unsqueeze(-1).expand(-1, -1, RANK)], -1
        )  # [signals, heads, 1 + rank]
        last = torch.stack([layers[4].weight for layers in parts]).reshape(*factor.shape, WIDTH)
        bias = torch.stack([layers[4].bias for layers in parts]).reshape(factor.shape)
        return cls(
            signals=chosen,
            entries=[_by_feature(tower.part.layers[0].weight, tower.missing) for tower in towers],
            gate=torch.cat([layer.weight[:, -len(GATES) :] for layer in first]).T,
            bias=torch.cat([layer.bias for layer in first]),
            middle=torch.stack([layers[2].weight.T for layers in parts]),
            middle_bias=torch.stack([layers[2].bias for layers in parts]).unsqueeze(1),
            last=_effects_first(last * factor.unsqueeze(-1)).transpose(1, 2),
            last_bias=_effects_first(bias * factor).unsqueeze(1),
            meeting=(0.5 * ranker.meeting * ranker.slope.unsqueeze(-1)).flatten(),
            constant=ranker.bias * ranker.slope + ranker.offset,
        )


class MergedRanker(nn.Module):
    """A trained `Ranker` with the same answers in half of the operators, its weights as they were when it was made."""

    def __init__(self, ranker: Ranker) -> None:
        """Takes a trained ranker, whose weights it lays out anew."""
        super().__init__()
        self.ranker = ranker
        weights = MergedWeights.of(ranker)
        self.signals = weights.signals
        self.entries = nn.ParameterList(_fixed(entry) for entry in weights.entries)
        self.gate, self.bias = _fixed(weights.gate), _fixed(weights.bias)
        self.middle, self.middle_bias = _fixed(weights.middle), _fixed(weights.middle_bias)
        self.last, self.last_bias = _fixed(weights.last), _fixed(weights.last_bias)
        self.meeting, self.constant = _fixed(weights.meeting), _fixed(weights.constant)

    def forward(
        self, features: Tensor, vectors: Tensor, events: Tensor, moments: Tensor, reading: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Ranker.forward`."""
        return merged_scores(self.ranker, self, features, vectors, events, moments, reading)


def merged_scores(
    ranker: Ranker,
    weights: _Weights,
    features: Tensor,
    vectors: Tensor,
    events: Tensor,
    moments: Tensor,
    reading: Tensor,
) -> tuple[Tensor, Tensor]:
    """Scores candidates as `Ranker.forward` does, with the weights of all signals."""
    outputs = _signal_outputs(ranker, weights, features, vectors, events, moments, reading)
    main, meets = outputs[..., : len(HEADS)], outputs[..., len(HEADS) :]
    paired = meets * (meets.sum(0, keepdim=True) - meets) * weights.meeting
    contributions = main + paired.reshape(*main.shape, RANK).sum(-1)
    logits = contributions.sum(0) + weights.constant
    shape = features.shape[:2]
    return (
        logits.reshape(*shape, len(HEADS)),
        contributions.transpose(0, 1).reshape(*shape, len(weights.signals), len(HEADS)),
    )


def merged_logits(
    ranker: Ranker,
    weights: _Weights,
    features: Tensor,
    vectors: Tensor,
    events: Tensor,
    moments: Tensor,
    reading: Tensor,
) -> Tensor:
    """Returns the logits alone of `Ranker.forward`, `[batch, candidates, heads]`: all that training needs.

    The sum over all pairs is half of the square of the sum less the sum of the squares (Rendle, ICDM 2010): no array
    has a value for each signal and pair.
    """
    outputs = _signal_outputs(ranker, weights, features, vectors, events, moments, reading)
    summed = outputs.sum(0)
    main, meets = summed[:, : len(HEADS)], summed[:, len(HEADS) :]
    # All columns are squared, as those of the effects are too few to leave out.
    paired = (meets.square() - outputs.square().sum(0)[:, len(HEADS) :]) * weights.meeting
    logits = main + paired.reshape(*main.shape, RANK).sum(-1) + weights.constant
    batched: Tensor = logits.reshape(*features.shape[:2], len(HEADS))
    return batched


def heard_signals(ranker: Ranker) -> list[int]:
    """Returns the numbers of the signals that any head hears, all where none does: others add and learn nothing."""
    heard = ranker.active.any(-1)
    return [int(signal) for signal in (heard if heard.any() else ~heard).nonzero().flatten()]


def _signal_outputs(
    ranker: Ranker,
    weights: _Weights,
    features: Tensor,
    vectors: Tensor,
    events: Tensor,
    moments: Tensor,
    reading: Tensor,
) -> Tensor:
    """Returns what the signals' last layers say of each candidate, `[signals, batch * candidates, outputs]`.

    What a first layer reads of a feature stands together, so that a tower takes one slice; the layers after it are
    products of stacks, a tower each.
    """
    sequence: Any = ranker.sequence
    values = torch.cat([features, reading.unsqueeze(-1)], -1)
    absent = torch.isnan(values)
    gates = torch.where(absent[..., GATES], 0.0, features[..., GATES])
    read = _read(ranker, values, absent)
    towers = [signal for signal in weights.signals if signal < len(read)]
    entered = torch.cat([read[signal] @ entry for signal, entry in zip(towers, weights.entries, strict=True)], -1)
    first = entered + (gates @ weights.gate + weights.bias)
    if len(towers) < len(weights.signals):
        met = sequence.part.layers[0](sequence.part_inputs(vectors, events, moments, gates))
        first = torch.cat([first, met], -1)
    # `[signals, batch * candidates, width]`: a product of stacks is one operator.
    stacked = nn.functional.silu(first).reshape(-1, len(weights.signals), WIDTH).transpose(0, 1)
    stacked = nn.functional.silu(stacked @ weights.middle + weights.middle_bias) @ weights.last + weights.last_bias
    applies = ranker.applies(gates.reshape(-1, len(GATES)), absent.flatten(0, 1))
    if len(weights.signals) < len(ranker.layout.signals):
        applies = applies[:, list(weights.signals)]
    return stacked * applies.T.unsqueeze(-1)


def _read(ranker: Ranker, values: Tensor, absent: Tensor) -> tuple[Tensor, ...]:
    """What each behaviour tower reads, `[batch, candidates, reads]`: pieces, value and absence of each feature.

    No weight takes part, so that training needs no gradient of it: a missing value is read as 0, see `_by_feature`.
    """
    scaled = torch.where(absent, 0.0, ((values - ranker.mean) / ranker.scale).clamp(-4.0, 4.0))
    present = torch.where(absent, _BELOW_ALL, values).unsqueeze(-1)
    pieces = (present - ranker.start).mul_(ranker.rate).clamp_(0.0, 1.0)  # in place: it is the largest of all arrays
    both = torch.stack([scaled, absent.to(scaled.dtype)], -1)
    towers: list[Any] = list(ranker.towers)
    return torch.split(torch.cat([pieces, both], -1).flatten(-2), [_READ * len(tower.columns) for tower in towers], -1)


def _by_feature(weight: Tensor, missing: Tensor) -> Tensor:
    """A first layer's weights but for the gates, feature by feature instead of kind by kind, `[reads, width]`.

    The value that stands for a missing one is in the weights of absence.
    """
    features = len(missing)
    filled, gone, pieces, _ = torch.split(weight.T, [features, features, PIECES * features, len(GATES)])
    absent = gone + missing.unsqueeze(-1) * filled
    return torch.cat([pieces.reshape(features, PIECES, WIDTH), filled.unsqueeze(1), absent.unsqueeze(1)], 1).flatten(
        0, 1
    )


def _effects_first(values: Tensor) -> Tensor:
    """Orders `[signals, heads, 1 + rank, …]` as all heads' main effects, then what meets: `[signals, outputs, …]`."""
    return torch.cat([values[:, :, 0], values[:, :, 1:].flatten(1, 2)], 1)


def _fixed(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
