"""What each arm of an experiment on users earned, from a server's log: `fuserank experiment`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fuserank_ensemble.contract.experiment import ExperimentError, read_experiment
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings
from fuserank_evaluation.datasets.shown_lists import WINDOW_HOURS, open_kept_state, read_shown_lists
from fuserank_evaluation.experiments.arms import ExperimentOutcome, compare_arms
from fuserank_evaluation.experiments.shadows import compare_shadows


def experiment(
    file: Annotated[Path, typer.Argument(help="The experiment's TOML file, as `fuserank serve --experiment` has it.")],
    state: Annotated[str, typer.Option(help="The server's log: sqlite:/path or redis://host:port/0.")],
    state_key_file: Annotated[Path | None, typer.Option(help="Its key, as `fuserank serve` has it.")] = None,
    window_hours: Annotated[
        float, typer.Option(help="How long after it was shown an item may be bought.")
    ] = WINDOW_HOURS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the arms of an experiment on users. Exits 1 where people are missing from an arm.

    Example: fuserank experiment ab.toml --state sqlite:build/demo.state/log.sqlite
    """
    try:
        described = read_experiment(file)
        labels = [described.label(arm) for arm in described.arms]
        kept = open_kept_state(StateSettings(state, state_key_file))
        try:
            lists = read_shown_lists(kept.log, window_hours)
            shadows = compare_shadows(kept.log, labels)
        finally:
            kept.log.close()
    except (ExperimentError, StateError) as error:
        typer.echo(f"fuserank experiment: {error}", err=True)
        raise typer.Exit(1) from None
    outcome = compare_arms(lists, [key.arm for key in lists.keys], labels, [arm.share for arm in described.arms])
    report = {**describe_outcome(outcome), "shadows": [vars(shadow) for shadow in shadows]}
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2, allow_nan=False) + "\n")
    else:
        _print_tables(report)
    if outcome.is_mismatched:
        typer.echo(
            f"fuserank experiment: ALARM: sample-ratio mismatch (p {outcome.mismatch_p:.1e}): people are missing from "
            "an arm, so no figure of it can be trusted. Look for what is not recorded or fails in one arm alone",
            err=True,
        )
        raise typer.Exit(1)


def describe_outcome(outcome: ExperimentOutcome) -> dict[str, Any]:
    """Returns what an experiment says as plain JSON values; None stands for what cannot be said."""
    arms = []
    for arm in outcome.arms:
        metrics = {}
        for name, ratio in arm.metrics.items():
            low, high = ratio.interval
            described: dict[str, Any] = {"value": _finite(ratio.value), "low": _finite(low), "high": _finite(high)}
            difference = arm.differences.get(name)
            if difference is not None:
                described["difference"] = {key: _finite(value) for key, value in vars(difference).items()}
            metrics[name] = described
        arms.append({"arm": arm.label, "people": arm.people, "lists": arm.lists, "metrics": metrics})
    return {
        "arms": arms,
        "mismatch_p": outcome.mismatch_p,
        "sample_ratio_mismatch": outcome.is_mismatched,
        "people_of_several_arms": outcome.mixed_people,
        "other_lists": dict(outcome.unlabelled),
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _print_tables(report: Mapping[str, Any]) -> None:
    table = Table("arm", "people", "lists", "metric", "value", "95 % interval", "difference", "at any time", "p")
    for arm in report["arms"]:
        for i, (name, metric) in enumerate(arm["metrics"].items()):
            first = (arm["arm"], f"{arm['people']:,}", f"{arm['lists']:,}") if i == 0 else ("", "", "")
            difference = metric.get("difference")
            compared = ("", "", "")
            if difference is not None:
                compared = (
                    f"{difference['value']:+.4f} ({_range(difference, '')})",
                    _range(difference, "sequential_"),
                    f"{difference['sequential_p']:.3g}",
                )
            value = "-" if metric["value"] is None else f"{metric['value']:.4f}"
            table.add_row(*first, name, value, _range(metric, ""), *compared)
    console = Console()
    console.print(table)
    console.print(
        f"people of several arms, left out: {report['people_of_several_arms']:,} · "
        f"lists of other arms or none: {sum(report['other_lists'].values()):,} · "
        f"sample-ratio mismatch: p {report['mismatch_p']:.3g}",
        highlight=False,
    )
    for shadow in report["shadows"]:
        console.print(
            f"{shadow['shadow']} in the shadow of {shadow['arm']}: {shadow['lists']:,} lists · "
            f"{shadow['overlap']:.0%} of the items are the same · {shadow['same_first']:.0%} begin with the same",
            highlight=False,
        )


def _range(values: Mapping[str, Any], prefix: str) -> str:
    low, high = values[f"{prefix}low"], values[f"{prefix}high"]
    return "-" if low is None or high is None else f"{low:.4f} to {high:.4f}"
