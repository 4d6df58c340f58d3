"""Settings of a text model's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TextFitSettings:
    """Settings of a text model's training.

    Attributes:
        encoder: Hugging Face id or folder of the encoder to begin with.
        out: Folder to write; checkpoints are beside it until it is complete.
        layers: The encoder's first layers to keep; None keeps all.
        max_length: Tokens that a pair, or a text, is cut at.
        epochs: Passes over the training rows; None takes one, or for a text tower as many as make `MIN_STEPS`.
        batch_size: Pairs of a step, over all processes.
        learning_rate: Peak of the learning rate.
        seed: Seed of weights and draws.
        resume: Whether to go on from the last checkpoint of an interrupted run.
        teacher: A trained text tower whose logits are the target; the model begins with its first layers. None
            trains on labels.
    """

    encoder: str
    out: Path
    layers: int | None = None
    max_length: int = 96
    epochs: int | None = None
    batch_size: int = 48
    learning_rate: float = 1e-4
    seed: int = 13
    resume: bool = False
    teacher: str | None = None

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.out.with_name(f"{self.out.name}.checkpoints")

    @property
    def least_epochs(self) -> int:
        """`epochs`, or 1 where it is None."""
        return self.epochs or 1
