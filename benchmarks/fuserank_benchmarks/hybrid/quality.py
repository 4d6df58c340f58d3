"""nDCG@10 of both stacks on the same searches, judged alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_benchmarks.hybrid.groceries import Searches
from fuserank_benchmarks.hybrid.inputs import write_catalog
from fuserank_benchmarks.hybrid.peer import LanceFolder, LanceTuning, run_lance
from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.metrics.measures import Values, measure
from fuserank_evaluation.metrics.significance import compare
from fuserank_evaluation.shoppers.amazon import judged_by_gain
from fuserank_evaluation.shoppers.answers import Product, measure_ndcg

AT_ONCE = 8
Search = Callable[[str, str], Awaitable[list[str]]]  # query and user; ids of items, best first


async def ask_all(search: Search, queries: Sequence[str], users: Sequence[str]) -> list[list[str]]:
    """Each request's item ids, `AT_ONCE` requests at once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(query: str, user: str) -> list[str]:
        async with turn:
            return await search(query, user)

    return await asyncio.gather(*(ask(query, user) for query, user in zip(queries, users, strict=True)))


def measure_searches(bundle: Bundle, searches: Searches, listed: Sequence[Sequence[str]]) -> Values:
    """nDCG@10 of every search by what was then bought, float64 `[cases]`.

    Args:
        bundle: Knows the rows of items.
        searches: Searches and their answers.
        listed: Item ids, best first, `[cases]`.
    """
    rows = [_rows(bundle, items) for items in listed]
    return measure(rows, searches.relevant, {"ndcg": nDCG @ 10})["ndcg"]


def compared(name: str, ours: Values, theirs: Values) -> Mapping[str, float]:
    """Figures of both and of their paired difference with its 95 % interval."""
    paired = compare(ours, theirs, SEED)
    figures = {
        f"hybrid_{name}_ndcg_at_10": float(ours.mean()),
        f"hybrid_peer_{name}_ndcg_at_10": float(theirs.mean()),
        f"hybrid_{name}_ndcg_at_10_difference": paired.difference,
        f"hybrid_{name}_ndcg_at_10_low": paired.low,
        f"hybrid_{name}_ndcg_at_10_high": paired.high,
    }
    return {key: round(value, 4) for key, value in figures.items()}


def measure_esci(bundle: Path, data: Path, tuning: LanceTuning, work: Path, environment: Path) -> Mapping[str, float]:
    """Both on Amazon's queries, in a shop without a log: the untrained bundle, and hybrid search without LightGBM.

    Args:
        bundle: A bundle of their catalogue.
        data: Folder of queries and judgements.
        tuning: The peer's settings.
        work: Folder that gets one of the peer's inputs, named by the bundle's id.
        environment: The peer's virtual environment.
    """
    queries, product = EsciQueries.read(data), Product.open(Bundle.open(bundle, verify=()))
    folder = LanceFolder(work / product.bundle.id, environment)
    write_catalog(product.bundle, folder.inputs)
    folder.build(tuning)

    async def ask_peer() -> list[list[str]]:
        async with run_lance(tuning, folder, ranked=False) as peer:
            return await ask_all(peer.search, queries.texts, [""] * len(queries.texts))

    rows: dict[str, list[NDArray[np.int32]]] = {
        "ours": [product.answer(text, k=10) for text in queries.texts],
        "theirs": [_rows(product.bundle, items) for items in asyncio.run(ask_peer())],
    }
    values = {name: measure_ndcg(product, judged_by_gain(queries), listed) for name, listed in rows.items()}
    figures = compared("esci", values["ours"], values["theirs"])
    return {"hybrid_esci_queries": len(queries.texts), **figures}


def _rows(bundle: Bundle, items: Sequence[str]) -> NDArray[np.int32]:
    return np.asarray([bundle.items.row(item) for item in items], np.int32)
