"""Search of both HTTP peers: FAISS over distinct texts, a user's habits and popularity, fused by rank."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

RRF_K = 60  # Cormack et al., Reciprocal Rank Fusion, SIGIR 2009
TEXTS = 100  # nearest distinct texts of a query
DEPTH = 200  # items that each list may name
IVF_LISTS, IVF_PROBES = 256, 16

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Catalog:
    """The inputs that `peers.prepare` has written.

    Attributes:
        item_ids: By item row.
        titles: By item row.
        texts: What a cross-encoder reads, by item row.
        by_text: Item rows grouped by text.
        text_offsets: Where each text's items begin in `by_text`, `[texts + 1]`.
        popular: Item rows, most popular first.
        users: Row of a user by id.
        habits: Item rows of all users, each user's most frequent first.
        user_offsets: Where each user's items begin in `habits`, `[users + 1]`.
    """

    item_ids: Sequence[str]
    titles: Sequence[str]
    texts: Sequence[str]
    by_text: Rows
    text_offsets: NDArray[np.int64]
    popular: Rows
    users: dict[str, int]
    habits: Rows
    user_offsets: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Catalog:
        """Reads the inputs in `folder`."""
        items = json.loads((folder / "items.json").read_text("utf-8"))
        text = np.load(folder / "text.npy")
        by_text = np.argsort(text, kind="stable").astype(np.int32)
        users = json.loads((folder / "users.json").read_text("utf-8"))
        return cls(
            items["item_id"],
            items["title"],
            items["text"],
            by_text,
            np.searchsorted(text[by_text], np.arange(int(text.max(initial=-1)) + 2)),
            np.load(folder / "popular.npy"),
            {user: row for row, user in enumerate(users)},
            np.load(folder / "habits.npy"),
            np.load(folder / "offsets.npy"),
        )

    def items_of(self, texts: Sequence[int]) -> Rows:
        """Items of some texts, in the texts' order, `[<= DEPTH]`."""
        parts = [self.by_text[self.text_offsets[text] : self.text_offsets[text + 1]] for text in texts]
        rows: Rows = np.concatenate([*parts, np.empty(0, np.int32)])
        return rows[:DEPTH]

    def habits_of(self, user: str) -> Rows:
        """A user's items, most frequent first; empty for an unknown user."""
        row = self.users.get(user)
        return self.habits[:0] if row is None else self.habits[self.user_offsets[row] : self.user_offsets[row + 1]]


def fuse(nearest: Rows | None, habits: Rows, popular: Rows) -> list[tuple[int, float]]:
    """Reciprocal-rank fusion: each list adds 1 / (60 + rank) to its items.

    Args:
        nearest: Items near the query, nearest first; None where there is no query.
        habits: The user's items, most frequent first; empty where there is no user.
        popular: All items, most popular first.

    Returns:
        Item rows and scores, best first. With a query only items near it, which habits and popularity put in order.
    """
    scores: dict[int, float] = {} if nearest is None else dict.fromkeys(nearest.tolist(), 0.0)
    for ranked in (nearest, habits[:DEPTH], popular[:DEPTH]):
        for rank, item in enumerate([] if ranked is None else ranked.tolist(), 1):
            if nearest is None or item in scores:
                scores[item] = scores.get(item, 0.0) + 1 / (RRF_K + rank)
    return sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))


def build_index(folder: Path, kind: str) -> Any:
    """Builds a FAISS index over the texts' vectors: `flat` scans all, `ivf` the lists nearest to the query.

    Raises:
        ValueError: `kind` is another.
    """
    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    dim = vectors.shape[1]
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "ivf":
        lists = min(IVF_LISTS, max(1, len(vectors) // 39))  # FAISS warns of fewer points a list
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = min(IVF_PROBES, lists)
        index.train(vectors)
    else:
        raise ValueError(f"index: found {kind!r}; allowed: flat or ivf")
    index.add(vectors)
    return index
