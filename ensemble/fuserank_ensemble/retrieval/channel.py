"""What every retrieval channel is: a batch of queries in, for each a list of items out, best first.

A channel declares itself: its class carries a `ChannelDeclaration`, and `fuserank_ensemble.retrieval.channels.registry`
lists the class. Fusion's weights, the ranker's features and the metrics follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.segments import groups_of
from fuserank_ensemble.retrieval.fold_in import NewItemUsers
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.word_matches import WordMatches
from fuserank_ensemble.understanding.query import UnderstoodQuery

# What a request holds: a query, a user with a history, or both; `similar` is the model that finds items like an item.
RequestKind = Literal["query", "both", "user", "similar"]
REQUEST_KINDS: tuple[RequestKind, ...] = ("query", "both", "user", "similar")
# Text channels match the query alone. With a query, candidate channels choose from what those matched.
Phase = Literal["text", "candidate"]


LEAST_SHARE = 0.5  # of its vote that an item has in the pool
ROUNDING = 1e-6  # of a score: what differs by less is equal
HALF_TRUSTED = 200.0  # events of a log from which what was learned of it counts half


class ChannelUnavailableError(RuntimeError):
    """A channel that cannot answer at present; the others do without it, and the reply says so (`degraded`)."""


@dataclass(frozen=True)
class RankedItems:
    """A channel's list, best first.

    Attributes:
        rows: Item rows without repeats, int32 `[listed]`.
        scores: The channel's own score of each, float32 `[listed]`, never increasing.
        shares: What share of its vote counts for each, float32 `[listed]`; None where all of each counts.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    shares: NDArray[np.float32] | None = None

    @classmethod
    def empty(cls) -> RankedItems:
        """A list of nothing."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    @classmethod
    def best(cls, rows: NDArray[np.int32], scores: NDArray[np.float32], depth: int) -> RankedItems:
        """The `depth` best of some scored rows; equal scores keep their order."""
        if len(rows) > 4 * depth:
            # Sorting is for the few that stay. A cut among equals keeps them all for the stable sort.
            least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            kept = scores >= least
            rows, scores = rows[kept], scores[kept]
        order = (-scores).argsort(kind="stable")[:depth]
        return cls(rows[order].astype(np.int32, copy=False), scores[order].astype(np.float32, copy=False))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def voting(self) -> RankedItems:
        """The items that have half of their vote at least: what others may choose from."""
        if self.shares is None:
            return self
        kept = self.shares >= LEAST_SHARE
        return RankedItems(self.rows[kept], self.scores[kept], self.shares[kept])

    def within(self, wanted: NDArray[np.bool_]) -> RankedItems:
        """The items that are wanted, bool `[items of the catalogue]`."""
        kept = wanted[self.rows]
        if kept.all():
            return self
        return RankedItems(self.rows[kept], self.scores[kept], None if self.shares is None else self.shares[kept])

    def top(self, depth: int) -> RankedItems:
        """The first `depth` items."""
        return RankedItems(self.rows[:depth], self.scores[:depth])

    def distinguishing(self, depth: int) -> RankedItems:
        """The list; an empty one where several items have one score and none scores less, which tells nothing apart.

        Args:
            depth: Where the list was cut: behind it may be what scores less.
        """
        # The first two tell most lists: all are read only where these are equal.
        if 1 < len(self) < depth and not (starts_of_ties(self.scores[:2])[1] or starts_of_ties(self.scores)[1:].any()):
            return RankedItems.empty()
        return self

    def without_split_ties(self, depth: int) -> RankedItems:
        """The list, without a vote for those that tie with its last item where it was cut at `depth`.

        Which of them are listed is chance.
        """
        if len(self) < max(depth, 2) or starts_of_ties(self.scores[-2:])[1]:
            return self
        first = int(np.flatnonzero(starts_of_ties(self.scores))[-1])
        shares = np.ones(len(self), np.float32) if self.shares is None else self.shares.copy()
        shares[first:] = 0.0
        return RankedItems(self.rows, self.scores, shares)


def starts_of_ties(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns which scores of a falling list are below the one before them by more than rounding, bool `[listed]`."""
    starts = np.ones(len(scores), np.bool_)
    starts[1:] = scores[:-1] - scores[1:] > ROUNDING * np.abs(scores[:-1])
    return starts


@dataclass(frozen=True)
class Knowledge:
    """What a channel can know, on which the weight of its votes depends.

    Attributes:
        items: Items that it can know something of, bool `[items]`; None for all.
        trust: The share of its weight that counts, 0 to 1, by how much it was learned from.
    """

    items: NDArray[np.bool_] | None = None
    trust: float = 1.0


def trust_in_log(events: float) -> float:
    """Returns how far what was learned from so many events counts, 0 to 1: a handful of them is chance."""
    return events**2 / (events**2 + HALF_TRUSTED**2)


@dataclass(frozen=True)
class MatchScope:
    """What a request that lists only what matches its query may match.

    Attributes:
        visible: Which items may be shown to anybody, bool `[items]`; None where all may.
        narrowed: Whether the request lets fewer be shown, such as by a filter.
    """

    visible: Mask | None = None
    narrowed: bool = False


@dataclass(frozen=True)
class ChannelQuery:
    """One request as channels see it.

    Attributes:
        query: The normalised query; empty for none.
        embedding: The query's L2-normalised embedding, float32 `[dim]`; zeros without a query, or for one that the
            encoder cannot read.
        seen: The user's history.
        now: The request's time, epoch seconds.
        allowed: Which items may be returned, `[items]`; None allows all.
        condition: The filter that `allowed` is the answer to, for engines that filter by themselves; None where
            `allowed` cannot be expressed as a filter.
        context: Where the request is made, and on what: `region`, `store` and `device`, as far as known.
        pool: Rows that match the query, best first, from which candidate channels choose; None without a query.
        required: Rows that are candidates whatever the channels find, such as pinned ones; None for none.
        newcomers: How many items of the channels for exploration are candidates whatever the others find.
        understood: The query, taken apart; None where it is taken as it stands.
        segments: What the shop says of the user: values by column.
        related_only: Whether an item needs a relation to the history that can be named, such as a brand in common.
        disliked: What the user returned, disliked or rated low; its counts say how strongly.
        scope: Where only what matches the query is a candidate; None where whatever channels find may be one.
        shared_mask: Names `allowed` where it is nobody's own, so that equal names mean equal masks; None of one's own.
        text_channels_only: Whether the channels that choose among what matched are not asked.
    """

    query: str
    embedding: NDArray[np.float32]
    seen: History
    now: float
    allowed: Mask | None = None
    condition: Mapping[str, Any] | None = None
    context: Mapping[str, str] | None = None
    pool: NDArray[np.int32] | None = None
    required: NDArray[np.int32] | None = None
    newcomers: int = 0
    understood: UnderstoodQuery | None = None
    segments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    related_only: bool = False
    disliked: History = field(default_factory=History.empty)
    scope: MatchScope | None = None
    shared_mask: str | None = None
    text_channels_only: bool = False

    @property
    def groups(self) -> dict[str, Sequence[str]]:
        """The groups that the user is in, by kind, as `Contexts` names them."""
        return groups_of(self.segments, self.context or {})

    @property
    def is_embedded(self) -> bool:
        """Whether its embedding says what the query means."""
        return bool(self.query) and bool(self.embedding.any())

    @property
    def words(self) -> str:
        """What to search for by words: the query without sizes."""
        return self.query if self.understood is None else self.understood.words


@dataclass(frozen=True)
class Pool:
    """What a text channel lets the candidate channels choose from.

    Attributes:
        rows: Rows that match the query about as well as the channel's best, best first, int32 `[matches]`.
        sufficient: Whether these matches are so good that no other channel's are needed.
    """

    rows: NDArray[np.int32]
    sufficient: bool = False


@dataclass(frozen=True)
class Feature:
    """One column of the ranker's input.

    Attributes:
        name: The column's name.
        signal: The signal that it counts towards in an explanation.
        meaning: What it holds, in words.
    """

    name: str
    signal: str
    meaning: str


@dataclass(frozen=True)
class ScoreFeature(Feature):
    """A channel's score as a column of the ranker's input; `log` takes it as log(1 + score)."""

    log: bool = False


@dataclass(frozen=True)
class EventsRead:
    """What a channel or a head of the ranker takes from a log.

    Attributes:
        kinds: Names of the kinds of events that it reads, of `EVENTS`.
        how: What one event does, in words.
    """

    kinds: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class ChannelDeclaration:
    """What the rest of the system needs to know of a channel.

    Attributes:
        name: Its name in weights, status and metrics.
        phase: Whether it matches the query (`text`) or chooses among the matches (`candidate`).
        weights: The default weight of its votes in fusion, by kind of request; it is not asked for kinds left out.
        rank: Its rank as a feature.
        score: Its score as a feature; None where the ranker has a better one.
        pool: Of a text channel: the items of its list that candidate channels choose from.
        certain_score: Of a text channel: the least score of an item that matches for certain. What scores less is a
            guess, whose vote counts as far as the encoder agrees. None where all is certain.
        needs_embedding: Of a text channel: whether it reads the query's embedding. One that does not is searched while
            the encoder runs.
        for_exploration: Whether requests that explore ask it whatever its weight, and keep `newcomers` of its items.
        ties_by_popularity: Whether the more popular of equal scores comes first: then only what is as popular, too,
            shares a rank.
        relates: Whether an item in its list has a relation to what was asked that can be named: a word, a brand or
            users in common.
        scores_cosine: Whether its score is the cosine of an item's text and what was asked: how near it is in meaning.
        lists_history: Whether its list is what the user had, which needs nothing else to be believed.
        reads: Which kinds of events it knows of, and how they count; a channel that reads none knows the catalogue
            alone.
    """

    name: str
    phase: Phase
    weights: Mapping[RequestKind, float]
    rank: Feature
    score: ScoreFeature | None = None
    pool: Callable[[RankedItems], Pool] | None = None
    certain_score: float | None = None
    needs_embedding: bool = False
    for_exploration: bool = False
    ties_by_popularity: bool = False
    relates: bool = False
    scores_cosine: bool = False
    lists_history: bool = False
    reads: EventsRead = field(default_factory=lambda: EventsRead((), ""))

    @property
    def features(self) -> tuple[Feature, ...]:
        """Its columns of the ranker's input."""
        return (self.rank,) if self.score is None else (self.score, self.rank)


def nearness_channels(declarations: Sequence[ChannelDeclaration], phase: Phase | None = None) -> list[str]:
    """Returns the names of channels whose scores are cosines; what is near to an item comes before near to words.

    Args:
        declarations: The channels.
        phase: Only those of this phase; None for all.
    """
    phases: tuple[Phase, ...] = (phase,) if phase else ("candidate", "text")
    return [
        declared.name for of in phases for declared in declarations if declared.phase == of and declared.scores_cosine
    ]


class Channel(Protocol):
    """A way to find candidates. Filters hold inside it, before its list is cut."""

    declaration: ClassVar[ChannelDeclaration]

    @property
    def knowledge(self) -> Knowledge:
        """What it can know: by default something of every item, in full trust."""
        return Knowledge()

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """Finds at most `depth` items for each query; an empty list for a query that it has no answer to.

        What it knows nothing of is not listed, and equal scores mean that it knows no difference.

        Raises:
            ChannelUnavailableError: Where what it depends on does not answer.
        """
        ...

    def match(self, query: ChannelQuery) -> WordMatches | None:
        """All items that match a query by its words, whatever the request lets be shown; None of a channel without."""
        del query
        return None

    def prepare(self, queries: Sequence[ChannelQuery]) -> None:
        """Computes ahead what `search` needs of the queries beside their embeddings; nothing by default."""
        del queries

    def with_popularity(self, popularity: Popularity) -> Self:
        """Returns the same where all users' events by item are others; what is learned at export alone stays."""
        del popularity
        return self

    @property
    def factors(self) -> FactorChannel | None:
        """The channel itself where it searches by factors that users and new items get later; None for all others."""
        return None


class FactorChannel(Channel, Protocol):
    """A channel that searches by factors of users and items, and finds those of new items by who had them."""

    first_users: NewItemUsers

    def with_first_users(self, first: NewItemUsers) -> Self:
        """Returns the same where other users had the new items; another thread may be searching this one."""
        ...

    def solve_bundled(self, seen: History, disliked: History) -> tuple[NDArray[np.float32], float] | None:
        """A user's factors by the bundle's items alone, and the mean score of these; None where there are none."""
        ...

    def prior_precision(self, users: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """How firmly the items hold a new one, see `fold_in.prior_precision`, by some users' factors."""
        ...


class LocalChannel(Channel, Protocol):
    """A channel over a bundle's own index, as the registry lists them."""

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self | None:
        """Opens it; None where the index lacks the parts that it needs, such as a log."""
        ...

    def over(self, index: RetrievalIndex) -> Self:
        """Returns the same over an index with new items, or with other texts of some; by default it is opened again.

        Another thread may be searching this one: what that changes is left alone.
        """
        return self.open(index) or self
