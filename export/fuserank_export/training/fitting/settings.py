"""How the ranker is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from fuserank_export.checks import CheckedOptions


@dataclass(frozen=True, kw_only=True)
class FitSettings(CheckedOptions):
    """How the ranker is fitted.

    Attributes:
        epochs: Passes over the cases at most.
        batch: Cases a step.
        least_steps: Steps of an epoch at least, about: where the cases are few, it passes over them several times.
        learning_rate: At its highest, of AdamW.
        patience: Epochs without a lower loss on later cases before training ends.
        bf16: Mixed precision.
        checkpoints: Folder of the runs on the same data, that one which was interrupted goes on from where it is of the
            same settings, seed and columns; None keeps nothing.
    """

    epochs: Annotated[int, Meta(ge=1)] = 6
    batch: Annotated[int, Meta(ge=1)] = 64
    least_steps: Annotated[int, Meta(ge=0)] = 0
    learning_rate: Annotated[float, Meta(ge=0)] = 4e-3
    patience: Annotated[int, Meta(ge=1)] = 2
    bf16: bool = False
    checkpoints: Path | None = None


# On 11,000 cases two quick passes teach as much as six slow ones; few cases are passed over as long.
FIT = FitSettings(epochs=2, least_steps=200, learning_rate=6e-3)
