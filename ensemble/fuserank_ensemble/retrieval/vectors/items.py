"""Nearest items by the vectors of their texts.

Many items share a text ("Milk, 1 gallon" of four makers): the distinct texts are searched and then spread to their
items. That is less to scan, and items of one text stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Mask
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.snapshot import TextVectors
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.vectors.grown import merge_nearest
from fuserank_ensemble.retrieval.vectors.search import Embeddings, Neighbours, VectorSearch

ScoredRows = tuple[NDArray[np.int32], NDArray[np.float32]]  # item rows and cosines of one vector, best first


class ItemVectorSearch:
    """Items by the cosine of their text and a vector; within one text the more popular item comes first.

    Args:
        texts: The search over the vectors of the distinct texts.
        items: The catalogue.
        popularity: What orders items of one text.
        max_texts: How many texts a search takes at most.
    """

    def __init__(self, texts: VectorSearch, items: Items, popularity: Popularity, max_texts: int) -> None:
        self._texts, self._items, self._max_texts = texts, items, max_texts
        self._offsets, members = items.by_text
        self._members = members[np.lexsort((popularity.place[members], items.text[members]))]
        self._text_of_member = items.text[self._members]
        self._added: TextVectors | None = None
        self._has_moved = False

    def over(self, items: Items, vectors: TextVectors) -> ItemVectorSearch:
        """Returns the same over a catalogue with new items, and with other texts of some."""
        other = copy(self)
        other._items, other._added = items, vectors
        other._has_moved = bool((items.text[self._members] != self._text_of_member).any())
        return other

    @property
    def bundled(self) -> ItemVectorSearch:
        """The same without the items that are new or have another text."""
        other = copy(self)
        other._added = None
        return other

    def search(self, vectors: Embeddings, depth: int, allowed: Sequence[Mask | None]) -> list[ScoredRows]:
        """Finds the nearest items of each vector.

        Args:
            vectors: L2-normalised, float32 `[batch, dim]`.
            depth: How many items to find at most.
            allowed: For each vector the items to search in, `[items]`; None for all.

        Returns:
            For each vector item rows and cosines, `[<= depth]`, best first.
        """
        allowed_texts = [None if mask is None else self._allowed_texts(mask) for mask in allowed]
        nearest_texts = self._texts.search(vectors, min(depth, self._max_texts), allowed_texts)
        results = []
        for vector, (texts, scores), mask in zip(vectors, nearest_texts, allowed, strict=True):
            rows, item_scores = self._spread(texts, scores, mask)
            if self._added is not None:
                merged, item_scores = merge_nearest((rows, item_scores), self._nearest_added(vector, mask), depth)
                rows = merged.astype(np.int32)
            results.append((rows[:depth], item_scores[:depth]))
        return results

    def _nearest_added(self, vector: NDArray[np.float32], mask: Mask | None) -> Neighbours:
        """The items that are new or have another text, with their cosines; those that a mask allows."""
        assert self._added is not None
        rows = self._added.rows
        kept = np.arange(len(rows)) if mask is None else np.flatnonzero(mask[rows])
        return rows[kept].astype(np.int64), self._added.added[kept] @ vector

    def _allowed_texts(self, mask: Mask) -> Mask:
        """The texts that at least one allowed item has."""
        texts = np.zeros(len(self._offsets) - 1, np.bool_)
        of_items = self._items.text[mask]
        texts[of_items if self._added is None else of_items[of_items < len(texts)]] = True
        return texts

    def _spread(self, texts: NDArray[np.int64], scores: NDArray[np.float32], mask: Mask | None) -> ScoredRows:
        """The items of the texts, in the texts' order, each with its text's score."""
        start = self._offsets[texts]
        counts = self._offsets[texts + 1] - start
        before = counts.cumsum()
        total = int(before[-1]) if len(before) else 0
        # Positions of all members of all texts, in the order of the texts.
        positions = np.repeat(start + counts - before, counts) + np.arange(total)
        rows, scores = self._members[positions], np.repeat(scores, counts)
        if self._has_moved:
            stayed = self._items.text[rows] == self._text_of_member[positions]
            rows, scores = rows[stayed], scores[stayed]
        if mask is not None:
            rows, scores = rows[mask[rows]], scores[mask[rows]]
        return rows, scores
