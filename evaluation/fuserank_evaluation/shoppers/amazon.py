"""Real queries of Amazon's shoppers on a shop without a log, by the whole product and by plain search."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ir_measures import R
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.esci import EXACT, GAINS, EsciQueries, holds_ruled_out, ruled_out, unpack_catalog
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.measures import measure_judged
from fuserank_evaluation.shoppers.answers import Product, Rows, measure_ndcg, plain_answers
from fuserank_evaluation.shoppers.typos import ERRORS, misspell, relative_loss
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import BehaviourFiles, EncoderOptions, InputFiles, OutputOptions
from fuserank_export.builder.retrain import retrain_ranker
from fuserank_export.progress import Progress

METHODS = ("bm25", "dense", "rrf", "product")
DEPTH, FOLDS = 100, 5
MEASURES = {
    "ndcg_at_10": "nDCG@10, gains 1, 0.1, 0.01, 0",
    "recall_at_100": "recall@100 of exact matches",
    "ruled_out_at_3": "share of the first three that have what a query rules out",
}
SHOP = Path("build/eval/esci")


def open_shop(data: Path, encoder: str, progress: Progress) -> Product:
    """Exports the catalogue with the default settings, and opens the bundle."""
    SHOP.mkdir(parents=True, exist_ok=True)
    catalog = SHOP / "catalog.jsonl"
    unpack_catalog(data, catalog)
    export_bundle(
        inputs=InputFiles(catalog=catalog),
        encoder=EncoderOptions(source=encoder),
        out=OutputOptions(folder=SHOP / "bundle", force=True, vector_cache=SHOP / "vectors"),
        progress=progress,
    )
    return Product.open(Bundle.open(SHOP / "bundle", verify=()))


def ask(product: Product, queries: EsciQueries) -> list[dict[str, Rows]]:
    """Returns each query's lists by method."""
    return [
        {**lists, "product": product.answer(text, k=DEPTH)}
        for text, lists in zip(queries.texts, plain_answers(product, queries.texts), strict=True)
    ]


def ask_trained(product: Product, queries: EsciQueries, seed: int = SEED) -> list[dict[str, Rows]]:
    """Returns each query's list by a ranker that learned from four fifths of the judgements, without the query's own.

    Exact matches are right, all else is wrong.
    """
    fold_of = np.random.default_rng(seed).permutation(len(queries.ids)) % FOLDS
    lists: dict[int, dict[str, Rows]] = {}
    for fold in range(FOLDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            learned = [i for i in range(len(queries.ids)) if fold_of[i] != fold]
            _write_judgements(folder, queries, learned)
            retrain_ranker(
                product.bundle.root,
                files=BehaviourFiles(queries=folder / "queries.tsv", judgements=folder / "judgements.tsv"),
                out=OutputOptions(folder=folder / "bundle"),
                progress=Progress(Console(quiet=True)),
            )
            trained = Product.open(Bundle.open(folder / "bundle", verify=()))
            for i in np.flatnonzero(fold_of == fold).tolist():
                lists[i] = {"trained": trained.answer(queries.texts[i], k=DEPTH)}
    return [lists[i] for i in range(len(queries.ids))]


def _write_judgements(folder: Path, queries: EsciQueries, learned: Sequence[int]) -> None:
    """Writes some queries and their judgements as the export reads them."""
    ids = [queries.ids[i] for i in learned]
    lines = [f"{queries.ids[i]}\t{queries.texts[i]}" for i in learned]
    (folder / "queries.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    judged = [
        f"{query} 0 {item} {int(grade == EXACT)}" for query in ids for item, grade in queries.grades[query].items()
    ]
    (folder / "judgements.tsv").write_text("\n".join(judged) + "\n", "utf-8")


def judged_by_gain(queries: EsciQueries) -> JudgedQueries:
    """Returns the queries with the gain of each grade."""
    gains = {query: {item: GAINS[grade] for item, grade in graded.items()} for query, graded in queries.grades.items()}
    return JudgedQueries(dict(zip(queries.ids, queries.texts, strict=True)), gains)


def typo_figures(product: Product, queries: EsciQueries, listed: Sequence[Rows]) -> dict[str, float]:
    """Asks every query with one typing error of each kind, and returns the share of nDCG@10 that is lost.

    Args:
        product: Their shop.
        queries: The queries.
        listed: The product's list for each without an error.
    """
    judged, misspellings = judged_by_gain(queries), list(misspell(queries.texts))
    right = measure_ndcg(product, judged, listed)
    wrong: list[float] = []
    for error in ERRORS:
        mistyped = list(listed)
        for typed in misspellings:
            if typed.error == error:
                mistyped[typed.position] = product.answer(typed.text, k=10)
        values = measure_ndcg(product, judged, mistyped)
        wrong += [values[typed.position] for typed in misspellings if typed.error == error]
    before = [right[typed.position] for error in ERRORS for typed in misspellings if typed.error == error]
    return {"esci_typo_loss": round(relative_loss(np.asarray(before), np.asarray(wrong)), 4)}


def figures(
    product: Product, queries: EsciQueries, asked: Sequence[Mapping[str, Rows]], methods: Sequence[str] = METHODS
) -> dict[str, float]:
    """Returns nDCG@10, recall@100 of exact matches, and how often the first three have what was ruled out."""
    ids = [record["item_id"] for record in product.records]
    judged, texts = judged_by_gain(queries), dict(zip(queries.ids, queries.texts, strict=True))
    exact = {
        query: {item: 1 for item, grade in graded.items() if grade == EXACT} for query, graded in queries.grades.items()
    }
    with_exact = {query: texts[query] for query in queries.ids if exact[query]}
    out: dict[str, float] = {"esci_queries": len(texts), "esci_negations": 0}
    for method in methods:
        listed = {
            query: [ids[row] for row in lists[method][:DEPTH]] for query, lists in zip(queries.ids, asked, strict=True)
        }
        ndcg = measure_ndcg(product, judged, [lists[method] for lists in asked])
        recall = measure_judged(
            JudgedQueries(with_exact, {query: exact[query] for query in with_exact}),
            [listed[query] for query in with_exact],
            {"recall": R @ DEPTH},
        )["recall"]
        shares = [
            np.mean(
                [any(holds_ruled_out(product.records[row]["title"], w) for w in words) for row in lists[method][:3]]
            )
            for text, lists in zip(queries.texts, asked, strict=True)
            if (words := ruled_out(text))
        ]
        out |= {
            "esci_negations": len(shares),
            f"esci_ndcg_at_10_{method}": round(float(ndcg.mean()), 4),
            f"esci_recall_at_100_{method}": round(float(recall.mean()), 4),
            f"esci_ruled_out_at_3_{method}": round(float(np.mean(shares)), 4),
        }
    return out
