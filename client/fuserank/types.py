"""Requests and results as immutable values.

Only the server validates a request: values are sent as they are. An option that is `None` is not sent, so that the
server's default applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Language = Literal["en", "zh"]


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


Sort = Literal["relevance", "price_asc", "price_desc", "newest", "rating", "popularity"]


class SearchOptions(TypedDict, total=False):
    """The keyword options of `search` and `recommend`; `Request` describes them."""

    k: int | None
    history: Sequence[str] | None
    filter: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    objective: Mapping[str, float] | None
    diversity: float | None
    exclude_seen: bool | None
    deadline_ms: float | None
    explain: bool | None
    fields: Sequence[str] | None
    rules: Sequence[Rule] | None
    explore: Explore | None
    language: Language | None
    understand: bool | Sequence[str] | None
    session_id: str | None
    min_position: int | None
    facets: Sequence[str | Facet] | None
    offset: int | None
    sort: Sort | None
    collapse: bool | str | None
    highlight: bool | None
    probability: bool | None
    exposure: Mapping[str, Exposure] | None


class SimilarOptions(TypedDict, total=False):
    """The keyword options of `similar`; `Request` describes those that both have.

    Attributes:
        user: Who looks: what this user hid is left out.
        session_id: The session of who looks: what was hidden in it is left out.
        relation: `substitute` for what may stand in, the default, or `complement` for what is had together with it.
        basket: Ids of items in place of one.
    """

    k: int | None
    filter: Mapping[str, Any] | None
    fields: Sequence[str] | None
    explain: bool | None
    language: Language | None
    user: str | None
    session_id: str | None
    min_position: int | None
    relation: Literal["substitute", "complement"] | None
    basket: Sequence[str] | None


@dataclass(frozen=True)
class Request:
    """One request: a query (search), a user (recommendation), or both.

    Attributes:
        query: What was typed; may be empty.
        user: Id of the user who asks; may be empty, and an unknown id counts as a new user.
        k: How many items to return.
        history: Item ids, newest last. Replaces the history that the server has stored for the user.
        filter: Conditions on catalogue fields, such as `{"brand": "Acme", "price": {"gte": 1, "lt": 5}}`.
        context: Where and when: `timestamp` (epoch seconds or ISO 8601), `region`, `store`, `device`.
        objective: Weights of the ranker's heads: `relevance`, `click`, `purchase`.
        diversity: From 0 (ranking alone) to 1 (variety alone).
        exclude_seen: Whether to leave out items of the history, and other packages of the same products.
        deadline_ms: Milliseconds that the server may spend. It cuts work short rather than failing, and lists what
            it cut in `Status.degraded`; the client's `timeout` is the hard limit.
        explain: Whether to return the signals behind each score.
        fields: Catalogue fields to return with each item.
        rules: Items to boost, bury and pin, at most 16 rules; `Status.rules` has the outcome of each.
        explore: Where to show items with few events; no exploration where None.
        language: Language of the signals' reasons: `en` or `zh`.
        understand: Whether sizes, prices, negation, fillers, synonyms and misspelt words in the query are taken for
            what they are, which is the default; False takes its words as they stand, a list such as
            `["sizes", "prices"]` all but what it names.
        session_id: The session of who asks: its events count for somebody who is not logged in, and add to a user's.
        min_position: What the answer must know of the log, as `RecordResult.position` says; `Status.degraded` holds
            `stale` where it does not in time.
        facets: Fields whose values are counted over all that matches, see `Status.facets`. This, `offset`, `sort` and
            `collapse` list what matches alone, and `Status.total` says how much that is.
        offset: How many items come before: 20 with `k` 10 is the third page.
        sort: The order; by relevance where None.
        collapse: True makes packages of one product one tile, a field's name all items of one value; see
            `Item.variants`.
        highlight: Whether to mark the matched words, see `Item.highlights`.
        probability: Whether to say how likely each item is taken, see `Item.probability`.
        exposure: By field what share of a page one value may have, such as `{"brand": {"max_share": 0.4}}`; see
            `Status.exposure`.
    """

    query: str = ""
    user: str = ""
    k: int | None = None
    history: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    objective: Mapping[str, float] | None = None
    diversity: float | None = None
    exclude_seen: bool | None = None
    deadline_ms: float | None = None
    explain: bool | None = None
    fields: Sequence[str] | None = None
    rules: Sequence[Rule] | None = None
    explore: Explore | None = None
    language: Language | None = None
    understand: bool | Sequence[str] | None = None
    session_id: str | None = None
    min_position: int | None = None
    facets: Sequence[str | Facet] | None = None
    offset: int | None = None
    sort: Sort | None = None
    collapse: bool | str | None = None
    highlight: bool | None = None
    probability: bool | None = None
    exposure: Mapping[str, Exposure] | None = None


@dataclass(frozen=True)
class Signal:
    """One reason behind a score.

    Attributes:
        name: The signal, such as `text` or `popularity`; `base` is the score of an item without any signal, and
            `placement` is the reason why an item stands where its score would not put it.
        value: The signal's own value, in its own unit.
        contribution: What it adds to the score; an item's contributions, `base` included, sum to its score.
        share: Its part of the sum of absolute contributions, from 0 to 1.
        reason: The signal in words.
    """

    name: str
    value: float = 0.0
    contribution: float = 0.0
    share: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Variant:
    """An item beneath a tile: its catalogue id, and the fields that the request named."""

    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One ranked item.

    Attributes:
        id: Its catalogue id.
        score: Higher is better.
        fields: The fields that the request named.
        signals: What the score is made of; empty unless the request asked to explain.
        heads: The ranker's probability of each head; empty unless the request asked to explain.
        placed: What put it here in place of its score: `pin`, `explore`, or empty.
        scored: Whether the ranker scored it. False for a pinned item that retrieval did not find: its score is that
            of the mean candidate.
        propensity: The probability that it stands at this place, given the candidates; None without exploration.
        highlights: Of each field in parts by turns without and with a match, so that `parts[1::2]` are what matches;
            empty unless the request asked to highlight.
        variants: The first of the items beneath it; empty unless the request collapses.
        variant_count: How many items are beneath it.
        probability: How likely what the request ranks by happens, 0 to 1; None unless the request asked for it.
        sponsored: The label of the pin that put it here; empty for any other.
    """

    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    heads: Mapping[str, float] = field(default_factory=dict)
    placed: str = ""
    scored: bool = True
    propensity: float | None = None
    highlights: Mapping[str, Sequence[str]] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    variant_count: int = 0
    probability: float | None = None
    sponsored: str = ""


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


@dataclass(frozen=True)
class Total:
    """How many items match on all pages; of tiles, how many tiles.

    Attributes:
        value: The number.
        relation: `eq` where it is exact, `gte` where there may be more.
    """

    value: int
    relation: str = "eq"


@dataclass(frozen=True)
class FacetValue:
    """A value of a field, or a range of a number, and how many match.

    Attributes:
        count: How many are left where the filter names it.
        value: The value; of a category the whole path. None for a range.
        low: Least number of a range; None for any.
        high: Number below which a range ends; None for any.
        children: The categories below a category.
    """

    count: int
    value: str | bool | None = None
    low: float | None = None
    high: float | None = None
    children: tuple[FacetValue, ...] = ()

    @property
    def condition(self) -> Any:
        """What the request's `filter` holds for the field to leave these alone."""
        if self.value is not None:
            return self.value
        return {bound: number for bound, number in (("gte", self.low), ("lt", self.high)) if number is not None}


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


@dataclass(frozen=True)
class ModelStatus:
    """One version of one model in the server's repository; `state` is Triton's word, such as `READY`."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ServerStatus:
    """The state of a server.

    Attributes:
        live: Whether the process answers.
        ready: Whether all its models are loaded.
        version: Triton's version, empty where the server does not state it.
        model: The model that answers searches.
        model_ready: Whether that model takes requests.
        models: The repository's models, empty where the server keeps its index private.
        bundle: Id of the bundle that is served, `None` where the search for one item failed.
    """

    live: bool
    ready: bool
    version: str
    model: str
    model_ready: bool
    models: tuple[ModelStatus, ...]
    bundle: str | None
