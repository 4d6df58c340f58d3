"""`fuserank evaluate offpolicy`: what another bundle or objective would have earned, from a server's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.options import MAX_K
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.state.settings import StateSettings
from fuserank_evaluation.datasets.shown_lists import (
    REWARDS,
    WINDOW_HOURS,
    ShownLists,
    open_kept_state,
    read_shown_lists,
)
from fuserank_evaluation.offpolicy.estimators import (
    LEAST_SAMPLE,
    LEAST_SUPPORT,
    Estimate,
    LoggedPlaces,
    OffPolicyEstimate,
    estimate_target,
)
from fuserank_evaluation.offpolicy.reward_model import Shown, predict_rewards
from fuserank_evaluation.offpolicy.target import Target, read_options
from fuserank_evaluation.reports.report import write_report
from fuserank_export.progress import Progress

REPORT = "offpolicy"
SEED = 41


@dataclass(frozen=True)
class OffPolicySettings:
    """What is estimated, and from what.

    Attributes:
        reward: One of `REWARDS`.
        places: Only the first places of each list count.
        lists: How many lists are asked again at most, drawn at random.
        window_hours: How long after an impression what is done with its item counts for it.
        least_sample: The effective sample size below which there is no estimate.
        least_support: The mean weight below which there is none.
    """

    reward: str = REWARDS[0]
    places: int = 10
    lists: int = 5_000
    window_hours: float = WINDOW_HOURS
    least_sample: float = LEAST_SAMPLE
    least_support: float = LEAST_SUPPORT

    def __post_init__(self) -> None:
        if self.reward not in REWARDS:
            raise ValueError(f"reward: found {self.reward!r}; allowed: {' or '.join(REWARDS)}")
        if not 1 <= self.places <= MAX_K:
            raise ValueError(f"places: found {self.places}; allowed: 1 to {MAX_K}")


@dataclass(frozen=True)
class Usable:
    """The impressions that an estimate can use, and how many lists were left out.

    Attributes:
        rows: Positions of the impressions, int64.
        lists: Of how many lists they are.
        before_bundle: Lists that the target may have learned from.
        without_propensity: Lists of which a place names no propensity.
    """

    rows: Any
    lists: int
    before_bundle: int
    without_propensity: int


def evaluate_offpolicy(
    bundle_root: Path, state_settings: StateSettings, options: str, settings: OffPolicySettings, console: Console
) -> tuple[Path, OffPolicyEstimate]:
    """Estimates what a bundle with some options would have earned, and writes the report `offpolicy`.

    Args:
        bundle_root: The target's bundle.
        state_settings: Where the log is.
        options: Options of `search` for all requests, a JSON object.
        settings: What is estimated.
        console: Shows progress.

    Returns:
        The report's JSON file, and the estimate; its `refusal` says why there is none.

    Raises:
        ValueError: Where the options cannot be used, or the log has no list that can.
        StateError: Where the log cannot be read.
    """
    chosen = read_options(options)
    bundle = Bundle.open(bundle_root)
    state = open_kept_state(state_settings)
    try:
        lists = read_shown_lists(state.log, settings.window_hours)
        usable = select_usable(lists, settings, float(bundle.manifest["log_end"]))
        if not usable.lists:
            raise ValueError(
                f"log: found {len(lists):,} lists, of which {usable.before_bundle:,} are not after the end of the "
                f"bundle's own log and {usable.without_propensity:,} name no propensity; allowed: lists that were "
                "asked for with `explore`, after what the bundle learned from"
            )
        with Progress(console).steps() as on_progress:
            target = Target(LocalGraph(bundle), state, chosen)
            answers: dict[int, list[str]] = {}
            for number in np.unique(lists.list_of[usable.rows]).tolist():
                on_progress("asking again", len(answers), usable.lists)
                position = int(lists.log_positions[number])
                answers[number] = target.answer(lists.keys[number], lists.times[number], position, settings.places)
    finally:
        state.log.close()
    logged = compare_places(lists, usable, answers, settings.reward)
    outcome = estimate_target(logged, settings.least_sample, settings.least_support)
    figures, meanings = report_figures(outcome, usable, settings.reward)
    return write_report(REPORT, bundle.id, figures, meanings, {}), outcome


def select_usable(lists: ShownLists, settings: OffPolicySettings, log_end: float) -> Usable:
    """Selects the impressions of lists that the target did not learn from and whose places all name a propensity.

    Args:
        lists: What was shown.
        settings: How many places and lists count.
        log_end: The last moment that the target learned from, epoch seconds.
    """
    inside = lists.places <= settings.places
    known = np.nan_to_num(lists.propensities, nan=0.0) > 0
    unknown = np.zeros(len(lists), np.bool_)
    unknown[lists.list_of[inside & ~known]] = True
    before = lists.times <= log_end
    present = np.zeros(len(lists), np.bool_)
    present[lists.list_of[inside]] = True
    kept = np.flatnonzero(present & ~unknown & ~before)
    if len(kept) > settings.lists:
        kept = np.random.default_rng(SEED).choice(kept, settings.lists, replace=False)
    rows = np.flatnonzero(inside & np.isin(lists.list_of, kept))
    return Usable(rows, len(kept), int((present & before).sum()), int((present & unknown & ~before).sum()))


def compare_places(lists: ShownLists, usable: Usable, answers: Mapping[int, list[str]], reward: str) -> LoggedPlaces:
    """Joins what was shown with what the target would have shown.

    Args:
        lists: What was shown.
        usable: Which impressions count.
        answers: The target's item ids by list, best first.
        reward: One of `REWARDS`.
    """
    rows = usable.rows
    list_of, places = lists.list_of[rows], lists.places[rows]
    subject = lists.subjects[list_of]
    searched = np.asarray([bool(lists.keys[number].query) for number in list_of], np.bool_)
    shown_items = [lists.items[row] for row in rows]
    target_items = [
        answers[number][place - 1] if place <= len(answers[number]) else ""
        for number, place in zip(list_of.tolist(), places.tolist(), strict=True)
    ]
    rewarded = lists.rewarded[reward][rows]
    shown = Shown(shown_items, places, searched)
    logged_model, target_model = predict_rewards(shown, rewarded, subject, [shown, replace(shown, items=target_items)])
    return LoggedPlaces(
        subject,
        list_of,
        places,
        rewarded.astype(np.float64),
        lists.propensities[rows],
        np.asarray([one == other for one, other in zip(shown_items, target_items, strict=True)], np.bool_),
        logged_model,
        target_model,
    )


def report_figures(
    outcome: OffPolicyEstimate, usable: Usable, reward: str
) -> tuple[dict[str, float | str | None], dict[str, str]]:
    """Returns the report's figures, and what each means."""
    figures: dict[str, float | str | None] = {
        "lists": outcome.lists,
        "people": outcome.people,
        "lists_before_bundle": usable.before_bundle,
        "lists_without_propensity": usable.without_propensity,
        "effective_sample": round(outcome.effective_sample, 1),
        "support": round(outcome.support, 4),
        "refusal": outcome.refusal,
    }
    meanings = {
        "lists": "logged lists that were asked again",
        "people": "users and sessions that saw them",
        "lists_before_bundle": "left out: the bundle may have learned from what came of them",
        "lists_without_propensity": "left out: a place of them names no propensity",
        "effective_sample": "effective sample size of the place where it is smallest",
        "support": "share of what the target shows that the log may show, at the place where it is smallest",
    }
    estimates: Mapping[str, tuple[Estimate | None, str]] = {
        "logged": (outcome.logged, f"{reward}s a logged list"),
        "snips": (outcome.snips, f"{reward}s a list of the target, self-normalised inverse propensity score"),
        "doubly_robust": (outcome.doubly_robust, f"{reward}s a list of the target, doubly robust"),
        "gain": (outcome.gain, f"{reward}s that a list of the target earns more than a logged one, doubly robust"),
    }
    for name, (estimate, meaning) in estimates.items():
        for end, value in {"": "value", "_low": "low", "_high": "high"}.items():
            figures[name + end] = None if estimate is None else round(getattr(estimate, value), 6)
        meanings |= {name: meaning, f"{name}_low": "lower end of its 95 % interval", f"{name}_high": "upper end"}
    return figures, meanings
