"""The same ranking over several windows of time: each is answered from what lies before it, by models of its own.

A figure of one window says little of the next one. Each window is 28 days; the ranker and LambdaMART are trained anew
for each, on fewer cases than `eval_ranking.py` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_evaluation.datasets.grocery import WINDOW, Grocery, before
from fuserank_evaluation.ranking.entrant import Entrant
from fuserank_evaluation.ranking.results import MAIN, Results, folded
from fuserank_evaluation.ranking.run import FIT, Advanced, fitted, shown
from fuserank_evaluation.ranking.summary import figure_name, plain_table
from fuserank_evaluation.ranking.trained import trained
from fuserank_evaluation.report import merge_report
from fuserank_evaluation.retrieval.run import Evaluation

SETS = ("search", "recommendation", "recommendation_new")


def window(grocery: Grocery, back: int) -> Grocery:
    """The shop as it was `back` windows before its last one began; 0 is the last."""
    cut = grocery.cut - back * WINDOW
    return replace(grocery, log=before(grocery.log, cut + WINDOW), cut=cut)


def measured(grocery: Grocery, cases: int, advanced: Advanced) -> Results:
    """What every entrant makes of one window, each trained on what lies before it."""
    retrieved = grocery.retrieved(grocery.learned(grocery.cut), grocery.cut, advanced)
    entrants: list[Entrant] = fitted(grocery.past, retrieved.rows, advanced)
    if cases:
        ranker, boosted, _ = trained(grocery, retrieved, cases, FIT, advanced)
        entrants += [ranker, boosted]
    results = Results()
    for name in SETS:
        results.add(getattr(grocery.sets, name), entrants, advanced)
    return results


def figures(windows: Sequence[Results]) -> dict[str, dict[str, tuple[float, float]]]:
    """By set of cases and entrant, the mean and the deviation of nDCG@10 over the windows."""
    return {
        name: folded([{who: each.mean(MAIN) for who, each in found.rankings[name].items()} for found in windows])
        for name in SETS
    }


def table(found: Mapping[str, tuple[float, float]], windows: Sequence[Results], name: str) -> list[list[str]]:
    """Mean, deviation and each window's own figure, the latest first; the best entrant on top."""
    ordered = sorted(found, key=lambda who: -found[who][0])
    each = {who: [found.rankings[name][who].mean(MAIN) for found in windows] for who in ordered}
    return plain_table(
        ("mean", "deviation", *(f"{back} back" if back else "last" for back in range(len(windows)))),
        {who: (*found[who], *each[who]) for who in ordered},
    )


def main(
    bundle: Annotated[Path, typer.Option(help="The demo's bundle.")] = Path("build/demo"),
    shop: Annotated[Path, typer.Option(help="Complete Journey in the input formats.")] = Path("build/complete-journey"),
    windows: Annotated[int, typer.Option(min=2, help="How many windows, from the log's last 28 days on back.")] = 3,
    cases: Annotated[
        int, typer.Option(min=0, help="(household, query) pairs of each window learned from; 0: baselines alone.")
    ] = 1_500,
) -> None:
    """Measures every entrant on each window, and adds to build/reports/relevance.json; page relevance-windows.md."""
    console = Console()
    evaluation = Evaluation(Bundle.open(bundle, verify=()), console)
    found: list[Results] = []
    with console.status("reading") as status:
        grocery = Grocery.open(evaluation.bundle, shop, evaluation.embed)
        for back in range(windows):
            found.append(measured(window(grocery, back), cases, shown(status)))
            console.print(f"window {back + 1} of {windows}", style="dim", highlight=False)
    repeated = figures(found)
    numbers: dict[str, Any] = {"windows": windows, "windows_cases": cases}
    for name, entrants in repeated.items():
        for who, (mean, deviation) in entrants.items():
            known = figure_name(name, MAIN, who)
            numbers |= {f"{known}_windows_mean": round(mean, 4), f"{known}_windows_deviation": round(deviation, 4)}
    meanings = {
        "windows": "windows of 28 days, each answered from what lies before it",
        "windows_cases": "(household, query) pairs of each earlier window that the ranker and LambdaMART learned from",
    }
    tables = {f"nDCG@10, {name.replace('_', ' ')}": table(repeated[name], found, name) for name in SETS}
    path = merge_report("relevance", "windows", evaluation.bundle.id, numbers, meanings, {}, tables)
    console.print(f"{path}, {path.with_name('relevance-windows.md')}")


if __name__ == "__main__":
    typer.run(main)
