"""`fuserank evaluate exploration`: the regret of Thompson sampling, epsilon-greedy and greedy in a simulated shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fuserank_evaluation.exploration.simulated_shop import POLICIES, FloatArray, SimulatedShop
from fuserank_evaluation.metrics.significance import half_width
from fuserank_evaluation.reports.report import write_report

REPORT = "exploration"
NEWCOMERS, BETWEEN = (10, 20), 20


def evaluate_exploration(shops: int, visitors: int) -> Path:
    """Measures the regret of each policy and writes the report `exploration`.

    Args:
        shops: How many shops are drawn, with each number of newcomers; every policy meets all of them.
        visitors: How many people come to each.

    Returns:
        The report's JSON file.
    """
    figures: dict[str, float] = {"shops": shops, "visitors": visitors}
    meanings = {
        "shops": "simulated shops with each number of newcomers",
        "visitors": "people who come to each",
    }
    plots = {}
    for newcomers in NEWCOMERS:
        regrets = measure_regrets(newcomers, shops, visitors)
        part, explained = regret_figures(regrets, newcomers)
        figures, meanings = figures | part, meanings | explained
        plots[f"Clicks lost against the best of {newcomers} newcomers, mean of {shops} simulated shops"] = _plot(
            regrets
        )
    return write_report(REPORT, "none: simulated shops", figures, meanings, plots)


def measure_regrets(newcomers: int, shops: int, visitors: int) -> dict[str, FloatArray]:
    """Returns each policy's regrets, float64 `[shops, visitors]`."""
    made = [SimulatedShop.of(newcomers, seed) for seed in range(shops)]
    return {
        name: np.stack([shop.regrets(policy, visitors, BETWEEN, seed) for seed, shop in enumerate(made)])
        for name, policy in POLICIES.items()
    }


def regret_figures(regrets: dict[str, FloatArray], newcomers: int) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the figures of shops with so many newcomers, and what each means."""
    figures: dict[str, float] = {}
    meanings: dict[str, str] = {}
    for name, of_policy in regrets.items():
        totals, late = of_policy.sum(1), of_policy[:, -of_policy.shape[1] // 4 :].mean(1)
        measured = {
            f"regret_{newcomers}_{name}": (totals, f"clicks lost against the best of {newcomers} newcomers"),
            f"late_regret_{newcomers}_{name}": (1_000 * late, "by a thousand of the last quarter of visitors"),
        }
        if name != "thompson":
            gained = totals - regrets["thompson"].sum(1)
            measured[f"gain_{newcomers}_{name}"] = (gained, f"clicks that Thompson sampling earns more than {name}")
        for figure, (values, meaning) in measured.items():
            figures[figure] = round(float(values.mean()), 1)
            figures[f"{figure}_half_width"] = round(half_width(values), 1)
            meanings |= {figure: meaning, f"{figure}_half_width": "half of its 95 % interval"}
    return figures, meanings


def _plot(regrets: dict[str, FloatArray]) -> Any:
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for name, of_policy in regrets.items():
        axes.plot(of_policy.mean(0).cumsum(), label=name.replace("_", " "))
    axes.set_xlabel("visitors")
    axes.set_ylabel("clicks lost")
    axes.legend()
    return figure
