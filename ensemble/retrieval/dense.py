"""Exact nearest neighbours of the query among the catalogue's distinct texts: FAISS on a CPU, torch on a GPU.

Many items share a text ("Milk, 1 gallon" of four makers), so the search runs over the distinct texts and its
hits are then spread to their items: less to scan, and items of one text stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from ensemble.filters import Mask
from ensemble.retrieval.channel import Hits
from ensemble.retrieval.items import Items, Popularity

if TYPE_CHECKING:
    import torch

Embeddings = NDArray[np.float32]  # [batch, dim]


class TextSearch(Protocol):
    """Exact maximum inner product over the distinct texts."""

    def search(
        self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Finds the nearest texts of each query.

        Args:
            embeddings: L2-normalised, float32 `[batch, dim]`.
            depth: How many texts to find at most.
            allowed: For each query which texts to search in, `[texts]`; None for all.

        Returns:
            For each query text rows `[<= depth]` and cosines, best first.
        """
        ...


class FaissTextSearch:
    """On a CPU: FAISS's scalar quantiser over fp16, which is exact for vectors that are stored as fp16."""

    def __init__(self, vectors: NDArray[np.float16], threads: int = 1) -> None:
        # One thread: the scan of a catalogue of this size is short, and the engines want the other cores.
        faiss.omp_set_num_threads(threads)
        self._index = faiss.IndexScalarQuantizer(
            vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        for start in range(0, len(vectors), 65_536):  # by blocks: the float32 copy stays small
            self._index.add(vectors[start : start + 65_536].astype(np.float32))

    def search(
        self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """See `TextSearch`."""
        found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [(np.empty(0, np.int64), np.empty(0, np.float32))]
        found *= len(embeddings)
        free = [i for i, among in enumerate(allowed) if among is None]
        if free:
            for i, hits in zip(free, self._search(embeddings[free], depth, None), strict=True):
                found[i] = hits
        for i, among in enumerate(allowed):
            if among is not None and among.any():
                bits = np.packbits(among, bitorder="little")
                selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]  # wrapped for numpy
                params = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # added by SWIG
                found[i] = self._search(embeddings[i : i + 1], depth, params)[0]
        return found

    def _search(
        self, embeddings: Embeddings, depth: int, params: faiss.SearchParameters | None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        scores, rows = self._index.search(embeddings, min(depth, self._index.ntotal), params=params)
        return [(r[r >= 0], s[r >= 0]) for r, s in zip(rows, scores, strict=True)]


class TorchTextSearch:
    """On a GPU (or any torch device): one fp16 matrix product and a top-k for the whole batch."""

    def __init__(self, vectors: NDArray[np.float16], device: str) -> None:
        import torch  # noqa: PLC0415  only where a GPU is: a CPU server does without torch

        self._torch = torch
        # A CPU has no fp16 matrix product worth the name; there the same code runs in float32 for its tests.
        self._dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._vectors: torch.Tensor = torch.from_numpy(np.array(vectors)).to(device, self._dtype)

    def search(
        self, embeddings: Embeddings, depth: int, allowed: Sequence[Mask | None]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """See `TextSearch`."""
        torch = self._torch
        queries = torch.from_numpy(np.ascontiguousarray(embeddings)).to(self._vectors.device, self._dtype)
        scores = (queries @ self._vectors.T).float()
        for i, among in enumerate(allowed):
            if among is not None:
                keep = torch.from_numpy(among).to(scores.device)
                scores[i].masked_fill_(~keep, float("-inf"))
        values, rows = scores.topk(min(depth, scores.shape[1]), dim=1)
        pairs = zip(rows.cpu().numpy(), values.cpu().numpy(), strict=True)
        return [(r[np.isfinite(v)], v[np.isfinite(v)]) for r, v in pairs]


class Dense:
    """Items whose text is near the query."""

    name = "dense"

    def __init__(self, texts: TextSearch, items: Items, popularity: Popularity, depth: int) -> None:
        self._texts, self._items, self._depth = texts, items, depth
        self._offsets, members = items.by_text
        # Within one text the more popular item comes first.
        self._members = members[np.lexsort((popularity.place[members], items.text[members]))]

    def search_batch(self, embeddings: Embeddings, masks: Sequence[Mask | None], limits: Sequence[int]) -> list[Hits]:
        """Finds items for a whole batch in one scan.

        Args:
            embeddings: float32 `[batch, dim]`.
            masks: For each query the items allowed, `[items]`; None allows all.
            limits: For each query how many items to return at most.
        """
        allowed = [None if mask is None else self._allowed_texts(mask) for mask in masks]
        found = self._texts.search(embeddings, self._depth, allowed)
        return [
            self._spread(texts, scores, mask).top(limit)
            for (texts, scores), mask, limit in zip(found, masks, limits, strict=True)
        ]

    def _allowed_texts(self, mask: Mask) -> Mask:
        """The texts that at least one allowed item has."""
        texts = np.zeros(len(self._offsets) - 1, np.bool_)
        texts[self._items.text[mask]] = True
        return texts

    def _spread(self, texts: NDArray[np.int64], scores: NDArray[np.float32], mask: Mask | None) -> Hits:
        start, end = self._offsets[texts], self._offsets[texts + 1]
        counts = end - start
        # Positions of all members of all hit texts, in the order of the hits.
        positions = np.repeat(start - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        rows, scores = self._members[positions], np.repeat(scores, counts)
        if mask is not None:
            rows, scores = rows[mask[rows]], scores[mask[rows]]
        return Hits(rows, scores)
