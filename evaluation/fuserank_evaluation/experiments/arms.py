"""What each arm of an experiment earned, from the lists that a log tells of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.shown_lists import ShownLists
from fuserank_evaluation.experiments.statistics import MISMATCH, Difference, Ratio, mismatch_p
from fuserank_evaluation.metrics.measures import MEASURES, measure_judged

GRADES = {"click": 1, "purchase": 2}  # of an item in a list, for nDCG
METRICS = {
    "conversion": "share of people who bought something that they were shown",
    "click_through": "clicks an impression",
    "ndcg_at_10": "nDCG@10 of a list that was clicked or bought from",
}


@dataclass(frozen=True)
class ArmOutcome:
    """What an arm earned.

    Attributes:
        label: How impressions name it.
        people: Users and sessions that saw its lists and no other arm's.
        lists: How many lists they saw.
        metrics: By name, see `METRICS`.
        differences: From the control by metric; None where too few people saw one of both. Empty for the control.
    """

    label: str
    people: int
    lists: int
    metrics: dict[str, Ratio]
    differences: dict[str, Difference | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ExperimentOutcome:
    """What an experiment says.

    Attributes:
        arms: The first is the control.
        mixed_people: Users and sessions that saw lists of several arms; they are left out.
        unlabelled: Lists of no arm of the experiment, by the arm that they name.
        mismatch_p: The p of so many people in each arm by chance.
    """

    arms: Sequence[ArmOutcome]
    mixed_people: int
    unlabelled: Counter[str]
    mismatch_p: float

    @property
    def is_mismatched(self) -> bool:
        """Whether people are missing from an arm, so that no figure of it can be trusted."""
        return self.mismatch_p < MISMATCH


def compare_arms(
    lists: ShownLists, names: Sequence[str], labels: Sequence[str], shares: Sequence[float]
) -> ExperimentOutcome:
    """Compares the arms of an experiment.

    Args:
        lists: What was shown.
        names: What each list names as its arm, or as what is compared in its place, `[lists]`.
        labels: The arms, the control first.
        shares: Of all users, in the order of `labels`.
    """
    codes = {label: code for code, label in enumerate(labels)}
    arm_of = np.asarray([codes.get(name, -1) for name in names], np.int64)
    subjects = lists.subjects
    seen: dict[int, set[int]] = {}
    for subject, arm in zip(subjects.tolist(), arm_of.tolist(), strict=True):
        if arm >= 0:
            seen.setdefault(subject, set()).add(arm)
    mixed = {subject for subject, arms in seen.items() if len(arms) > 1}
    arm_of[np.isin(subjects, list(mixed))] = -1
    ndcg = _ndcg(lists)
    outcomes: list[ArmOutcome] = []
    for code, label in enumerate(labels):
        chosen = np.flatnonzero(arm_of == code)
        metrics = _measure(lists, subjects, chosen, ndcg)
        control = outcomes[0].metrics if outcomes else None
        differences = {name: Difference.of(metrics[name], control[name]) for name in METRICS} if control else {}
        outcomes.append(ArmOutcome(label, len(np.unique(subjects[chosen])), len(chosen), metrics, differences))
    return ExperimentOutcome(
        outcomes,
        len(mixed),
        Counter(name for name in names if name not in codes),
        mismatch_p([outcome.people for outcome in outcomes], shares),
    )


def _measure(
    lists: ShownLists, subjects: NDArray[np.int64], chosen: NDArray[np.int64], ndcg: NDArray[np.float64]
) -> dict[str, Ratio]:
    """Each of `METRICS` over some lists; `ndcg` is NaN for a list that nothing came of, float64 `[lists]`."""
    number = np.full(len(lists), -1, np.int64)
    people, number[chosen] = np.unique(subjects[chosen], return_inverse=True)
    rows = np.flatnonzero(np.isin(lists.list_of, chosen))
    person = number[lists.list_of[rows]]

    def by_person(who: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(who, weights=values, minlength=len(people)).astype(np.float64)
        return sums

    bought = by_person(person, lists.rewarded["purchase"][rows].astype(np.float64))
    clicked = by_person(person, lists.rewarded["click"][rows].astype(np.float64))
    judged = chosen[~np.isnan(ndcg[chosen])]
    return {
        "conversion": Ratio.of((bought > 0).astype(np.float64), np.ones(len(people))),
        "click_through": Ratio.of(clicked, by_person(person, np.ones(len(rows)))),
        "ndcg_at_10": Ratio.of(
            by_person(number[judged], ndcg[judged]), by_person(number[judged], np.ones(len(judged)))
        ),
    }


def _ndcg(lists: ShownLists) -> NDArray[np.float64]:
    """nDCG@10 of each list, whose relevant items are those that were clicked or bought; NaN where none was."""
    grades: dict[str, dict[str, int]] = {}
    ranked: dict[str, dict[str, int]] = {}
    for row in np.lexsort((lists.places, lists.list_of)).tolist():
        name, item = str(lists.list_of[row]), lists.items[row]
        ranked.setdefault(name, {}).setdefault(item, int(lists.places[row]))
        grade = max((grade for reward, grade in GRADES.items() if lists.rewarded[reward][row]), default=0)
        if grade:
            grades.setdefault(name, {})[item] = grade
    values = np.full(len(lists), np.nan)
    if grades:
        judged = JudgedQueries(dict.fromkeys(grades, ""), grades)
        shown = [list(ranked[name]) for name in grades]
        measure = "ndcg_at_10"
        values[[int(name) for name in grades]] = measure_judged(judged, shown, {measure: MEASURES[measure]})[measure]
    return values
