"""`fuserank evaluate retrieval`: what retrieval finds on three shops with known answers.

Groceries: what households of Complete Journey bought in the last 28 days, from what was known before. Films: people's
judgements. A Chinese shop: written and judged by hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.chinese import open_chinese_shop
from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.reports.report import merge_report
from fuserank_evaluation.retrieval.judged import evaluate_chinese, evaluate_films
from fuserank_evaluation.retrieval.recall import CUTS, evaluate_grocery
from fuserank_export.progress import Progress

MEANINGS = {
    "grocery_cases": "(household, product type) pairs of the last 28 days; query: the type; relevant: what was bought",
    "grocery_recall_at_50_fused": "recall of the first 50 fused candidates",
    "grocery_recall_at_200_fused": "recall of the first 200",
    **{f"grocery_recall_at_{k}_{name}": f"the {name} channel's own, first {k}" for k in CUTS for name in CHANNELS},
    "grocery_recall_at_50_fused_no_user": "recall of the first 50 for the same queries from somebody unknown",
    "graph_unique_relevant": "relevant items among the graph channel's first 200 that no other channel has there",
    "grocery_relevant": "relevant items in all",
    "movies_queries": "queries that nothing was tuned on",
    "movies_ndcg_at_10_fused": "nDCG@10 of fusion; unjudged counts as not relevant",
    "movies_recall_at_100_fused": "recall@100 of fusion",
    **{
        f"movies_{m}_{name}": f"the {name} channel alone"
        for m in ("ndcg_at_10", "recall_at_100")
        for name in ("dense", "lexical")
    },
    "chinese_queries": "Chinese and mixed queries, judged by hand",
    "chinese_ndcg_at_10_fused": "nDCG@10 of fusion; the encoder is English, so words carry it",
    "chinese_recall_at_100_fused": "recall@100 of fusion",
    "chinese_ndcg_at_10_lexical": "nDCG@10 of the lexical channel alone",
    "chinese_recall_at_100_lexical": "recall@100 of the lexical channel alone",
    "chinese_without_result": "queries that the lexical channel finds nothing for",
}


def evaluate_retrieval(bundle: Path, shop: Path, films: Path, console: Console) -> Path:
    """Measures retrieval, and writes its part of the report `retrieval`.

    Args:
        bundle: The demo's bundle.
        shop: Folder of Complete Journey in the input formats.
        films: Folder of the films' corpus and judgements; where there is none, the films are left out.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    encoder = BundleEncoder(Bundle.open(bundle, verify=()))
    with Progress(console).steps() as on_progress:
        figures = evaluate_grocery(Grocery.open(encoder.bundle, shop, encoder.embed), encoder, on_progress)
        with tempfile.TemporaryDirectory() as folder:
            figures |= evaluate_chinese(open_chinese_shop(encoder, Path(folder)), encoder)
        if films.exists():
            with tempfile.TemporaryDirectory() as folder:
                figures |= evaluate_films(FilmShop.open(encoder, films, Path(folder)), encoder, on_progress)
        else:
            console.print(f"films: left out, {films} is not there")
    meanings = {name: meaning for name, meaning in MEANINGS.items() if name in figures}
    for name, meaning in meanings.items():
        console.print(f"{name:40} {figures[name]:>10,}  {meaning}", highlight=False)
    return merge_report("retrieval", "eval", encoder.bundle.id, figures, meanings, {})
