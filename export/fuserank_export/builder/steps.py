"""How long each step of an export takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class StepSeconds:
    """The seconds of an export's steps.

    Attributes:
        started: The export's start on the monotonic clock, seconds.
        by_name: Seconds of the steps that have ended.
    """

    started: float = field(default_factory=time.monotonic)
    by_name: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds the seconds of the block to a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.by_name[name] = self.by_name.get(name, 0.0) + time.monotonic() - started

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values, to a tenth of a second."""
        return {name: round(seconds, 1) for name, seconds in self.by_name.items()}
