"""What a request may say of its ranking: rules, shares of a page, exploration, facets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class Rule(TypedDict, total=False):
    """A business rule: one of `boost`, `bury` and `pin`, for one of `filter` and `item_ids`.

    Attributes:
        boost: Standard deviations of the candidates' scores to add, up to 5.
        bury: Standard deviations to subtract, up to 5.
        pin: The place to show the items at, from 1 to k.
        filter: Conditions on the candidates, as in `Request.filter`.
        item_ids: Ids of the items; pinned ones are shown even where retrieval did not find them.
        label: What the result calls items that a pin puts there, such as "Sponsored"; see `Item.sponsored`.
        floor: The share of the candidates that a pin's items must be better than, from 0 to below 1.
    """

    boost: float
    bury: float
    pin: int
    filter: Mapping[str, Any]
    item_ids: Sequence[str]
    label: str
    floor: float


class Exposure(TypedDict):
    """What share of a page, above 0 and up to 1, one value of a field may have."""

    max_share: float


class Explore(TypedDict, total=False):
    """Shows items that have few events, at a probability that `Item.propensity` states.

    Attributes:
        method: How a slot chooses: `softmax` of the scores, the default, or `thompson` by what was clicked before.
        rate: Probability that a slot explores.
        slots: Places from 1 to k that may explore; by default the last.
        seed: The same seed draws the same list from the same candidates; by default a new one, see `Status.explore`.
        max_events: Items with fewer events of all users may be explored.
    """

    method: Literal["softmax", "thompson"]
    rate: float
    slots: Sequence[int]
    seed: int
    max_events: int


class Facet(TypedDict, total=False):
    """A field whose values are counted over all that matches.

    Attributes:
        field: A filterable field of the catalogue.
        limit: How many values are returned, of a category how many below each.
        ranges: Of a number: about how many ranges, or the bounds between them.
    """

    field: str
    limit: int
    ranges: int | Sequence[float]
