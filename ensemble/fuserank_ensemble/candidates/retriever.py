"""All channels, fused and described by features: what the `retrieve` stage and the ranker's training share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import Evidence, Featuriser, FloatArray
from fuserank_ensemble.interactions.profile import UserProfile
from fuserank_ensemble.interactions.sequence import latest, moments
from fuserank_ensemble.retrieval.channel import Channel, ChannelQuery, ChannelUnavailableError, RankedItems
from fuserank_ensemble.retrieval.channels.collaborative import Collaborative
from fuserank_ensemble.retrieval.channels.content import Content
from fuserank_ensemble.retrieval.channels.dense import Dense
from fuserank_ensemble.retrieval.channels.history import Personal
from fuserank_ensemble.retrieval.channels.lexical import WORDS_SCORE, Lexical
from fuserank_ensemble.retrieval.channels.new import New
from fuserank_ensemble.retrieval.channels.trending import Trending
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion
from fuserank_ensemble.retrieval.graph.index import Graph
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec

TEXT_CHANNELS = ("dense", "lexical")
TEXT_DEPTH = 2  # times as deep as the others
# With a query, the other channels choose among what matches it about as well as the best match does.
POOL_LEXICAL = (
    0.6  # of the best lexical score: keeps its tiers apart, see `fuserank_ensemble.retrieval.channels.lexical`
)
POOL_COSINE = 0.85  # of the best cosine, where no item has all the words


@dataclass(frozen=True)
class Candidates:
    """One request's candidates.

    Attributes:
        rows: Item rows, best fused first, int32 `[candidates]`.
        features: float32 `[candidates, features]`.
        texts: Row of each candidate's text vector, int32 `[candidates]`.
        events: Rows of the text vectors of the user's latest items, newest first, int32, `spec.events` at most.
        moments: When and how often those were had, float32 `[events, 3]`, see `interactions.sequence`.
        found: How many each channel found, and `fused`.
        degraded: What could not be asked, such as `channel:dense`.
    """

    rows: NDArray[np.int32]
    features: FloatArray
    texts: NDArray[np.int32]
    events: NDArray[np.int32]
    moments: FloatArray
    found: dict[str, int]
    degraded: list[str]


@dataclass(frozen=True)
class Prefetch:
    """What is known of some questions before their embeddings are.

    Attributes:
        words: Hits of the channel `lexical`, by position of the question, so that it is asked no more; None where it
            did not answer.
        tastes: Each question's history, summed up.
    """

    words: dict[int, RankedItems] | None
    tastes: list[UserProfile]


def channels(
    catalog: CatalogIndex, learned: InteractionIndex, spec: GraphSpec, dense: Channel | None = None
) -> list[Channel]:
    """Every channel that the index has the parts of; `dense` stands in for the local dense channel."""
    popularity = learned.popularity
    local = Dense(catalog.texts, catalog.items, popularity, spec.dense_texts)
    found: list[Channel] = [
        dense or local,
        Lexical(catalog.lexical, len(catalog.items), popularity.place),
        Personal(),
        Trending(popularity),
        New(catalog.items, popularity),
        Content(local, catalog.items, catalog.vectors),
    ]
    if learned.factors is not None:
        found.append(Collaborative(*learned.factors))
    if learned.graph is not None:
        found.append(Graph(*learned.graph))
    return found


class Retriever:
    """Finds and describes candidates for a batch of questions."""

    def __init__(
        self, catalog: CatalogIndex, learned: InteractionIndex, spec: GraphSpec, dense: Channel | None = None
    ) -> None:
        self.items, self.popularity = catalog.items, learned.popularity
        self._vectors, self._spec = catalog.vectors, spec
        self._featurise = Featuriser(catalog.items, learned.popularity)
        self._channels = channels(catalog, learned, spec, dense)
        self._fusion = ReciprocalRankFusion(len(catalog.items), spec.channel_depth)

    def ahead(self, questions: Sequence[ChannelQuery], kind: str | None = None) -> Prefetch:
        """Asks what needs no embedding; those of the questions are not read.

        It may run in another thread than `retrieve`, as long as they take turns.
        """
        kinds = [kind or kind_of(question) for question in questions]
        words: dict[int, RankedItems] | None = None
        for channel in self._channels:
            mine = self._asked(channel, questions, kinds)
            asked = [questions[i] for i in mine]
            if isinstance(channel, Lexical):
                with suppress(ChannelUnavailableError):
                    found = channel.search(asked, TEXT_DEPTH * self._spec.channel_depth)
                    words = dict(zip(mine, found, strict=True))
            elif isinstance(channel, (Collaborative, Content)):
                channel.remember(asked)
        return Prefetch(words, [UserProfile.of(each.seen, self.items, each.now) for each in questions])

    def retrieve(
        self,
        questions: Sequence[ChannelQuery],
        limits: Sequence[int],
        kind: str | None = None,
        ahead: Prefetch | None = None,
    ) -> list[Candidates]:
        """Finds candidates for each question.

        Args:
            questions: The requests; every channel answers all of them in one call.
            limits: How many candidates each may have at most.
            kind: The kind of request whose weights of the channels hold; by default it follows from each question.
            ahead: What `ahead` answered to these questions, if it was asked.
        """
        kinds = [kind or kind_of(question) for question in questions]
        lists, degraded = self.lists(questions, kinds, words=ahead.words if ahead else None)
        found = []
        for i, (question, each, weighs, limit) in enumerate(zip(questions, lists, kinds, limits, strict=True)):
            weights = self._spec.channel_weights[weighs]
            evidence = self.fused(each, weights, limit, _also(question, each, limit))
            taste = ahead.tastes[i] if ahead else None
            found.append(self._described(question, each, evidence, weights, degraded, taste))
        return found

    def describe(self, questions: Sequence[ChannelQuery], rows: Sequence[NDArray[np.int32]]) -> list[Candidates]:
        """Describes given items as candidates of each question, whether or not a channel finds them.

        Args:
            questions: The requests; every channel answers all of them in one call.
            rows: Item rows to describe for each, int32 without repeats.

        Returns:
            For each question exactly its rows, best fused first.
        """
        kinds = [kind_of(question) for question in questions]
        lists, degraded = self.lists(questions, kinds)
        found = []
        for question, each, kind, given in zip(questions, lists, kinds, rows, strict=True):
            weights = self._spec.channel_weights[kind]
            evidence = self.fused(each, weights, len(given), given)
            found.append(self._described(question, each, evidence, weights, degraded))
        return found

    def lists(
        self,
        questions: Sequence[ChannelQuery],
        kinds: Sequence[str],
        everything: bool = False,
        words: Mapping[int, RankedItems] | None = None,
    ) -> tuple[list[dict[str, RankedItems]], list[str]]:
        """Every channel's hits for each question, and which channels could not be asked.

        Args:
            questions: The requests.
            kinds: The kind of each; a channel that weighs nothing for a kind is not asked.
            everything: Ask every channel nevertheless.
            words: What the channel `lexical` has answered already, see `Prefetch`.
        """
        lists: list[dict[str, RankedItems]] = [{} for _ in questions]
        degraded: list[str] = []
        asked = list(questions)
        for group in (TEXT_CHANNELS, None):
            if group is None:
                asked = [replace(q, near=near(found)) if q.query else q for q, found in zip(asked, lists, strict=True)]
            for channel in self._channels:
                if (channel.name in TEXT_CHANNELS) != (group is not None):
                    continue
                mine = self._asked(channel, questions, kinds, everything)
                # The text channels also say what the others choose from.
                depth = self._spec.channel_depth * (TEXT_DEPTH if group else 1)
                if not mine:
                    continue
                try:
                    if words is not None and isinstance(channel, Lexical):
                        hits = [words[i] for i in mine]
                    else:
                        hits = channel.search([asked[i] for i in mine], depth)
                except ChannelUnavailableError:
                    degraded.append(f"channel:{channel.name}")
                    continue
                for i, each in zip(mine, hits, strict=True):
                    lists[i][channel.name] = each
        return lists, degraded

    def _asked(
        self, channel: Channel, questions: Sequence[ChannelQuery], kinds: Sequence[str], everything: bool = False
    ) -> list[int]:
        """Positions of the questions that a channel is asked."""
        weights = self._spec.channel_weights
        return [
            i
            for i, kind in enumerate(kinds)
            if everything
            or weights[kind].get(channel.name, 0.0) > 0
            or (channel.name == New.name and questions[i].newcomers)
        ]

    def fused(
        self,
        lists: Mapping[str, RankedItems],
        weights: Mapping[str, float],
        limit: int,
        also: NDArray[np.int32] | None = None,
    ) -> Evidence:
        """One list from the channels' lists; `also` is kept in it, see `ReciprocalRankFusion.fuse`."""
        return self._fusion.fuse(lists, {name: weights.get(name, 0.0) for name in lists}, limit, also)

    def _described(
        self,
        question: ChannelQuery,
        lists: dict[str, RankedItems],
        evidence: Evidence,
        weights: Mapping[str, float],
        degraded: list[str],
        taste: UserProfile | None = None,
    ) -> Candidates:
        if question.query and len(evidence.rows):
            # Also of those that another channel found: the ranker compares like with like.
            texts, of = np.unique(self.items.text[evidence.rows], return_inverse=True)
            evidence.scores["dense"] = (self._vectors[texts].astype(np.float32) @ question.embedding)[of]
        taste = taste or UserProfile.of(question.seen, self.items, question.now)
        features = self._featurise(evidence, taste, question.now, bool(question.query))
        found = {name: min(len(hits), self._spec.channel_depth) for name, hits in lists.items()}
        # Another request of the batch may have asked a channel that this one does without.
        missed = [name for name in degraded if weights.get(name.removeprefix("channel:"), 0.0) > 0]
        kept = latest(question.seen, self._spec.events)
        return Candidates(
            evidence.rows,
            features,
            self.items.text[evidence.rows],
            self.items.text[question.seen.rows[kept]],
            moments(question.seen, kept, question.now, self._spec.events),
            found | {"fused": len(evidence.rows)},
            missed,
        )


def _also(question: ChannelQuery, lists: Mapping[str, RankedItems], limit: int) -> NDArray[np.int32] | None:
    """The rows that stay candidates whatever their fused score; of newcomers, at most a quarter of all."""
    new = lists.get(New.name, RankedItems.none()).rows[: min(question.newcomers, limit // 4)]
    asked = new if question.also is None else np.concatenate([question.also, new[~np.isin(new, question.also)]])
    return asked if len(asked) else None


def kind_of(question: ChannelQuery) -> str:
    """Which weights of the channels hold: `query`, `user` or `both`."""
    if not question.query:
        return "user"
    return "both" if len(question.seen) else "query"


def near(lists: Mapping[str, RankedItems]) -> NDArray[np.int32]:
    """The rows that match the query about as well as the best of them, best first.

    Where items have all of the query's words, those are it; elsewhere also what lies near in embedding space.
    """
    lexical, dense = lists.get("lexical", RankedItems.none()), lists.get("dense", RankedItems.none())
    words = lexical.rows[lexical.scores >= POOL_LEXICAL * lexical.scores[:1]] if len(lexical) else lexical.rows
    if len(lexical) and lexical.scores[0] >= WORDS_SCORE:
        return words
    best = dense.scores[:1]
    # A share of a cosine below zero would be above it.
    meaning = dense.rows[dense.scores >= np.minimum(POOL_COSINE * best, best)] if len(dense) else dense.rows
    joined = np.concatenate([meaning, words])
    _, first = np.unique(joined, return_index=True)
    pool: NDArray[np.int32] = joined[np.sort(first)]
    return pool
