"""`fuserank evaluate shoppers`: queries in people's own words, on the demo's shop and on real queries of another."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.datasets.shoppers import read_shopper_queries
from fuserank_evaluation.reports.report import merge_report
from fuserank_evaluation.shoppers import amazon, groceries
from fuserank_evaluation.shoppers.answers import Product
from fuserank_export.progress import Progress


def evaluate_shoppers(bundle: Path, esci: Path, encoder: str, console: Console) -> Path:
    """Measures the whole product, and writes the report `shopper`.

    Args:
        bundle: The demo's bundle.
        esci: Folder of Amazon's queries; where there is none, they are left out.
        encoder: The encoder of their shop, which is exported anew.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    progress = Progress(console)
    product = Product.open(Bundle.open(bundle, verify=()))
    with progress.steps() as on_progress:
        asked = groceries.ask(product, read_shopper_queries(), on_progress=on_progress)
        mistyped = groceries.ask_mistyped(product, asked, on_progress)
    figures = groceries.figures(asked) | groceries.typo_figures(mistyped)
    meanings = {"shopper_same_first_ten": "share of queries whose first ten are the same for k = 10, 50, 200"} | {
        f"shopper_{half}_{name}_{method}": f"{method}, {half} half: {meaning}"
        for half in groceries.HALVES
        for name, meaning in groceries.MEASURES.items()
        for method in groceries.METHODS
    }
    lost = "share of nDCG@10 that one typing error a query loses, mean of four kinds of error"
    meanings |= {f"shopper_{half}_typo_loss": f"product, {half} half: {lost}" for half in groceries.HALVES}
    tables = {f"Kinds of queries, the {half} half": list(groceries.by_kind(asked, half)) for half in groceries.HALVES}
    tables |= {
        f"One typing error a query, the {half} half": list(groceries.typos_by_error(mistyped, half))
        for half in groceries.HALVES
    }
    if esci.exists():
        queries = EsciQueries.read(esci)
        shop = amazon.open_shop(esci, encoder, progress)
        answers = amazon.ask(shop, queries)
        figures |= amazon.figures(shop, queries, answers)
        figures |= amazon.typo_figures(shop, queries, [lists["product"] for lists in answers])
        figures |= amazon.figures(shop, queries, amazon.ask_trained(shop, queries), ("trained",))
        meanings["esci_typo_loss"] = f"product: {lost}"
        meanings |= {
            f"esci_{name}_{method}": f"{method}: {meaning}"
            for name, meaning in amazon.MEASURES.items()
            for method in (*amazon.METHODS, "trained")
        }
    else:
        console.print(f"Amazon's queries: left out, {esci} is not there")
    for name, meaning in meanings.items():
        console.print(f"{name:44} {figures[name]:>8}  {meaning}", highlight=False)
    return merge_report("shopper", "words", product.bundle.id, figures, meanings, {}, tables)
