"""LanceDB's tables and its hybrid search: BM25 and vectors, fused by its own RRFReranker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, HnswSq, IvfFlat
from lancedb.rerankers import RRFReranker
from numpy.typing import NDArray

from .hits import Hits

INDEXES = {"flat": None, "ivf_flat": IvfFlat, "hnsw_sq": HnswSq}
DISTANCE = "dot"  # the vectors are normalised


@dataclass(frozen=True)
class Table:
    """What a table holds and how it is indexed.

    Attributes:
        rows: `items`: a row an item; `texts`: a row a distinct text, whose items the caller puts in its place.
        index: A key of `INDEXES`.
        stem: Whether full-text search cuts words to their stems and leaves out stop words.
    """

    rows: str
    index: str
    stem: bool

    @property
    def name(self) -> str:
        """The table's name."""
        return f"{self.rows}_{self.index}_{'stem' if self.stem else 'words'}"

    def build(self, folder: Path) -> None:
        """Writes the table and its indexes to `tables` beside the inputs, unless they are there.

        Raises:
            ValueError: `rows` or `index` is another.
        """
        if self.rows not in ("items", "texts") or self.index not in INDEXES:
            raise ValueError(f"table: found rows {self.rows!r} and index {self.index!r}; allowed: items or texts, and "
                             f"{', '.join(INDEXES)}")  # fmt: skip
        database = lancedb.connect(folder / "tables")
        ready = folder / "tables" / f"{self.name}.ready"
        if ready.exists():
            return
        texts = json.loads((folder / "items.json").read_text("utf-8"))["text"]
        text, vectors = np.load(folder / "text.npy"), np.load(folder / "vectors.npy").astype(np.float32)
        if self.rows == "texts":
            _, first = np.unique(text, return_index=True)
            texts, text = [texts[item] for item in first.tolist()], text[first]
        vectors = vectors[text]
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        data = pa.table({"row": pa.array(np.arange(len(texts), dtype=np.int32)), "text": texts, "vector": column})
        table = database.create_table(self.name, data, mode="overwrite")
        table.create_index("text", config=FTS(stem=self.stem, remove_stop_words=self.stem))
        if (index := INDEXES[self.index]) is not None:
            table.create_index("vector", config=index(distance_type=DISTANCE))
        ready.touch()


class HybridSearch:
    """Searches one table.

    Args:
        table: An opened table.
        nprobes: Partitions that an index reads.
        items_of: Item rows of each text, where the table's rows are texts.
    """

    def __init__(self, table: Any, nprobes: int, items_of: list[NDArray[np.int32]] | None) -> None:
        self._table, self._nprobes, self._items_of = table, nprobes, items_of
        self._reranker = RRFReranker(return_score="all")

    @classmethod
    async def open(cls, folder: Path, table: Table, nprobes: int) -> HybridSearch:
        """Opens a table that was built, with its indexes in memory."""
        opened = await (await lancedb.connect_async(folder / "tables")).open_table(table.name)
        for index in await opened.list_indices():
            await opened.prewarm_index(index.name)
        items_of = None
        if table.rows == "texts":
            text = np.load(folder / "text.npy")
            order = np.argsort(text, kind="stable").astype(np.int32)
            items_of = np.split(order, np.flatnonzero(np.diff(text[order])) + 1)
        return cls(opened, nprobes, items_of)

    async def search(self, query: str, vector: NDArray[np.float32], depth: int) -> Hits:
        """The best `depth` items by both searches.

        Args:
            query: The query's words.
            vector: Its embedding `[dim]`.
            depth: Candidates of each search and of both together.
        """
        search = self._table.query().nearest_to(vector).distance_type(DISTANCE).nprobes(self._nprobes)
        # Neither search knows the other's score, so that they cannot be named here; both come by themselves.
        search = search.nearest_to_text(query).select(["row"])
        found = await search.rerank(self._reranker).limit(depth).to_arrow()
        hits = Hits(
            found["row"].to_numpy(),
            *(np.asarray(found[name].to_numpy(), np.float32) for name in ("_relevance_score", "_distance", "_score")),
        )
        return hits if self._items_of is None else self._expand(hits, depth)

    def _expand(self, hits: Hits, depth: int) -> Hits:
        """Puts its items in the place of each text."""
        assert self._items_of is not None
        items = [self._items_of[text] for text in hits.rows.tolist()]
        if not items:
            return hits
        places = np.repeat(np.arange(len(items)), [len(rows) for rows in items])
        return hits.take(places, np.concatenate(items)).first(depth)
