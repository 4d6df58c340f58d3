"""Items whose text is near the query in embedding space.

Many items share a text ("Milk, 1 gallon" of four makers), so the search runs over the distinct texts and its
hits are then spread to their items: less to scan, and items of one text stay together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import ChannelQuery, RankedItems
from fuserank_ensemble.retrieval.vectors.search import Embeddings, VectorSearch


class Dense:
    """Items by the cosine of their text and the query; within one text the more popular item comes first."""

    name = "dense"

    def __init__(self, texts: VectorSearch, items: Items, popularity: Popularity, distinct: int) -> None:
        """Takes the index over the distinct texts, and how many of these a search takes at most."""
        self._texts, self._items, self._distinct = texts, items, distinct
        self._offsets, members = items.by_text
        self._members = members[np.lexsort((popularity.place[members], items.text[members]))]

    def search(self, questions: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        """See `Channel`. All questions with a query are searched in one scan."""
        found = [RankedItems.none()] * len(questions)
        asked = [i for i, question in enumerate(questions) if question.query]
        if asked:
            embeddings = np.stack([questions[i].embedding for i in asked])
            hits = self.search_vectors(embeddings, [questions[i].allowed for i in asked], depth)
            for i, each in zip(asked, hits, strict=True):
                found[i] = each
        return found

    def search_vectors(self, embeddings: Embeddings, masks: Sequence[Mask | None], depth: int) -> list[RankedItems]:
        """Finds items near vectors.

        Args:
            embeddings: float32 `[batch, dim]`.
            masks: For each vector the items allowed, `[items]`; None allows all.
            depth: How many items to return at most for each.
        """
        allowed = [None if mask is None else self._allowed_texts(mask) for mask in masks]
        found = self._texts.search(embeddings, min(depth, self._distinct), allowed)
        return [
            self._spread(texts, scores, mask).top(depth) for (texts, scores), mask in zip(found, masks, strict=True)
        ]

    def _allowed_texts(self, mask: Mask) -> Mask:
        """The texts that at least one allowed item has."""
        texts = np.zeros(len(self._offsets) - 1, np.bool_)
        texts[self._items.text[mask]] = True
        return texts

    def _spread(self, texts: NDArray[np.int64], scores: NDArray[np.float32], mask: Mask | None) -> RankedItems:
        start, end = self._offsets[texts], self._offsets[texts + 1]
        counts = end - start
        # Positions of all members of all hit texts, in the order of the hits.
        positions = np.repeat(start - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        rows, scores = self._members[positions], np.repeat(scores, counts)
        if mask is not None:
            rows, scores = rows[mask[rows]], scores[mask[rows]]
        return RankedItems(rows, scores)
