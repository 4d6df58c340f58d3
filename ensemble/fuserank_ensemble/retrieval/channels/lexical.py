"""Items whose words match the query: BM25 by tantivy over the catalogue's fields, in tiers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tantivy import Occur, Query

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    Feature,
    LocalChannel,
    Pool,
    RankedItems,
    ScoreFeature,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex
from fuserank_ensemble.retrieval.lexical import tiers
from fuserank_ensemble.retrieval.lexical.documents import items_schema
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.tiers import CODE_SCORE, GUESS_SCORE, WORDS_SCORE, TierBuilder
from fuserank_ensemble.retrieval.lexical.words import clean, words
from fuserank_ensemble.retrieval.word_matches import WordMatches
from fuserank_ensemble.understanding.phrases import find_phrases

# Of the best score: what scores more matches the query about as well as the best. It keeps the tiers apart.
POOL_SHARE = 0.6
# The BM25 that adds half of WORDS_SCORE.
_HALF_WAY = 15.0
# A longer query is cut: a text's beginning says what is wanted.
_QUERY_WORDS = 32
_QUERY_CHARACTERS = 300
# Up to this many allowed rows are part of the query; beyond, the engine is asked for more rows than needed.
_FEW_ALLOWED = 2_000
# Items with all of a query's words that are listed one by one.
MOST_MATCHES = 10_000
# How deep to look for rows that tie with the last one, and in the last tier.
_TIE_ROWS, _LOOSE_TIE_ROWS = 4_096, 1_024
# Rows asked for beyond those wanted: most ties with the last one end within them, and asking again costs more.
_SPARE = 128


def lexical_pool(ranked: RankedItems) -> Pool:
    """The items that match about as well as the best one; where that has all of the query's words, they are enough."""
    best = ranked.scores[:1]
    return Pool(ranked.rows[ranked.scores >= POOL_SHARE * best], sufficient=bool((best >= WORDS_SCORE).any()))


class LexicalChannel(LocalChannel):
    """Items by their words.

    Scores are those of the tiers that `TierBuilder` makes, each with what BM25 adds.

    One instance serves one thread.

    Args:
        index: The index.
        items: Size of the catalogue.
        place: Each item's position by popularity, int64 `[items]`, which orders equal scores; None for the row.

    Raises:
        ValueError: Where index and catalogue differ in size.
    """

    declaration = ChannelDeclaration(
        name="lexical",
        phase="text",
        # More than the dense channel: an encoder may not know the catalogue's language, words always do.
        weights={"query": 1.0, "both": 0.2, "similar": 0.5},
        score=ScoreFeature(
            "lexical_score", "lexical", "log BM25 with its boosts; missing where no word matches", log=True
        ),
        rank=Feature("lexical_rank", "lexical", "log position by that score"),
        pool=lexical_pool,
        certain_score=WORDS_SCORE,
        ties_by_popularity=True,
        relates=True,
    )

    def __init__(self, index: LexicalIndex, items: int, place: NDArray[np.int64] | None = None) -> None:
        if index.items != items:
            raise ValueError(f"lexical index of {index.items} items, catalogue of {items}: export both together")
        self._index = index
        self._place = np.arange(items, dtype=np.int64) if place is None else place
        self._schema = items_schema(len(index.boosts))
        self._tiers = TierBuilder(index)
        # A table of rows, cleaned after each use: faster than sorting two lists to compare them.
        self._listed = np.zeros(items, np.bool_)

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        """See `LocalChannel`."""
        return cls(index.catalog.lexical, len(index.catalog.items), index.interactions.popularity.place)

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`."""
        return [self._search(query, depth) for query in queries]

    def _search(self, query: ChannelQuery, depth: int) -> RankedItems:
        text = clean(query.words)[:_QUERY_CHARACTERS]
        query_words = words(text)[:_QUERY_WORDS]
        understood = query.understood
        amounts, is_certain = (understood.amounts, not understood.corrected) if understood else ((), True)
        allowed = 0 if query.allowed is None else int(np.count_nonzero(query.allowed))
        if not query_words or depth < 1 or not self._index.items or (query.allowed is not None and not allowed):
            return RankedItems.empty()
        rows, scores = np.empty(0, np.int64), np.empty(0, np.float64)
        share = 1.0 if query.allowed is None else allowed / self._index.items
        for base, tier in self._tiers.build(text, query_words, amounts, share, is_certain):
            # Some of the words is little evidence: a long list of it would only cost time.
            room = depth if base >= WORDS_SCORE else min(depth, max(tiers.LOOSE, len(rows)))
            if len(rows) >= room:
                break
            # A tier also finds what the ones above it found. Leaving that out here lets tantivy skip blocks.
            tie_rows = _TIE_ROWS if base else _LOOSE_TIE_ROWS
            tier_rows, bm25 = self._collect(tier, room + len(rows), query.allowed, allowed, tie_rows)
            if len(rows):
                new = self._unlisted(tier_rows, rows)
                tier_rows, bm25 = tier_rows[new], bm25[new]
            if not len(tier_rows):
                continue
            width = WORDS_SCORE if base >= WORDS_SCORE else GUESS_SCORE
            rows = np.concatenate([rows, tier_rows])
            scores = np.concatenate([scores, base + width * bm25 / (bm25 + _HALF_WAY)])
        return RankedItems(rows[:depth].astype(np.int32), scores[:depth].astype(np.float32))

    def match(self, query: ChannelQuery) -> WordMatches:
        """Finds all items that match a query by its words, whatever the request lets be shown.

        Args:
            query: The request; its words are read alone.
        """
        text = clean(query.words)[:_QUERY_CHARACTERS]
        query_words = words(text)[:_QUERY_WORDS]
        if not query_words or not self._index.items:
            return WordMatches()
        understood = query.understood
        amounts, is_certain = (understood.amounts, not understood.corrected) if understood else ((), True)
        rows, complete, is_named = np.empty(0, np.int64), True, False
        for base, tier in self._tiers.build(text, query_words, amounts, 1.0, is_certain):
            if base < GUESS_SCORE or is_named:
                break
            tier_rows, _ = self._collect(tier, MOST_MATCHES + 1, None, 0, 0)
            complete = complete and len(tier_rows) <= MOST_MATCHES
            rows = np.concatenate([rows, tier_rows[self._unlisted(tier_rows, rows)]])
            is_named = base >= CODE_SCORE and len(rows) > 0
        return WordMatches(
            rows[:MOST_MATCHES].astype(np.int32),
            complete and len(rows) <= MOST_MATCHES,
            # What a code names is meant, and what is quoted has to be there.
            sufficient=is_named or bool(find_phrases(text)),
            unknown=self._tiers.unknown_words(query_words),
        )

    def _unlisted(self, rows: NDArray[np.int64], listed: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are not among those that are listed already, bool `[rows]`."""
        self._listed[listed] = True
        unlisted = ~self._listed[rows]
        self._listed[listed] = False
        return unlisted

    def _collect(
        self, query: Query, depth: int, allowed: Mask | None, count: int, tie_rows: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `depth` best allowed rows of a query, ties by popularity, with their BM25."""
        documents, searcher = self._index.documents, self._index.searcher
        limit = depth + _SPARE
        if allowed is not None and count <= _FEW_ALLOWED:
            inside = Query.term_set_query(self._schema, "row", self._index.documents_of(np.flatnonzero(allowed)))
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, Query.const_score_query(inside, 0.0))])
            limit = max(count, 1)
        elif allowed is not None:
            limit = math.ceil(1.2 * limit * documents / count)
        while True:
            limit = min(limit, documents)
            hits = searcher.search(query, limit, count=False).hits
            of_hits, addresses = zip(*hits, strict=True) if hits else ((), ())
            rows = self._index.rows_of(searcher.fast_field_values("row", [*addresses]))
            scores = np.array(of_hits, np.float64)
            last = scores[-1] if len(scores) else 0.0
            complete = len(hits) < limit or limit == documents
            if self._index.numbers is not None or allowed is not None:
                kept = rows >= 0
                if allowed is not None:
                    kept &= allowed[rows]
                rows, scores = rows[kept], scores[kept]
            straddles = len(rows) >= depth and scores[depth - 1] == last and limit < tie_rows
            if complete or (len(rows) >= depth and not straddles):
                break
            limit = tie_rows if straddles else 4 * limit
        # Hits come by falling score: one key a hit is sorted several times faster than score and place are.
        tie = np.cumsum(np.append(False, scores[1:] != scores[:-1])[: len(scores)])
        order = np.argsort(tie * len(self._place) + self._place[rows])[:depth]
        return rows[order], scores[order]
