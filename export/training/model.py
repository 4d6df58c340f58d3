"""The ranker: a small network a signal, whose outputs add up, so that every score explains itself exactly.

An additive model of sub-networks (Agarwal et al., Neural Additive Models, NeurIPS 2021): each signal's network
sees its own features, whether each is missing, and what kind of request it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ensemble.contract import HEADS
from ensemble.features import FEATURES, POSITION, SIGNALS
from export.encoder import OPSET

GATES = [POSITION["has_query"], POSITION["has_history"]]


class SignalNet(nn.Module):
    """One signal's part in every head."""

    def __init__(self, columns: list[int], width: int) -> None:
        super().__init__()
        self.columns = columns
        # The value that stands for a missing feature is learned, not zero by accident.
        self.missing = nn.Parameter(torch.zeros(len(columns)))
        self.layers = nn.Sequential(
            nn.Linear(2 * len(columns) + len(GATES), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, len(HEADS)),
        )

    def forward(self, scaled: Tensor, absent: Tensor, gates: Tensor) -> Tensor:
        """Maps scaled features `[…, F]` and their absence `[…, F]` to `[…, heads]`."""
        mine, gone = scaled[..., self.columns], absent[..., self.columns]
        filled = torch.where(gone, self.missing, mine)
        return self.layers(torch.cat([filled, gone.to(filled.dtype), gates], -1))  # type: ignore[no-any-return]


class Ranker(nn.Module):
    """Features in; per head a logit, and what each signal adds to it.

    Attributes:
        mean: Mean of each feature where present, `[F]`.
        scale: Standard deviation likewise, `[F]`.
        active: 1 where a signal was seen in training for a head, `[signals, heads]`; elsewhere it stays silent
            instead of guessing.
    """

    mean: Tensor
    scale: Tensor
    active: Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        of_signal = [[i for i, f in enumerate(FEATURES) if f.signal == signal] for signal in SIGNALS]
        self.nets = nn.ModuleList(SignalNet(columns, width) for columns in of_signal)
        self.bias = nn.Parameter(torch.zeros(len(HEADS)))
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.register_buffer("active", torch.ones(len(SIGNALS), len(HEADS)))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores candidates.

        Args:
            features: float32 `[batch, candidates, features]`, NaN where missing.

        Returns:
            Logits `[batch, candidates, heads]` and contributions `[batch, candidates, signals, heads]`; the
            contributions and the bias add up to the logits.
        """
        absent = torch.isnan(features)
        scaled = (torch.where(absent, self.mean, features) - self.mean) / self.scale
        # Far outside what training saw a network only extrapolates: four deviations are as much as any more.
        scaled = scaled.clamp(-4.0, 4.0)
        gates = features[..., GATES].nan_to_num()
        parts = torch.stack([net(scaled, absent, gates) for net in self.nets], -2) * self.active
        return parts.sum(-2) + self.bias, parts


def export_ranker(model: Ranker, path: Path) -> None:
    """Writes the ranker as ONNX with dynamic batch and candidates."""
    example = torch.randn(2, 4, len(FEATURES))
    dynamic = {0: "batch", 1: "candidates"}
    with torch.no_grad():
        torch.onnx.export(
            model.eval(),
            (example,),
            str(path),
            input_names=["FEATURES"],
            output_names=["HEADS", "CONTRIBUTIONS"],
            dynamic_axes={"FEATURES": dynamic, "HEADS": dynamic, "CONTRIBUTIONS": dynamic},
            opset_version=OPSET,
            dynamo=False,
        )
