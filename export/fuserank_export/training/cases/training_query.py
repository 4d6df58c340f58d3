"""A request to learn from, with its right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.interactions.history import History

# `discover` is a recommendation of what the user has not had before.
Kind = Literal["query", "user", "both", "discover"]
KINDS: tuple[Kind, ...] = ("query", "user", "both", "discover")


@dataclass(frozen=True)
class Shown:
    """A list that a user was shown.

    Attributes:
        rows: Item rows without repeats, int32 `[shown]`.
        positions: Where each was, from 1; 0 where unknown, int32 `[shown]`.
        propensities: The probability with which each was shown there; NaN where unknown, float32 `[shown]`.
    """

    rows: NDArray[np.int32]
    positions: NDArray[np.int32]
    propensities: NDArray[np.float32]


@dataclass(frozen=True)
class TrainingQuery:
    """A request to learn from, and the right answers.

    Attributes:
        kind: What it holds.
        query: Text, empty for `user`.
        seen: The history at that time.
        now: The time, epoch seconds.
        relevant: Item rows relevant to the query; None where unknown.
        clicked: Item rows the user then touched; None where unknown.
        purchased: Item rows the user then bought; None where unknown.
        places: Where the user usually was before, and what the request is made on, by kind.
        shown: The candidates, where the log has what was shown; None where they are to be retrieved.
        segments: What the shop said of the user by then: values by column.
    """

    kind: Kind
    query: str
    seen: History
    now: float
    relevant: NDArray[np.int32] | None
    clicked: NDArray[np.int32] | None
    purchased: NDArray[np.int32] | None
    places: Mapping[str, str] = field(default_factory=dict)
    shown: Shown | None = None
    segments: Mapping[str, Sequence[str]] = field(default_factory=dict)
