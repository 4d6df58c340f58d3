"""The ranker: a tower a signal, joined by main effects and pairwise interactions, so that every score explains itself.

A generalised additive model with interactions (Lou et al., Accurate intelligible models with pairwise interactions,
KDD 2013), whose pairs are inner products of learned vectors, as in a factorisation machine (Rendle, ICDM 2010).
Features are also read piece by piece of their ranges (Gorishniy et al., On embeddings for numerical features in tabular
deep learning, NeurIPS 2022): a network sees steps in them as well as trees do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fuserank_ensemble.candidates.features import POSITION, SEQUENCE, FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.sequence import MOMENT_DIM

GATES = [POSITION["has_query"], POSITION["has_history"]]
# Signals that say nothing without a query, or of somebody without a history: there they add nothing to any score.
OF_QUERY = ("text", "lexical", "reading")
OF_HISTORY = ("history", "collaborative", "content", "taste", "sequence")
EVERY_SHOP = FeatureLayout()
WIDTH = 32
RANK = 8  # of the vectors that interact, a head
PIECES = 16  # of a feature's range


class Part(nn.Module):
    """Maps one signal's values to its main effect on every head, and to the vectors by which it meets other signals."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, len(HEADS) * (1 + RANK)),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Maps `[batch, candidates, inputs]` to `[batch, candidates, heads, 1 + rank]`."""
        return self.layers(values).unflatten(-1, (len(HEADS), 1 + RANK))  # type: ignore[no-any-return]  # a module called is Any


class BehaviourTower(nn.Module):
    """One signal's features."""

    def __init__(self, columns: list[int]) -> None:
        super().__init__()
        self.columns = columns
        # The value that stands for a missing feature is learned, not zero by accident.
        self.missing = nn.Parameter(torch.zeros(len(columns)))
        self.part = Part((2 + PIECES) * len(columns) + len(GATES))

    def forward(self, scaled: Tensor, pieces: Tensor, absent: Tensor, gates: Tensor) -> Tensor:
        """Reads its features.

        Args:
            scaled: All features, `[…, F]`.
            pieces: How much of each piece of its range a feature fills, `[…, F, pieces]`.
            absent: Which are missing, `[…, F]`.
            gates: What kind of request it is, `[…, gates]`.

        Returns:
            `[…, heads, 1 + rank]`.
        """
        values, missing = scaled[..., self.columns], absent[..., self.columns]
        filled = torch.where(missing, self.missing, values)
        filling = pieces[..., self.columns, :].flatten(-2)
        return self.part(torch.cat([filled, missing.to(filled.dtype), filling, gates], -1))  # type: ignore[no-any-return]  # a module called is Any


class SequenceTower(nn.Module):
    """The user's latest items, read by one transformer layer, and attended to by each candidate.

    Target attention as in Zhou et al., Deep Interest Network, KDD 2018, here scaled dot products.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.item = nn.Linear(dim, WIDTH)
        self.moment = nn.Sequential(nn.Linear(MOMENT_DIM, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.target, self.source, self.content = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH)
        self.nobody = nn.Parameter(torch.zeros(WIDTH))  # what is read of a user without events
        self.part = Part(3 * WIDTH + len(GATES))

    def forward(self, vectors: Tensor, events: Tensor, moments: Tensor, gates: Tensor) -> Tensor:
        """Reads a sequence.

        Args:
            vectors: Candidates' text vectors, `[batch, candidates, dim]`.
            events: The latest items' text vectors, `[batch, events, dim]`.
            moments: See `fuserank_ensemble.interactions.sequence.moments`, `[batch, events, 3]`.
            gates: What kind of request it is, `[batch, candidates, gates]`.
        """
        out: Tensor = self.part(self.part_inputs(vectors, events, moments, gates))
        return out

    def part_inputs(self, vectors: Tensor, events: Tensor, moments: Tensor, gates: Tensor) -> Tensor:
        """Returns what the tower's part reads of each candidate and the sequence, `[batch, candidates, inputs]`."""
        present = moments[..., 2:3]
        items = self.item(events) + self.moment(moments)
        bias = (present.transpose(1, 2) - 1.0) * 1e4
        read = self.norm(items + _attend(self.query(items), self.key(items), self.value(items), bias))
        candidates = self.item(vectors)
        attended = _attend(self.target(candidates), self.source(read), self.content(read), bias)
        has_events = present.amax(1, keepdim=True)  # 0 or 1
        attended = attended * has_events + self.nobody * (1.0 - has_events)
        return torch.cat([candidates, attended, candidates * attended, gates], -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention, `[batch, queries, width]`; `bias` `[batch, 1, keys]` hides what is absent."""
    weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + bias).softmax(-1)
    attended: Tensor = weights @ value
    return attended


class Ranker(nn.Module):
    """Maps features, a text tower's logits and a sequence to a logit per head, and to what each signal adds to it.

    Attributes:
        layout: The columns that it reads, and its signals.
        mean: Mean of each feature and of the reading where present, `[F + 1]`.
        scale: Standard deviation of each, `[F + 1]`.
        start: Where each piece of a feature's range begins, `[F + 1, pieces]`; pieces hold equally many values.
        rate: What of a piece a unit fills, `[F + 1, pieces]`; 0 where there are fewer pieces.
        active: 1 where a signal was seen in training for a head, `[signals, heads]`; elsewhere it stays silent
            instead of guessing.
        needs: 1 where a signal says nothing without what a gate stands for, `[signals, gates]`.
        slope: What a head's sum is multiplied by to be a calibrated logit, `[heads]`.
        offset: What is added then, `[heads]`.
    """

    mean: Tensor
    scale: Tensor
    start: Tensor
    rate: Tensor
    active: Tensor
    needs: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, dim: int, layout: FeatureLayout = EVERY_SHOP) -> None:
        """Makes a ranker over text vectors of `dim` numbers and the columns of a layout."""
        super().__init__()
        self.layout = layout
        signals, values = layout.signals, len(layout.features) + 1
        self.towers = nn.ModuleList(BehaviourTower(layout.columns(s)) for s in signals if s != SEQUENCE)
        self.sequence = SequenceTower(dim)
        self.bias = nn.Parameter(torch.zeros(len(HEADS)))
        self.meeting = nn.Parameter(torch.full((len(HEADS), RANK), 1.0 / RANK))  # what each dimension of a pair counts
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))
        self.register_buffer("start", torch.zeros(values, PIECES))
        self.register_buffer("rate", torch.zeros(values, PIECES))
        self.register_buffer("active", torch.ones(len(signals), len(HEADS)))
        needs = [[float(signal in OF_QUERY), float(signal in OF_HISTORY)] for signal in signals]
        self.register_buffer("needs", torch.tensor(needs))
        self.register_buffer("slope", torch.ones(len(HEADS)))
        self.register_buffer("offset", torch.zeros(len(HEADS)))

    def forward(
        self, features: Tensor, vectors: Tensor, events: Tensor, moments: Tensor, reading: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores candidates.

        A signal's contribution is its main effect and half of each pair that it is part of: the Shapley value of a
        game whose worth is a sum over single players and pairs (Grabisch and Roubens, 1999). It is exact.

        Args:
            features: float32 `[batch, candidates, features]`, NaN where missing.
            vectors: Candidates' text vectors, float32 `[batch, candidates, dim]`.
            events: Text vectors of the user's latest items, float32 `[batch, events, dim]`.
            moments: See `fuserank_ensemble.interactions.sequence.moments`, float32 `[batch, events, 3]`.
            reading: The text tower's logits, float32 `[batch, candidates]`, NaN for candidates that it has not read.

        Returns:
            Logits `[batch, candidates, heads]` and contributions `[batch, candidates, signals, heads]`; the
            contributions and the calibrated bias add up to the logits.
        """
        values = torch.cat([features, reading.unsqueeze(-1)], -1)
        absent = torch.isnan(values)
        known = torch.where(absent, self.mean, values)
        # Far outside what training saw a network only extrapolates: four deviations are as much as any more.
        scaled = ((known - self.mean) / self.scale).clamp(-4.0, 4.0)
        pieces = ((known.unsqueeze(-1) - self.start) * self.rate).clamp(0.0, 1.0) * (~absent).unsqueeze(-1)
        gates = torch.where(absent[..., GATES], 0.0, features[..., GATES])
        parts = [tower(scaled, pieces, absent, gates) for tower in self.towers]
        parts.append(self.sequence(vectors, events, moments, gates))
        applies = self.applies(gates, absent)
        # [batch, candidates, signals, heads, 1 + rank]
        joined = torch.stack(parts, -3) * self.active.unsqueeze(-1) * applies[..., None, None]
        main, meets = joined[..., 0], joined[..., 1:]
        others = meets.sum(-3, keepdim=True) - meets
        shares = main + 0.5 * (meets * others * self.meeting).sum(-1)
        contributions = shares * self.slope
        return contributions.sum(-2) + self.bias * self.slope + self.offset, contributions

    def applies(self, gates: Tensor, absent: Tensor) -> Tensor:
        """Returns which signals can say anything, 1 or 0, `[…, signals]`.

        Args:
            gates: What kind of request it is, `[…, gates]`.
            absent: Which features are missing, `[…, F + 1]`.
        """
        by_request = 1.0 - (1.0 - gates) @ self.needs.T
        if not self.layout.own:
            return by_request
        # A shop's own signal says nothing of an item of which it knows nothing.
        known = [
            (~absent[..., self.layout.columns(signal)]).any(-1)
            if signal in self.layout.own_signals
            else torch.ones_like(absent[..., 0])
            for signal in self.layout.signals
        ]
        return by_request * torch.stack(known, -1).to(by_request.dtype)
