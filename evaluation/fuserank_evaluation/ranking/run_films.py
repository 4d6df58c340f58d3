"""How well films are ranked for queries that people judged: the text tower, the features, and both together.

The tower is trained where `build/eval` has none of these settings; that and scoring take most of the time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.metrics.significance import compare
from fuserank_evaluation.ranking.films import FIGURE, MEANINGS, movies
from fuserank_evaluation.report import merge_report
from fuserank_evaluation.retrieval.run import Evaluation
from fuserank_export.progress import Progress
from fuserank_export.training.text.fitting import quieten

SEED = 13
CACHE = Path("build/eval")
AGAINST = ("rrf", "lightgbm", "tower")  # what the joined order is compared with


def main(
    bundle: Annotated[Path, typer.Option(help="The demo's bundle: its encoder is used.")] = Path("build/demo"),
    films: Annotated[Path, typer.Option(help="The films' corpus and judgements.")] = Path(
        "../shared/data/elastic-movies-ltr"
    ),
) -> None:
    """Measures the ranking of films, and writes its part of build/reports/relevance.json."""
    console = Console()
    if not films.exists():
        console.print(f"films: left out, {films} is not there")
        return
    quieten()
    evaluation = Evaluation(Bundle.open(bundle, verify=()), console)
    with tempfile.TemporaryDirectory() as folder, Progress(console).steps() as advanced:
        figures, reordered = movies(evaluation, films, Path(folder), CACHE, advanced)
    for name, meaning in MEANINGS.items():
        console.print(f"{name:45} {figures[name]:>10,}  {meaning}", highlight=False)
    rows = [["against", "difference", "95 % interval", "t-test", "Wilcoxon", "permutation"]]
    for name in AGAINST:
        found = compare(reordered.values["tower and features"], reordered.values[name], SEED)
        interval = f"{found.low:+.4f} to {found.high:+.4f}"
        p_values = [f"{p:.1e}" for p in (found.t_test, found.wilcoxon, found.permutation)]
        rows.append([name, f"{found.difference:+.4f}", interval, *p_values])
    for row in rows:
        console.print("  ".join(f"{cell:>18}" for cell in row), highlight=False)
    tables = {f"{FIGURE} of text tower and features, paired over the held-out queries": rows}
    merge_report("relevance", "movies", evaluation.bundle.id, figures, MEANINGS, {}, tables)


if __name__ == "__main__":
    typer.run(main)
