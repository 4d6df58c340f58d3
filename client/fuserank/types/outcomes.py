"""What became of what a request says of its ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RuleOutcome:
    """The outcome of one rule of a request.

    Attributes:
        kind: `boost`, `bury` or `pin`.
        matched: Candidates that it applies to; of a pin of ids: the items that it may show.
        limited: Matched items whose shift by all rules together was cut at the limit.
        placed: Items that a pin placed.
        moved: Of these, those at another place than the rule names.
        unplaced: Items of a pin of ids that found no place, or that an earlier pin has.
        filtered_out: Items of a pin of ids that the request's `filter` or `exclude_seen` leaves out.
        unknown: Ids that the catalogue does not have.
        below_floor: Items of a pin that are not good enough for it.
    """

    kind: str
    matched: int = 0
    limited: int = 0
    placed: int = 0
    moved: int = 0
    unplaced: int = 0
    filtered_out: int = 0
    unknown: int = 0
    below_floor: int = 0


@dataclass(frozen=True)
class ExposureOutcome:
    """What bounding shares of a page did.

    Attributes:
        moved: Items on the page that would not be there else.
        unmet: Places that had to exceed a share, since nothing else was left.
        cost: By how much the page's mean score is lower.
    """

    moved: int
    unmet: int = 0
    cost: float = 0.0


@dataclass(frozen=True)
class SponsoredOutcome:
    """What pins with a label did: how many items they placed, and by how much the page's mean score is lower."""

    placed: int
    cost: float = 0.0


@dataclass(frozen=True)
class ExploreOutcome:
    """The outcome of exploration.

    Attributes:
        seed: The seed that draws the same list again.
        slots: The places, from 1, that could explore.
        pool: How many items could be explored.
        explored: How many were.
    """

    seed: int
    slots: Sequence[int] = ()
    pool: int = 0
    explored: int = 0
