"""How long-running evaluations report their progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

ProgressCallback: TypeAlias = Callable[[str, int, int], None]  # a step's name, how much of it is done, the whole


def ignore_progress(step: str, done: int, total: int) -> None:
    """Reports nothing."""
