"""What goes into a request and what comes out, as plain values.

Everything here is frozen; nothing here knows the wire. The server is the one judge of a request: values pass
through untouched, and an option that is left `None` is not sent, so that the server's default applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Language = Literal["en", "zh"]


class Rule(TypedDict, total=False):
    """A business rule: one of `boost`, `bury` and `pin`, for one of `filter` and `item_ids`.

    Attributes:
        boost: Adds so many standard deviations of the candidates' scores, up to 5.
        bury: Takes them away.
        pin: A place from 1 to k.
        filter: Which candidates, as `Request.filter` says it.
        item_ids: Which items; pinned ones are shown even where they were not found.
    """

    boost: float
    bury: float
    pin: int
    filter: Mapping[str, Any]
    item_ids: Sequence[str]


class Explore(TypedDict, total=False):
    """Gives items that few users know a chance, at a probability that `Item.propensity` tells.

    Attributes:
        rate: Probability that a slot explores.
        slots: Places from 1 to k that may explore; by default the last.
        seed: The same seed draws the same list from the same candidates; by default `Status.explore` names a fresh one.
        max_events: Items with fewer events of all users are uncertain.
    """

    rate: float
    slots: Sequence[int]
    seed: int
    max_events: int


class SearchOptions(TypedDict, total=False):
    """The keyword options of `search` and `recommend`; `Request` says what each one means."""

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


class SimilarOptions(TypedDict, total=False):
    """The keyword options of `similar`; they mean what those of `search` mean."""

    k: int | None
    filter: Mapping[str, Any] | None
    fields: Sequence[str] | None


@dataclass(frozen=True)
class Request:
    """One question: a query (search), a user (recommendation), or both.

    Attributes:
        query: What was typed; may be empty.
        user: Who asks; may be empty, and an unknown user is answered as a new one.
        k: How many items to return.
        history: Item ids, newest last. Replaces the history that the server has stored for the user.
        filter: Conditions on catalogue fields, such as `{"brand": "Acme", "price": {"gte": 1, "lt": 5}}`.
        context: Where and when: `timestamp` (epoch seconds or ISO 8601), `region`, `store`.
        objective: Weights of the ranker's heads: `relevance`, `click`, `purchase`.
        diversity: From 0 (ranking alone) to 1 (variety alone).
        exclude_seen: Leave out items of the history.
        deadline_ms: Milliseconds that the server may spend. It cuts work short rather than failing, and says
            so in `Status.degraded`; the client's `timeout` is the hard limit.
        explain: Return the signals behind each score.
        fields: Catalogue fields to return with each item.
        rules: What to boost, bury and pin, at most 16 rules; `Status.rules` says what each did.
        explore: Whether and where to show items that few users know.
        language: Of the signals' reasons: `en` or `zh`.
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


@dataclass(frozen=True)
class Signal:
    """One reason behind a score.

    Attributes:
        name: The signal, such as `text` or `popularity`; `base` is what an item without any signal scores, `placement`
            says why an item stands where its score would not put it.
        value: The signal's own value, in its own unit.
        contribution: What it adds to the score; an item's contributions, `base` included, sum to its score.
        share: Its part of all that moved the score, from 0 to 1.
        reason: The same in words.
    """

    name: str
    value: float = 0.0
    contribution: float = 0.0
    share: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Item:
    """One ranked item.

    Attributes:
        id: Its catalogue id.
        score: Higher is better.
        fields: The asked fields.
        signals: What the score is made of; empty unless the request asked to explain.
        heads: The ranker's probability of each head; empty unless the request asked to explain.
        placed: Who put it here in place of the ranking: `pin`, `explore`, or empty.
        scored: The ranker has judged it. False for a pinned item that retrieval did not find: its score is that of
            the mean candidate.
        propensity: The probability that it stands at this place, given the candidates; None without exploration.
    """

    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    heads: Mapping[str, float] = field(default_factory=dict)
    placed: str = ""
    scored: bool = True
    propensity: float | None = None


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule of a request did.

    Attributes:
        kind: `boost`, `bury` or `pin`.
        matched: Candidates that it holds for; of a pin of ids: the items that it may show.
        limited: Matched items that all rules together would have moved further than the limit.
        placed: Items that stand where a pin put them.
        moved: Of these, those at another place than asked.
        unplaced: Items of a pin of ids that found no place, or that an earlier pin has.
        filtered_out: Items of a pin of ids that the request's `filter` or `exclude_seen` leaves out.
        unknown: Ids that the catalogue does not have.
    """

    kind: str
    matched: int = 0
    limited: int = 0
    placed: int = 0
    moved: int = 0
    unplaced: int = 0
    filtered_out: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class ExploreOutcome:
    """What exploring did.

    Attributes:
        seed: Brings the list back.
        slots: The places from 1 that could explore.
        pool: How many items could have come in.
        explored: How many did.
    """

    seed: int
    slots: Sequence[int] = ()
    pool: int = 0
    explored: int = 0


@dataclass(frozen=True)
class Status:
    """How an answer came about.

    Attributes:
        bundle: Id of the bundle that answered.
        degraded: Steps that were cut short to keep the deadline; empty for a full answer.
        candidates: How many candidates each channel gave, and `fused` for what the ranker saw.
        microseconds: Time spent per stage, and `total`.
        returned: How many items the row holds.
        user_known: Whether the server has a history of the user.
        history_unknown: How many ids of the given history the catalogue does not have.
        rules: What each rule of the request did, in their order.
        explore: What exploring did; None where the request did not ask for it.
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


@dataclass(frozen=True)
class SearchResult:
    """The answer to one request: ranked items, best first, and how they came about.

    `request_id` is the call's name in the server's traces and log.
    """

    items: tuple[Item, ...]
    status: Status
    request_id: str = ""

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rank: int) -> Item:
        """The item at a 0-based rank."""
        return self.items[rank]


@dataclass(frozen=True)
class Suggestion:
    """What a prefix may become, and how popular that is: events of the items so called, and times it was asked."""

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
    """What a server says about itself.

    Attributes:
        live: The process answers.
        ready: All its models are loaded.
        version: Triton's version, empty where the server does not tell.
        model: The model that answers searches.
        model_ready: Whether that model takes requests.
        models: The repository's models, empty where the server keeps its index private.
        bundle: Id of the bundle that answers, `None` where no search could be answered.
    """

    live: bool
    ready: bool
    version: str
    model: str
    model_ready: bool
    models: tuple[ModelStatus, ...]
    bundle: str | None
