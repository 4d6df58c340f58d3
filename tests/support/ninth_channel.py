"""A ninth channel as somebody would add one, and a small shop that asks it. Run with the package that has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

# The file that a test adds to `retrieval/channels/`.
SOURCE = '''
"""Items by their ids, the first id first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from fuserank_ensemble.retrieval.channel import (
    ChannelDeclaration,
    ChannelQuery,
    Feature,
    LocalChannel,
    RankedItems,
    ScoreFeature,
)
from fuserank_ensemble.retrieval.index import RetrievalIndex


class AlphabetChannel(LocalChannel):
    """The first items of the catalogue."""

    declaration = ChannelDeclaration(
        name="alphabet",
        phase="candidate",
        weights={"user": 0.7},
        score=ScoreFeature("alphabet_score", "alphabet", "how far from the end of the alphabet"),
        rank=Feature("alphabet_rank", "alphabet", "log position by id"),
    )

    def __init__(self, items: int) -> None:
        self._items = items

    @classmethod
    def open(cls, index: RetrievalIndex) -> Self:
        return cls(len(index.catalog.items))

    def search(self, queries: Sequence[ChannelQuery], depth: int) -> list[RankedItems]:
        rows = np.arange(min(depth, self._items), dtype=np.int32)
        return [RankedItems(rows, (self._items - rows).astype(np.float32))] * len(queries)
'''


def report(folder: Path) -> dict[str, object]:
    """Asks the channel through the retriever, and says where it turned up."""
    import numpy as np

    import fuserank_ensemble
    from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS
    from fuserank_ensemble.candidates.retriever import Retriever
    from fuserank_ensemble.catalog.filters import Columns
    from fuserank_ensemble.catalog.items import Items
    from fuserank_ensemble.interactions.history import History
    from fuserank_ensemble.interactions.popularity import Popularity
    from fuserank_ensemble.ranking.reasons import Reader, explain
    from fuserank_ensemble.retrieval.channel import ChannelQuery
    from fuserank_ensemble.retrieval.channels.registry import CHANNELS
    from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
    from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
    from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
    from fuserank_ensemble.spec import GraphSpec

    items = Items(np.asarray([b"a", b"b", b"c"]), np.arange(3, dtype=np.int32), Columns(3, {}))
    LexicalIndex.write(folder / "lexical", [{"title": f"item {row}"} for row in range(3)], {"title": 1.0}, {})
    vectors = np.eye(3, 4, dtype=np.float16)
    catalog = CatalogIndex(items, vectors, FaissSearch(vectors), LexicalIndex.open(folder / "lexical"))
    spec = GraphSpec(embedding_dim=4)
    retriever = Retriever(catalog, InteractionIndex(Popularity.empty(3)), spec)
    found = retriever.retrieve([ChannelQuery("", np.zeros(4, np.float32), History.empty(), 1.7e9)], [2])[0]
    signals = explain(0.0, np.zeros(len(SIGNALS), np.float32), found.features[0], Reader(language="en"))
    return {
        "package": fuserank_ensemble.__file__,
        "channels": CHANNELS,
        "weights": {kind: dict(weights) for kind, weights in spec.channel_weights.items()},
        "features": [feature.name for feature in FEATURES],
        "rows": found.rows.tolist(),
        "counts": found.channel_counts,  # what STATUS reports as `candidates`
        "ranks": found.features[:, POSITION["alphabet_rank"]].tolist(),
        "scores": found.features[:, POSITION["alphabet_score"]].tolist(),
        "reason": next(signal["reason"] for signal in signals if signal["name"] == "alphabet"),
    }


if __name__ == "__main__":
    print(json.dumps(report(Path(sys.argv[1]))))
