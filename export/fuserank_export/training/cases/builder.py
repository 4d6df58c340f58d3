"""Builds training cases with the retriever that serves, on the log as it stood at the query's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.understanding.query import UnderstoodQuery
from fuserank_export.forked import map_forked, spare_processes
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.training_query import TrainingQuery

# Queries and the text rows of each in; the text tower's logits of each pair out.
ReadPairs = Callable[[Sequence[str], Sequence[NDArray[np.int32]]], list[NDArray[np.float32]]]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]  # queries in, `[queries, dim]` out
_BLURRED = "\x00"  # tells the text of a blurred query from its own
_OWN_SHARE = (0.5, 0.9)  # of a blurred query's vector
BATCH = 64  # queries that are retrieved at once
LEAST_BATCHES = 4  # of a process: fewer are done before it has started


@dataclass(frozen=True)
class CaseBuilder:
    """Turns training queries of one moment into cases.

    Attributes:
        catalog: What the channels know of the catalogue.
        spec: The graph.
        embed: Embeds queries.
        parse: Takes queries apart, as serving does.
        read: Reads pairs with the text tower; None where there is none.
        blurred: Share of the queries that are asked as if in words that no item has, see `_blur`.
        release: Called after each batch, in the process that built it.
        folder: Where the cases lie, see `empty_array`; None holds them in memory.
    """

    catalog: CatalogIndex
    spec: GraphSpec
    embed: Embed
    parse: Callable[[str], UnderstoodQuery] = UnderstoodQuery.plain
    read: ReadPairs | None = None
    blurred: float = 0.0
    release: Callable[[], None] = lambda: None
    folder: Path | None = None

    def build(
        self,
        training_queries: Sequence[TrainingQuery],
        interactions: InteractionIndex,
        advanced: Callable[[int], None] = lambda count: None,
    ) -> Cases:
        """Retrieves candidates and computes their features.

        Args:
            training_queries: Queries of one moment.
            interactions: What the channels know of the log by then.
            advanced: Called with the number of queries done, batch by batch.
        """
        retriever = self._retriever(interactions)
        channel_queries = self.channel_queries(training_queries)

        def build_batch(start: int) -> Cases:
            batch = slice(start, start + BATCH)
            asked = self.exclude_seen(channel_queries[batch], training_queries[batch])
            cases = self._build_batch(retriever, asked, training_queries[batch])
            self.release()
            return cases

        starts = range(0, len(training_queries), BATCH)
        # A text tower has threads, which forked processes have not.
        processes = spare_processes(len(starts) // LEAST_BATCHES) if self.read is None else 1

        def built() -> Iterator[Cases]:
            for part in map_forked(build_batch, starts, processes):
                advanced(len(part))
                yield part

        return Cases.collected(built(), len(training_queries), self.folder) if starts else self._blank([])

    def _blank(self, kinds: Sequence[str]) -> Cases:
        width = len(FeatureLayout(self.spec.own_features).features)
        return Cases.blank(kinds, self.spec.candidates, self.spec.events, width)

    def _build_batch(
        self, retriever: Retriever, batch: Sequence[ChannelQuery], training_queries: Sequence[TrainingQuery]
    ) -> Cases:
        """Cases of a few queries; `batch` has them as channels take them."""
        cases = self._blank([query.kind for query in training_queries])
        retrieved = self._candidates(retriever, batch, training_queries)
        for i, candidates in enumerate(retrieved):
            _fill(cases, i, candidates, training_queries[i])
        if self.read is not None and self.spec.text_candidates:
            searches = [i for i, query in enumerate(batch) if query.query]
            texts = [retrieved[i].texts[: self.spec.text_candidates] for i in searches]
            for i, logits in zip(searches, self.read([batch[i].query for i in searches], texts), strict=True):
                cases.reading[i, : len(logits)] = logits
        return cases

    def channel_queries(self, training_queries: Sequence[TrainingQuery]) -> list[ChannelQuery]:
        """Returns the queries as channels take them; `exclude_seen` then takes them a batch at a time."""
        understood = {query.query: self.parse(query.query) for query in training_queries if query.query}
        texts = sorted({parts.text for parts in understood.values()})
        vectors = dict(zip(texts, self.embed(texts), strict=True)) if texts else {}
        no_query = np.zeros(self.spec.embedding_dim, np.float32)
        for query, parts in understood.items():
            draw = np.random.default_rng(crc32(query.encode()))
            if draw.random() < self.blurred:
                blurred = structs.replace(parts, text=f"{parts.text}{_BLURRED}", words="")
                understood[query] = blurred
                vectors[blurred.text] = _blur(vectors[parts.text], vectors[str(draw.choice(texts))], draw)
        return [
            ChannelQuery(
                understood[query.query].text if query.query else "",
                vectors[understood[query.query].text] if query.query else no_query,
                query.seen,
                query.now,
                context=query.places,
                understood=understood.get(query.query),
                segments=query.segments,
            )
            for query in training_queries
        ]

    def exclude_seen(
        self, queries: Sequence[ChannelQuery], training_queries: Sequence[TrainingQuery]
    ) -> list[ChannelQuery]:
        """Returns the queries, of which those for what is new allow nothing that their user had.

        Each of those holds a byte for every item: in a large shop there is room for those of a batch.

        Args:
            queries: What `channel_queries` made of them.
            training_queries: The queries.
        """
        return [
            replace(query, allowed=self._not_seen(query.seen)) if asked.kind == "discover" else query
            for query, asked in zip(queries, training_queries, strict=True)
        ]

    def _not_seen(self, seen: History) -> Mask:
        allowed = np.ones(len(self.catalog.items), np.bool_)
        allowed[self.catalog.items.of_same_products(seen.rows)] = False
        return allowed

    def _retriever(self, interactions: InteractionIndex) -> Retriever:
        # What the catalogue says of an item today it may not have said before anybody had it: a price, if it comes
        # from sales, or a rating would tell which items are going to be sold.
        unsold, items = interactions.popularity.events == 0, self.catalog.items
        if unsold.any() and not unsold.all():
            items = items.without_values(["price", *(feature.source for feature in self.spec.own_features)], unsold)
        return Retriever(replace(self.catalog, items=items), interactions, self.spec)

    def _candidates(
        self, retriever: Retriever, queries: Sequence[ChannelQuery], training_queries: Sequence[TrainingQuery]
    ) -> list[Candidates]:
        """Candidates of each query: what was shown where that is known, else what is retrieved."""
        shown = {
            i: query.shown.rows[: self.spec.candidates]
            for i, query in enumerate(training_queries)
            if query.shown is not None
        }
        others = [i for i in range(len(queries)) if i not in shown]
        described = retriever.describe([queries[i] for i in shown], list(shown.values())) if shown else []
        retrieved = retriever.retrieve([queries[i] for i in others], [self.spec.candidates] * len(others))
        candidates = dict(zip([*shown, *others], [*described, *retrieved], strict=True))
        return [candidates[i] for i in range(len(queries))]


def _blur(vector: NDArray[np.float32], other: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    """Returns a query's vector with some of another query's in it, L2-normalised.

    Made-up queries are in the shop's own words. Whoever asks in others is found by meaning alone, and less exactly: so
    the ranker learns how far nearness tells where no word matches.
    """
    own = draw.uniform(*_OWN_SHARE)
    mixed = own * vector + (1.0 - own) * other
    return (mixed / max(float(np.linalg.norm(mixed)), 1e-6)).astype(np.float32)


def _fill(cases: Cases, i: int, candidates: Candidates, query: TrainingQuery) -> None:
    """Fills in case `i`, but for the text tower's logits."""
    count = len(candidates.rows)
    cases.rows[i, :count] = candidates.rows
    cases.features[i, :count] = candidates.features
    cases.texts[i, :count] = candidates.texts
    cases.events[i, : len(candidates.events)], cases.moments[i] = candidates.events, candidates.moments
    for head, right in enumerate((query.relevant, query.clicked, query.purchased)):
        if right is not None:
            cases.labels[i, :count, head] = np.isin(candidates.rows, right)
    if query.shown is not None:
        order = np.argsort(query.shown.rows)
        at = order[np.searchsorted(query.shown.rows, candidates.rows, sorter=order)]
        cases.positions[i, :count] = query.shown.positions[at]
        cases.propensities[i, :count] = query.shown.propensities[at]
