"""The time after which a training ends with the best that it has."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator  # type: ignore[import-untyped]  # untyped
from transformers import TrainerCallback

SECONDS_PER_MINUTE = 60


@dataclass
class TimeBudget:
    """The time that a command may take until its training ends.

    Attributes:
        minutes: How long.
        started: When it began, seconds on the monotonic clock.
        stopped: Epochs that were done when the time ended each fit that it ended, in their order.
    """

    minutes: float
    started: float = field(default_factory=time.monotonic)
    stopped: list[float] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() - self.started >= self.minutes * SECONDS_PER_MINUTE

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"minutes": self.minutes, "stopped_after_epochs": self.stopped}

    def describe(self, epochs: int) -> str:
        """Returns what the budget did to a training of up to so many epochs; empty where it ended nothing."""
        if not self.stopped:
            return ""
        return (
            f"the time budget of {self.minutes:g} minutes ended the training after {self.stopped[0]:.1f} of at most "
            f"{epochs} epochs: the ranker is the best until then; --time-budget gives it longer"
        )


class BudgetCallback(TrainerCallback):
    """Stops a training when its time is over; what was learned of the epoch by then is evaluated as an epoch is."""

    def __init__(self, budget: TimeBudget, accelerator: Accelerator) -> None:
        self._budget, self._accelerator = budget, accelerator

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stops all processes of the training where the time of any is over."""
        if self._budget.is_over:
            self._accelerator.set_trigger()
        if self._accelerator.check_trigger():
            control.should_training_stop = True
            self._budget.stopped.append(float(state.epoch))
