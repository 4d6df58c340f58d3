"""Real queries of Amazon's shoppers on a shop without a log, by the whole product and by plain search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ir_measures import R, nDCG

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.esci import EXACT, GAINS, EsciQueries, holds_ruled_out, ruled_out, unpack_catalog
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.measures import measure_judged
from fuserank_evaluation.shoppers.answers import Product, Rows, plain_answers
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions
from fuserank_export.progress import Progress

METHODS = ("bm25", "dense", "rrf", "product")
DEPTH = 100
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
        out=OutputOptions(folder=SHOP / "bundle", force=True),
        progress=progress,
    )
    return Product.open(Bundle.open(SHOP / "bundle", verify=()))


def ask(product: Product, queries: EsciQueries) -> list[dict[str, Rows]]:
    """Returns each query's lists by method."""
    return [
        {**lists, "product": product.answer(text, k=DEPTH)}
        for text, lists in zip(queries.texts, plain_answers(product, queries.texts), strict=True)
    ]


def figures(product: Product, queries: EsciQueries, asked: Sequence[Mapping[str, Rows]]) -> dict[str, float]:
    """Returns nDCG@10, recall@100 of exact matches, and how often the first three have what was ruled out."""
    ids = [record["item_id"] for record in product.records]
    texts = dict(zip(queries.ids, queries.texts, strict=True))
    gains = {query: {item: GAINS[grade] for item, grade in graded.items()} for query, graded in queries.grades.items()}
    exact = {
        query: {item: 1 for item, grade in graded.items() if grade == EXACT} for query, graded in queries.grades.items()
    }
    with_exact = {query: texts[query] for query in queries.ids if exact[query]}
    out: dict[str, float] = {"esci_queries": len(texts), "esci_negations": 0}
    for method in METHODS:
        listed = {
            query: [ids[row] for row in lists[method][:DEPTH]] for query, lists in zip(queries.ids, asked, strict=True)
        }
        ndcg = measure_judged(JudgedQueries(texts, gains), list(listed.values()), {"ndcg": nDCG @ 10})["ndcg"]
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
