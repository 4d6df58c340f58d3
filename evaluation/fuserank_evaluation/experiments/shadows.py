"""How differently another arm would have answered, from lists that were logged and not shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fuserank_ensemble.state.entries import ShadowList
from fuserank_ensemble.state.log import EventLog
from fuserank_evaluation.datasets.shown_lists import read_log


@dataclass(frozen=True)
class ShadowOverlap:
    """An arm's lists beside those that another would have shown.

    Attributes:
        arm: The arm whose lists were shown.
        shadow: The arm whose lists were not.
        lists: How many requests both answered.
        overlap: Mean share of the first ten shown items that the other list has among its first ten.
        same_first: Share of requests for which both begin with the same item.
    """

    arm: str
    shadow: str
    lists: int
    overlap: float
    same_first: float


def compare_shadows(log: EventLog, labels: Collection[str]) -> list[ShadowOverlap]:
    """Compares shown lists with those in their shadow, for the arms that are named; empty ones are left out."""
    pairs: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for _, entry in read_log(log):
        if isinstance(entry, ShadowList) and entry.arm in labels and entry.shown:
            common = len(set(entry.shown) & set(entry.items)) / len(entry.shown)
            pairs.setdefault((entry.arm, entry.shadow), []).append((common, entry.shown[:1] == entry.items[:1]))
    return [
        ShadowOverlap(
            arm,
            shadow,
            len(of_pair),
            sum(common for common, _ in of_pair) / len(of_pair),
            sum(same for _, same in of_pair) / len(of_pair),
        )
        for (arm, shadow), of_pair in sorted(pairs.items())
    ]
