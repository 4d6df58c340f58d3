"""The resolved request that `preprocess` hands to the later stages, and what `retrieve` reports beside candidates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.pages.layout import PageFacts, Total, Variants
from fuserank_ensemble.contract.controls import Explore, Language, Rule
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.contract.page import PageRequest
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.segments import groups_of
from fuserank_ensemble.understanding.query import UnderstoodQuery


class Shadow(msgspec.Struct, array_like=True):
    """How another arm of an experiment answers a request; its list is logged, not shown."""

    arm: str
    weights: tuple[float, ...]  # of HEADS
    diversity: float
    rules: list[Rule]
    user: bytes  # who asks, as the log knows the user; empty where nobody is logged in
    session: bytes


class Sampled(msgspec.Struct, array_like=True):
    """What the log keeps of a request beside what the ranker read, see `FeatureSample`."""

    user: bytes
    session: bytes
    options: str
    position: int


class ResolvedRequest(msgspec.Struct, array_like=True, kw_only=True):
    """A request with everything looked up. It travels as one MessagePack string, so that shapes never differ.

    Times are nanoseconds of the machine's monotonic clock, which all stages of one server share.
    """

    has_query: bool
    user_known: bool
    k: int
    now: float  # the request's own time, epoch seconds
    seen: bytes  # the history, see `History.pack`
    filter: dict[str, Any] | None
    weights: tuple[float, ...]  # of HEADS
    diversity: float
    exclude_seen: bool
    explain: bool
    fields: list[str]
    query: str
    context: dict[str, str]  # region, store and device, as far as known
    history_unknown: int
    degraded: list[str]
    started_ns: int
    finished_ns: int  # when preprocess was done
    deadline_ns: int  # 0: none
    kind: str = ""  # whose channel weights hold, such as "similar"; empty: it follows from the request
    rules: list[Rule] = []
    explore: Explore | None = None
    language: Language = "en"
    bought: bool = False  # all of the history are purchases
    understood: UnderstoodQuery | None = None  # the query, taken apart; None without one
    disliked: bytes = b""  # what the user returned, disliked or rated low, see `History.pack`; counts are strengths
    hidden: bytes = b""  # rows of the items that the user never wants to see, int32
    position: int | None = None  # up to where the log of events counts; None where none is kept
    opted_out: bool = False  # the user wants no personal answers
    segments: dict[str, list[str]] = {}  # what the shop says of the user: values by column
    catalog: int = 0  # position of the newest change of the catalogue that the request was resolved with
    arm: str = ""  # of the experiment that the user is in; empty for one that is in none
    shadow: Shadow | None = None  # how another arm answers as well
    bundle: str = ""  # id of the bundle that it was resolved with: row numbers are of no other
    page: PageRequest | None = None  # what makes it a page of what matches; None lists what channels find
    highlight: bool = False
    probability: bool = False
    shares: dict[str, float] = {}  # what share of a page one value of a field may have
    did_you_mean: str = ""  # the query with its misspelt words corrected; empty where none is
    sampled: Sampled | None = None  # what the log keeps of it; None of most requests

    @property
    def history(self) -> History:
        """What the user had before."""
        return History.unpack(self.seen)

    @property
    def disliked_items(self) -> History:
        """What the user does not like, and how strongly."""
        return History.unpack(self.disliked)

    @property
    def hidden_rows(self) -> NDArray[np.int32]:
        """Rows of the items that the user never wants to see, int32 `[items]`."""
        return np.frombuffer(self.hidden, np.int32)

    @property
    def last_place(self) -> int:
        """The last place of the list that is filled, from 1; of a page that of the last pin, too."""
        if self.page is None:
            return self.k
        return max([self.k + self.page.offset, *(rule.last_pin for rule in self.rules if rule.pin is not None)])

    @property
    def ranked_kind(self) -> str:
        """Which kind of request it is to the ranker, see `GraphSpec.ranked_kinds`."""
        if not self.has_query:
            return "discover" if self.exclude_seen else "user"
        return "both" if len(self.history) else "query"

    @property
    def groups(self) -> dict[str, Sequence[str]]:
        """The groups that the user is in, by kind, as `Contexts` names them."""
        return groups_of(self.segments, self.context)

    @property
    def steered(self) -> bool:
        """Whether anything but the score decides the order."""
        return bool(self.diversity or self.rules or self.explore)

    @property
    def explores_by_thompson(self) -> bool:
        """Whether slots choose by what was clicked before."""
        return self.explore is not None and self.explore.method == "thompson"

    @property
    def in_shadow(self) -> ResolvedRequest | None:
        """The request as the other arm answers it; None where none does."""
        shadow = self.shadow
        if shadow is None:
            return None
        return msgspec.structs.replace(
            self, weights=shadow.weights, diversity=shadow.diversity, rules=shadow.rules, explore=None
        )

    def within(self, items: int) -> ResolvedRequest:
        """Returns the request without items from a row on: another process knew them before the one that asks."""
        seen, disliked, hidden = self.history, self.disliked_items, self.hidden_rows
        return msgspec.structs.replace(
            self,
            seen=seen.part(seen.rows < items).pack(),
            disliked=disliked.part(disliked.rows < items).pack() if len(disliked) else b"",
            hidden=hidden[hidden < items].tobytes(),
        )

    def milliseconds_left(self) -> float:
        """What is left of the deadline; infinite where none was given, negative where it has passed."""
        return (self.deadline_ns - time.monotonic_ns()) / 1e6 if self.deadline_ns else float("inf")


class PageTrace(msgspec.Struct, array_like=True):
    """What `retrieve` reports to `finalize` of a page.

    Attributes:
        facts: What is said beside the items.
        is_fixed: Whether the candidates are the page's items in their order; else it is a part of the ranked list.
        variants: What is beneath each candidate; None where items are no tiles.
    """

    facts: PageFacts
    is_fixed: bool
    variants: list[Variants] | None = None


class RankerInputs(msgspec.Struct, array_like=True):
    """What the ranker reads of a request beside features, for the log to keep; arrays as bytes.

    Attributes:
        embedding: Of the query, float32 `[dim]`.
        texts: Row of each candidate's text vector, int32 `[candidates]`.
        events: Rows of the text vectors of the user's latest items, int32 `[events]`.
        moments: When and how often those were had, float32 `[events, 3]`.
    """

    embedding: bytes
    texts: bytes
    events: bytes
    moments: bytes


class RetrievalTrace(msgspec.Struct, array_like=True):
    """What `retrieve` reports to `finalize` beside the candidates."""

    candidates: dict[str, int]  # per channel, and "fused"
    degraded: list[str]
    started_ns: int
    finished_ns: int
    catalog: int = 0  # position of the newest change of the catalogue that counts in the answer
    page: PageTrace | None = None
    popularity: int = 0  # up to where all users' events count
    first_users: int | None = None  # up to where it counts who had new items; None where that is not known
    read: RankerInputs | None = None  # of a request that is sampled


class Status(msgspec.Struct):
    """The `STATUS` output; what the request did not ask for is left out."""

    bundle: str
    degraded: list[str]
    candidates: dict[str, int]
    microseconds: dict[str, int]
    returned: int
    user_known: bool
    history_unknown: int
    encoder: str | msgspec.UnsetType = msgspec.UNSET  # what read the query, see `graph.texts.name_query_encoder`
    # What each rule did, see `fuserank_ensemble.ranking.rules`.
    rules: Sequence[msgspec.Struct] | msgspec.UnsetType = msgspec.UNSET
    understood: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    explore: msgspec.Struct | msgspec.UnsetType = msgspec.UNSET
    position: int | msgspec.UnsetType = msgspec.UNSET
    opted_out: bool | msgspec.UnsetType = msgspec.UNSET
    arm: str | msgspec.UnsetType = msgspec.UNSET
    total: Total | msgspec.UnsetType = msgspec.UNSET
    facets: dict[str, list[dict[str, Any]]] | msgspec.UnsetType = msgspec.UNSET
    did_you_mean: str | msgspec.UnsetType = msgspec.UNSET
    relaxed: list[str] | msgspec.UnsetType = msgspec.UNSET
    without: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    exposure: msgspec.Struct | msgspec.UnsetType = msgspec.UNSET
    sponsored: msgspec.Struct | msgspec.UnsetType = msgspec.UNSET


_REQUEST = msgspec.msgpack.Decoder(ResolvedRequest)
_TRACE = msgspec.msgpack.Decoder(RetrievalTrace)
encode = msgspec.msgpack.Encoder().encode


def decode_requests(tensor: NDArray[np.object_]) -> list[ResolvedRequest]:
    """Reads a `REQUEST` tensor `[batch, 1]`."""
    return [_REQUEST.decode(raw) for raw in tensor[:, 0]]


def decode_traces(tensor: NDArray[np.object_]) -> list[RetrievalTrace]:
    """Reads a `RETRIEVAL` tensor `[batch, 1]`."""
    return [_TRACE.decode(raw) for raw in tensor[:, 0]]


def head_weights(given: tuple[float, ...], has_query: bool) -> tuple[float, ...]:
    """Scales weights of the heads to sum 1; without a query the head `relevance` counts 0.

    Where no other head has weight, all weights are 0: every score is, and the order of fusion stands.
    """
    weights = [w if has_query or head != "relevance" else 0.0 for head, w in zip(HEADS, given, strict=True)]
    return tuple(w / (sum(weights) or 1.0) for w in weights)


def bundles_of(tensor: NDArray[np.object_]) -> list[str]:
    """Returns which bundle each row of a `REQUEST` tensor `[batch, 1]` was resolved with."""
    return [row.bundle for row in decode_requests(tensor)]
