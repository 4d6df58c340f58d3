"""Writes what is searched while serving: the `index/` of a bundle, and the collection in Milvus where one is asked."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Records
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.suggest import Suggester, phrases
from fuserank_ensemble.retrieval.vectors.search import build_index
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.index.catalog import Indexed
from fuserank_export.learning.interactions import Shop, learn
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError, Interactions
from fuserank_export.training.cases.span import LogSpan


def write_index(folder: Path, indexed: Indexed, log: Interactions) -> None:
    """Writes the catalogue's arrays, its records and the users' histories."""
    indexed.items.save(folder / "items")
    Records.save(folder / "items", indexed.records)
    user_ids = np.asarray([user.encode() for user in log.user_ids], "S")
    HistorySnapshot.of_log(user_ids, log.user, log.item, log.timestamp, log.places).save(folder / "history")


def write_search(
    folder: Path,
    indexed: Indexed,
    log: Interactions,
    shop: Shop,
    vectors: NDArray[np.float16],
    spec: GraphSpec,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Writes what the channels search; returns a report."""
    # A few wrong clocks do not make all that happened look old.
    end = LogSpan.of(log.timestamp).end if len(log) else time.time()
    with progress.steps() as advanced:
        learned, report = learn(
            folder, log, shop, end, seed, lambda *at: advanced("learning from the log and the graph", *at)
        )
    with progress.step("indexing words and vectors"):
        report["dense"] = build_index(vectors, folder / "vectors.faiss")
        words = LexicalIndex.write(folder / "lexical", indexed.records, spec.lexical_fields)
        report["lexical"] = {"items_with_words": words}
    with progress.step("indexing completions"):
        asked = Counter(log.queries[code] for code in log.query[log.query >= 0])
        known = phrases(indexed.titles, learned.popularity.counts, asked)
        report["suggest"] = {"phrases": Suggester.write(folder / "suggest", known)}
    return report


def fill_milvus(
    uri: str,
    index: str | None,
    bundle: str,
    indexed: Indexed,
    vectors: NDArray[np.float16],
    advanced: Callable[[int], None],
) -> dict[str, Any]:
    """Sends the vectors to Milvus, into a collection named after the bundle; returns where they are."""
    try:
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an extra

        from fuserank_export.milvus.collection import MilvusLoadError, collection_name, fill_collection  # noqa: PLC0415
    except ImportError:
        raise InputError("--milvus: pymilvus is not installed. Run: pip install 'fuserank[milvus]'") from None
    token = os.environ.get("FUSERANK_MILVUS_TOKEN", "")
    try:
        filled = fill_collection(
            uri,
            token,
            collection_name(bundle),
            indexed.items,
            vectors,
            index=index,
            advanced=advanced,
        )
    except (MilvusLoadError, MilvusException) as error:
        raise InputError(f"--milvus {uri}: {error}") from None
    return {"uri": uri, **filled}
