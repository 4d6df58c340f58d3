"""`fuserank evaluate films`: the films' orders compared, and their part of the report `relevance`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.films import FilmShop
from fuserank_evaluation.metrics.significance import compare
from fuserank_evaluation.ranking.films.orders import FIGURE, JOINED, MEANINGS, FilmOrders, evaluate_orders
from fuserank_evaluation.ranking.films.queries import FilmSettings
from fuserank_evaluation.reports.report import merge_report
from fuserank_export.progress import Progress
from fuserank_export.training.text.fitting import silence_libraries

TOWER_CACHE = Path("build/eval")
COMPARED = ("rrf", "lightgbm", "tower")  # orders that the joined one is compared with


def evaluate_films_ranking(bundle: Path, films: Path, console: Console) -> Path | None:
    """Measures the ranking of films; training the tower the first time and scoring take most of the time.

    Args:
        bundle: The demo's bundle, whose encoder is used.
        films: Folder of the films' corpus and judgements.
        console: Shows progress and figures.

    Returns:
        The report's JSON file; None where there are no films.
    """
    if not films.exists():
        console.print(f"films: left out, {films} is not there")
        return None
    silence_libraries()
    encoder = BundleEncoder(Bundle.open(bundle, verify=()))
    with tempfile.TemporaryDirectory() as folder, Progress(console).steps() as on_progress:
        shop = FilmShop.open(encoder, films, Path(folder))
        orders = evaluate_orders(shop, encoder, FilmSettings(), TOWER_CACHE, on_progress)
    for name, meaning in MEANINGS.items():
        console.print(f"{name:45} {orders.figures[name]:>10,}  {meaning}", highlight=False)
    rows = comparison_rows(orders)
    for row in rows:
        console.print("  ".join(f"{cell:>18}" for cell in row), highlight=False)
    tables = {f"{FIGURE} of text tower and features, paired over the held-out queries": rows}
    return merge_report("relevance", "movies", encoder.bundle.id, orders.figures, MEANINGS, {}, tables)


def comparison_rows(orders: FilmOrders) -> list[list[str]]:
    """The joined order against each of `COMPARED`: difference, interval, and p-values; the first row is the head."""
    rows = [["against", "difference", "95 % interval", "t-test", "Wilcoxon", "permutation"]]
    for name in COMPARED:
        comparison = compare(orders.values[JOINED], orders.values[name], SEED)
        interval = f"{comparison.low:+.4f} to {comparison.high:+.4f}"
        p_values = [f"{p:.1e}" for p in (comparison.t_test, comparison.wilcoxon, comparison.permutation)]
        rows.append([name, f"{comparison.difference:+.4f}", interval, *p_values])
    return rows
