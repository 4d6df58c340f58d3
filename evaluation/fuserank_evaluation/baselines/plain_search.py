"""Plain hybrid search: BM25 as tantivy has it, the encoder's cosine, and their reciprocal-rank fusion.

What a shop gets without this project's channels, tiers and weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import tantivy
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion

DEPTH = 200
Rows = NDArray[np.int32]


class PlainSearch:
    """BM25 over one field, cosine over all texts, and both fused with equal weights.

    Args:
        texts: Each item's text, `[items]`.
        vectors: Each text's embedding, `[texts, dim]`.
        text_of: Row of each item's embedding, int32 `[items]`.
    """

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float16], text_of: NDArray[np.int32]) -> None:
        self._texts, self._text_of = texts, text_of
        self._vectors = vectors.astype(np.float32)

    def search(self, query: str, embedding: NDArray[np.float32]) -> Mapping[str, Rows]:
        """Returns the best `DEPTH` item rows by method: `bm25`, `dense`, `rrf`."""
        words, meaning = self._bm25(query), self._dense(embedding)
        lists = {
            name: RankedItems(rows, -np.arange(len(rows), dtype=np.float32))
            for name, rows in (("bm25", words), ("dense", meaning))
        }
        fused = ReciprocalRankFusion(len(self._texts), DEPTH).fuse(lists, {"bm25": 1.0, "dense": 1.0}, DEPTH)
        return {"bm25": words, "dense": meaning, "rrf": fused.rows}

    @cached_property
    def _index(self) -> tantivy.Index:
        schema = tantivy.SchemaBuilder().add_unsigned_field("row", stored=True)
        index = tantivy.Index(schema.add_text_field("text", tokenizer_name="en_stem").build())
        writer = index.writer()
        for row, text in enumerate(self._texts):
            document = tantivy.Document()
            document.add_unsigned("row", row)
            document.add_text("text", text)
            writer.add_document(document)
        writer.commit()
        index.reload()
        return index

    def _bm25(self, query: str) -> Rows:
        # A colon would name a field, of which there is one.
        parsed, _ = self._index.parse_query_lenient(query.replace(":", " "), ["text"])
        searcher = self._index.searcher()
        hits = searcher.search(parsed, DEPTH).hits
        return np.asarray([searcher.doc(address).get_first("row") for _, address in hits], np.int32)

    def _dense(self, embedding: NDArray[np.float32]) -> Rows:
        scores = (self._vectors @ embedding)[self._text_of]
        return np.argsort(-scores, kind="stable")[:DEPTH].astype(np.int32)
