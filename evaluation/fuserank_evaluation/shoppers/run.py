"""`fuserank evaluate shoppers`: queries in people's own words, on the demo's shop and on real queries of two others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.datasets.shoppers import read_shopper_queries
from fuserank_evaluation.reports.report import Table, merge_report
from fuserank_evaluation.shoppers import amazon, amazon_users, films, groceries, personal
from fuserank_evaluation.shoppers.ablation import ablate, ablation_rows
from fuserank_evaluation.shoppers.answers import Product
from fuserank_evaluation.shoppers.groceries import HALVES, Asked
from fuserank_export.progress import Progress

TYPO_LOSS = "share of nDCG@10 that one typing error a query loses, mean of four kinds of error"


@dataclass(frozen=True)
class Measured:
    """A part of the report.

    Attributes:
        figures: Flat, named numbers.
        meanings: What each is.
        tables: Rows of cells by caption.
    """

    figures: Mapping[str, float]
    meanings: Mapping[str, str]
    tables: Mapping[str, Table] = field(default_factory=dict)


def evaluate_shoppers(bundle: Path, esci: Path, film_data: Path, encoder: str, console: Console) -> Path:
    """Measures the whole product, and writes the report `shopper`.

    Args:
        bundle: The demo's bundle.
        esci: Folder of Amazon's queries; where there is none, they are left out.
        film_data: Folder of the films' corpus and judgements; where there is none, they are left out.
        encoder: The encoder of both shops, which are exported anew.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    progress = Progress(console)
    product = Product.open(Bundle.open(bundle, verify=()))
    with progress.steps() as on_progress:
        asked = groceries.ask(product, read_shopper_queries(), on_progress=on_progress)
    parts, shop, queries = [measure_groceries(product, asked, progress)], None, None
    if esci.exists():
        queries = EsciQueries.read(esci)
        shop = amazon.open_shop(esci, encoder, progress)
        parts += [measure_amazon(shop, queries), measure_amazon_users(encoder, queries, progress)]
    else:
        console.print(f"Amazon's queries: left out, {esci} is not there")
    if film_data.exists():
        parts.append(measure_films(film_data, encoder, progress))
    else:
        console.print(f"films: left out, {film_data} is not there")
    with progress.steps() as on_progress:
        rows = list(ablation_rows(ablate(product, asked, shop, queries, on_progress)))
    figures = {name: value for part in parts for name, value in part.figures.items()}
    meanings = {name: meaning for part in parts for name, meaning in part.meanings.items()}
    tables = {caption: table for part in parts for caption, table in part.tables.items()}
    tables["What each part adds: figures with one part left out, nothing trained anew"] = rows
    for name, meaning in meanings.items():
        console.print(f"{name:44} {figures[name]:>8}  {meaning}", highlight=False)
    return merge_report("shopper", "words", product.bundle.id, figures, meanings, {}, tables)


def measure_groceries(product: Product, asked: Sequence[Asked], progress: Progress) -> Measured:
    """Measures the shoppers' words, and what typing errors cost."""
    with progress.steps() as on_progress:
        mistyped = groceries.ask_mistyped(product, asked, on_progress)
    meanings = {"shopper_same_first_ten": "share of queries whose first ten are the same for k = 10, 50, 200"} | {
        f"shopper_{half}_{name}_{method}": f"{method}, {half} half: {meaning}"
        for half in HALVES
        for name, meaning in groceries.MEASURES.items()
        for method in groceries.METHODS
    }
    meanings |= {f"shopper_{half}_typo_loss": f"product, {half} half: {TYPO_LOSS}" for half in HALVES}
    tables: dict[str, Table] = {
        f"Kinds of queries, the {half} half": list(groceries.by_kind(asked, half)) for half in HALVES
    }
    tables |= {
        f"One typing error a query, the {half} half": list(groceries.typos_by_error(mistyped, half)) for half in HALVES
    }
    return Measured(groceries.figures(asked) | groceries.typo_figures(mistyped), meanings, tables)


def measure_amazon(shop: Product, queries: EsciQueries) -> Measured:
    """Measures Amazon's queries on the shop without a log."""
    answers = amazon.ask(shop, queries)
    figures = amazon.figures(shop, queries, answers)
    figures |= amazon.typo_figures(shop, queries, [lists["product"] for lists in answers])
    figures |= amazon.figures(shop, queries, amazon.ask_trained(shop, queries), ("trained",))
    meanings = {
        f"esci_{name}_{method}": f"{method}: {meaning}"
        for name, meaning in amazon.MEASURES.items()
        for method in (*amazon.METHODS, "trained")
    }
    return Measured(figures, meanings | {"esci_typo_loss": f"product: {TYPO_LOSS}"})


def measure_amazon_users(encoder: str, queries: EsciQueries, progress: Progress) -> Measured:
    """Measures Amazon's queries on the shop with made purchases, without and with a user."""
    shop, log = amazon_users.open_shop(encoder, progress)
    with progress.steps() as on_progress:
        figures = amazon_users.figures(shop, log, queries, on_progress)
    meanings = {f"esci_{name}": f"Amazon, made purchases: {meaning}" for name, meaning in personal.MEASURES.items()}
    return Measured(figures, meanings)


def measure_films(film_data: Path, encoder: str, progress: Progress) -> Measured:
    """Measures judged searches of films on a shop with made histories, without and with a user."""
    shop = films.open_shop(film_data, encoder, progress)
    with progress.steps() as on_progress:
        figures = films.figures(shop, films.judged_queries(film_data), on_progress=on_progress)
    meanings = {f"films_{name}": f"films, made histories: {meaning}" for name, meaning in personal.MEASURES.items()}
    return Measured(figures, meanings)
