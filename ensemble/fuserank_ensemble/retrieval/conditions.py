"""Checks what a query states beside its words: sizes, prices, and what it rules out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tantivy import Occur, Query

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.lexical.documents import items_schema
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.words import words
from fuserank_ensemble.understanding.query import UnderstoodQuery

MISSED_WORTH = 0.5  # of an item's votes, for each condition that it misses
UNKNOWN = 0.5  # what an item misses of a condition that its fields say nothing of
# What a catalogue writes before and behind a word that an item does not have: "no sugar", "sugar-free".
_BEFORE, _BEHIND = ("without", "no", "non", "not", "zero"), ("free", "less")
_CHEAP_SHARE = 0.33  # of the priced candidates that count as cheap


class ConditionCheck:
    """Counts the conditions that items miss. One instance serves one thread.

    Args:
        items: The catalogue.
        lexical: Its words and sizes.
    """

    def __init__(self, items: Items, lexical: LexicalIndex) -> None:
        self._log_price, self._lexical = items.log_price, lexical
        self._schema = items_schema(len(lexical.boosts))

    def count_missed(
        self, rows: NDArray[np.int32], query: UnderstoodQuery, depth: int | None = None
    ) -> NDArray[np.float32]:
        """Returns how many of a query's conditions each item misses, float32 `[rows]`.

        An item whose fields say nothing of a condition misses half of it.

        Args:
            rows: Item rows, int32 `[rows]`.
            query: The query, taken apart.
            depth: How many of the first rows say what is cheap among them; None for all.
        """
        missed = np.zeros(len(rows), np.float32)
        if not len(rows) or not query.has_conditions:
            return missed
        if query.has_price_limit or query.cheap:
            missed += self._beyond_price(rows, query, depth)
        for keys in query.amounts:
            any_key = _any([self._term("amount", key) for key in keys])
            missed += ~self._matching(rows, any_key)
        for word in query.ruled_out:
            missed += self._matching(rows, self._has_word(word))
        return missed

    def worth(self, query: UnderstoodQuery, rows: NDArray[np.int32]) -> NDArray[np.float64]:
        """Returns what items' votes are worth, by the conditions that they miss, float64 `[rows]`."""
        worth: NDArray[np.float64] = MISSED_WORTH ** self.count_missed(rows, query)
        return worth

    def _beyond_price(self, rows: NDArray[np.int32], query: UnderstoodQuery, depth: int | None) -> NDArray[np.float32]:
        prices = np.expm1(self._log_price[rows])
        known = ~np.isnan(prices)
        low = -np.inf if query.price_from is None else query.price_from
        high = np.inf if query.price_to is None else query.price_to
        compared = prices[:depth][known[:depth]]
        if query.cheap and len(compared):
            high = min(high, float(np.quantile(compared, _CHEAP_SHARE)))
        # A price is kept as the log of float32: a cent is within its precision.
        outside = (prices < low - 0.005) | (prices > high + 0.005)
        return np.where(known, outside, UNKNOWN).astype(np.float32)

    def _has_word(self, word: str) -> Query:
        """Items that hold a word, but for those that say they are without it."""
        stems = [part.stem for part in words(word)]
        if not stems:
            return Query.empty_query()
        holds = [(Occur.Must, self._term("all", stem)) for stem in stems]
        without = [self._phrase([*[part.stem for part in words(before)], *stems]) for before in _BEFORE]
        without += [self._phrase([*stems, *[part.stem for part in words(behind)]]) for behind in _BEHIND]
        return Query.boolean_query([*holds, *((Occur.MustNot, phrase) for phrase in without)])

    def _matching(self, rows: NDArray[np.int32], query: Query) -> NDArray[np.bool_]:
        """Which of the rows a query matches, bool `[rows]`."""
        inside = Query.term_set_query(self._schema, "row", self._lexical.documents_of(rows))
        both = Query.boolean_query([(Occur.Must, query), (Occur.Must, inside)])
        searcher = self._lexical.searcher
        hits = searcher.search(both, len(rows), count=False).hits
        held = searcher.fast_field_values("row", [address for _, address in hits])
        matching: NDArray[np.bool_] = np.isin(rows, self._lexical.rows_of(held))
        return matching

    def _term(self, field: str, term: str) -> Query:
        return Query.term_query(self._schema, field, term, "basic")

    def _phrase(self, stems: list[str]) -> Query:
        return Query.phrase_query(self._schema, "all", [*stems])


def _any(queries: list[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries])
