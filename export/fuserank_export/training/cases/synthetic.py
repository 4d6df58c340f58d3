"""Queries for shops whose log has none: made from the catalogue's categories and titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_export.index.texts import TextColumn, TextNumbers
from fuserank_export.training.cases.rewording import reword
from fuserank_export.training.cases.training_query import TrainingQuery

MAX_CHARACTERS = 100  # of a query
BY_CATEGORY, BY_LEVEL_ABOVE = 0.5, 0.1  # share of the queries; the second is a part of the first


class SyntheticQueries:
    """Queries for logs that have none, and what is relevant to them.

    A query is the name of an item's category (or, for a part of them, of the level above) or some words of its title,
    each for half of the items, worded as people do. Relevant to a category's name is the category; to a title's words,
    the items of that title.
    """

    def __init__(self, items: Items, titles: Sequence[str], seed: int) -> None:
        """Draws the words of each item's title; `titles` are in the order of the items' rows."""
        paths = items.columns.by_name["category"].words if items.categories else []
        names = np.asarray([path.rsplit(CATEGORY_SEPARATOR, 1)[-1].lower() for path in paths] or [""], object)
        self._category = np.where(items.category >= 0, names[items.category], "")
        above = np.asarray([_level_above(path) for path in paths] or [""], object)
        self._above = np.where(items.category >= 0, above[items.category], "")
        draw = np.random.default_rng(seed)
        self._words = TextColumn(_some_words(title, draw) for title in titles)
        self._of_words = TextNumbers(self._words)
        rows = np.arange(len(items), dtype=np.int32)
        self._by_category = pd.Series(rows).groupby(self._category).indices
        self._by_above = pd.Series(rows).groupby(self._above).indices
        self._meaning: dict[str, str] = {}  # of reworded queries
        self._title, distinct = TextColumn(titles).distinct()
        self._of_titles = np.argsort(self._title, kind="stable").astype(np.int32)
        self._title_starts = np.searchsorted(self._title[self._of_titles], np.arange(len(distinct) + 1))

    def draw(self, rows: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.object_]:
        """Returns a query for each of the item rows, str `[rows]`."""
        chosen = generator.random(len(rows))
        by_category = (self._category[rows] != "") & (chosen < BY_CATEGORY)
        by_above = (self._above[rows] != "") & (chosen < BY_LEVEL_ABOVE)
        words = np.asarray(self._words.take(rows), object)
        queries = np.where(by_category, self._category[rows], words)
        queries = np.where(by_above, self._above[rows], queries)
        return np.asarray([self._reword(query, generator) for query in queries], object)

    def relevant(self, query: str) -> NDArray[np.int32]:
        """Returns the item rows relevant to one of its queries, int32 `[items]`."""
        meaning = self._meaning.get(query, query)
        for indices in (self._by_category, self._by_above):
            if meaning in indices:
                return np.asarray(indices[meaning], np.int32)
        row = self._of_words.find(meaning)
        if row < 0:
            return np.empty(0, np.int32)
        title = self._title[row]
        return self._of_titles[self._title_starts[title] : self._title_starts[title + 1]]

    def _reword(self, query: str, generator: np.random.Generator) -> str:
        """Words a query anew; one that would mean something else by then stays as it is."""
        worded = reword(query, generator)
        known = self._meaning.get(worded, worded)
        if worded == query or (known != query and self._is_asked(known)):
            return query
        self._meaning[worded] = query
        return worded

    def _is_asked(self, query: str) -> bool:
        """Whether an item has such a query."""
        return query in self._by_category or query in self._by_above or self._of_words.find(query) >= 0


def catalog_queries(items: Items, synthetic: SyntheticQueries, count: int, seed: int) -> list[TrainingQuery]:
    """Draws at most `count` queries for a shop without a log: relevance alone is there to be learned."""
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(items))[:count].astype(np.int32)
    queries = [str(query) for query in synthetic.draw(rows, generator)]
    return [
        TrainingQuery("query", query, History.empty(), 0.0, synthetic.relevant(query), None, None)
        for query in queries
        if query
    ]


def _level_above(path: str) -> str:
    """The name of the second-lowest level of a path; empty where that is the top, which is too wide to be asked for."""
    levels = path.split(CATEGORY_SEPARATOR)
    return levels[-2].lower() if len(levels) > 2 else ""


def _some_words(title: str, draw: np.random.Generator) -> str:
    """Some of a title's words, in their order; of a title without spaces (Chinese) a run of characters."""
    joint = " " if " " in title else ""
    words = title.lower().split() if joint else list(title.lower())
    count = int(draw.integers(1, len(words) + 1))
    if not joint:
        start = int(draw.integers(0, len(words) - count + 1))
        return "".join(words[start : start + count])[:MAX_CHARACTERS]
    kept = np.sort(draw.permutation(len(words))[:count])
    return joint.join(words[i] for i in kept)[:MAX_CHARACTERS]
