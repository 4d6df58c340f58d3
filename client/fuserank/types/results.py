"""Results, and how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fuserank.types.counts import FacetValue, Total
from fuserank.types.items import Item
from fuserank.types.outcomes import ExploreOutcome, ExposureOutcome, RuleOutcome, SponsoredOutcome


@dataclass(frozen=True)
class Status:
    """How a result was made.

    Attributes:
        bundle: Id of the bundle that served the request.
        degraded: Steps that were cut short to keep the deadline; empty where none was.
        candidates: Number of candidates by channel, and as `fused` of those that the ranker scored.
        microseconds: Time spent per stage, and `total`.
        returned: How many items the result holds.
        user_known: Whether the server has a history of the user.
        history_unknown: How many ids of the given history the catalogue does not have.
        encoder: What read the query: `encoder-…`, or `query_encoder-…` where a small one does; empty without a query.
        rules: The outcome of each rule of the request, in their order.
        explore: The outcome of exploration; None where the request did not ask for it.
        understood: What the query says beside its words, such as `price_to`; empty where it says nothing else.
        position: Up to where the log of events counts in the answer; None where the server keeps none.
        opted_out: Whether the user wants no personal answers.
        arm: The arm of an experiment that the user is in; empty for one that is in none.
        total: How much matches; None where the request asks for no page.
        facets: The values of each field in `Request.facets`.
        did_you_mean: The query with its misspelt words corrected; empty where none is.
        relaxed: `words` where no item has all words of the query, so that those with some of them match.
        without: Where nothing matches: how much would without each condition of the filter.
        exposure: The outcome of `Request.exposure`; None without one.
        sponsored: The outcome of pins with a label; None without any.
    """

    bundle: str = ""
    degraded: tuple[str, ...] = ()
    candidates: Mapping[str, int] = field(default_factory=dict)
    microseconds: Mapping[str, float] = field(default_factory=dict)
    returned: int = 0
    user_known: bool = False
    history_unknown: int = 0
    encoder: str = ""
    rules: tuple[RuleOutcome, ...] = ()
    explore: ExploreOutcome | None = None
    understood: Mapping[str, Any] = field(default_factory=dict)
    position: int | None = None
    opted_out: bool = False
    arm: str = ""
    total: Total | None = None
    facets: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)
    did_you_mean: str = ""
    relaxed: tuple[str, ...] = ()
    without: Mapping[str, int] = field(default_factory=dict)
    exposure: ExposureOutcome | None = None
    sponsored: SponsoredOutcome | None = None


@dataclass(frozen=True)
class SearchResult:
    """The result of one request.

    Attributes:
        items: Ranked items, best first.
        status: How the result was made.
        request_id: Id of the call in the server's traces and log.
    """

    items: tuple[Item, ...]
    status: Status
    request_id: str = ""

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rank: int) -> Item:
        """Returns the item at a rank, counted from 0."""
        return self.items[rank]


@dataclass(frozen=True)
class Suggestion:
    """One completion of a prefix.

    Attributes:
        text: The completed query.
        score: Its popularity: events of the items with that name, plus how often it was asked.
    """

    text: str
    score: float
