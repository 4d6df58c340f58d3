"""What goes into a request and what comes out, as plain values.

Everything here is frozen; nothing here knows the wire. The server is the one judge of a request: values pass
through untouched, and an option that is left `None` is not sent, so that the server's default applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict


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
        context: Where and when: `timestamp` (epoch seconds or ISO 8601), `region`, `store`, `device`.
        objective: Weights of the ranker's heads: `relevance`, `click`, `purchase`.
        diversity: From 0 (ranking alone) to 1 (variety alone).
        exclude_seen: Leave out items of the history.
        deadline_ms: Milliseconds that the server may spend. It cuts work short rather than failing, and says
            so in `Status.degraded`; the client's `timeout` is the hard limit.
        explain: Return the signals behind each score.
        fields: Catalogue fields to return with each item.
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


@dataclass(frozen=True)
class Signal:
    """One reason behind a score.

    Attributes:
        name: The signal, such as `text` or `popularity`; `base` is what an item without any signal scores.
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
    """One ranked item: its catalogue id, its score (higher is better), the asked fields and the signals."""

    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()  # empty unless the request asked to explain


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
    """

    bundle: str = ""
    degraded: tuple[str, ...] = ()
    candidates: Mapping[str, int] = field(default_factory=dict)
    microseconds: Mapping[str, float] = field(default_factory=dict)
    returned: int = 0
    user_known: bool = False
    history_unknown: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The answer to one request: ranked items, best first, and how they came about."""

    items: tuple[Item, ...]
    status: Status

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
