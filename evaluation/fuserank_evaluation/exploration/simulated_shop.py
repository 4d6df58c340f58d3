"""A shop with one place for newcomers: who is shown one clicks it as often as the item truly is clicked.

What was shown and clicked goes into a log, and comes back as the product counts it: `LivePopularity`, with a snapshot
after every few visitors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EventTable
from fuserank_ensemble.interactions.live.popularity import LivePopularity, PopularitySnapshot
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.ranking.exploration import (
    PRIOR_IMPRESSIONS,
    Clicks,
    expected_clicks,
    thompson_probabilities,
)
from fuserank_ensemble.state.entries import EventKind, Interaction, Logged

FloatArray = NDArray[np.float64]
Policy = Callable[[Clicks], FloatArray]  # with what probability each newcomer is shown, given what is known of clicks
RATES = (1.0, 19.0)  # of the beta distribution of click rates: one in twenty impressions at the mean
EPSILON = 0.1


def choose_greedily(clicks: Clicks) -> FloatArray:
    """Shows the item whose posterior mean is largest, the first of equals."""
    means = (PRIOR_IMPRESSIONS * clicks.expected + clicks.clicks) / (PRIOR_IMPRESSIONS + clicks.impressions)
    chosen = np.zeros(len(means))
    chosen[int(means.argmax())] = 1.0
    return chosen


def choose_epsilon_greedily(clicks: Clicks) -> FloatArray:
    """Shows any item in one of ten cases, else the one whose posterior mean is largest."""
    return (1 - EPSILON) * choose_greedily(clicks) + EPSILON / len(clicks.clicks)


def choose_evenly(clicks: Clicks) -> FloatArray:
    """Shows any item, and learns nothing."""
    return np.full(len(clicks.clicks), 1 / len(clicks.clicks))


POLICIES: Mapping[str, Policy] = {
    "thompson": thompson_probabilities,
    "epsilon_greedy": choose_epsilon_greedily,
    "greedy": choose_greedily,
    "evenly": choose_evenly,
}


@dataclass
class SimulatedShop:
    """Newcomers, and what is known of them.

    Attributes:
        rates: How often each is truly clicked, float64 `[items]`.
    """

    rates: FloatArray
    _names: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def of(cls, items: int, seed: int) -> SimulatedShop:
        """Draws the newcomers' click rates."""
        return cls(np.random.default_rng(seed).beta(*RATES, items))

    def regrets(self, policy: Policy, visitors: int, between: int, seed: int) -> FloatArray:
        """Returns what each visitor clicked less, on average, than with the best item, float64 `[visitors]`.

        Args:
            policy: What is shown.
            visitors: How many come.
            between: How many come between two snapshots.
            seed: Of what is shown and clicked.
        """
        draw, items = np.random.default_rng(seed), len(self.rates)
        live = self._open()
        regrets = []
        for _ in range(0, visitors, between):
            shown = draw.choice(items, between, p=policy(_known(live.current)))
            clicked = draw.random(between) < self.rates[shown]
            live.apply(
                [logged for row, click in zip(shown, clicked, strict=True) for logged in self._visit(row, click)]
            )
            regrets.append(self.rates.max() - self.rates[shown])
        joined: FloatArray = np.concatenate(regrets)
        return joined[:visitors]

    def _open(self) -> LivePopularity:
        items = len(self.rates)
        catalog = Items(np.asarray([b"i%04d" % row for row in range(items)]), np.arange(items, dtype=np.int32),
                        Columns(items, {}))  # fmt: skip
        live = LivePopularity(catalog, Popularity.empty(items), EventTable(), 0.0)
        live.seconds = 0.0
        return live

    def _visit(self, row: int, clicked: bool) -> list[Logged]:
        """What a visitor writes into the log."""
        visitor = next(self._names)
        kinds: tuple[EventKind, ...] = ("impression", "click") if clicked else ("impression",)
        return [
            Logged(
                2 * visitor + at,
                Interaction(
                    event_id=f"{visitor}-{at}",
                    event=kind,
                    item_id=f"i{row:04d}",
                    timestamp=float(visitor),
                    session=visitor.to_bytes(16, "big"),
                    position=1,
                ),
            )
            for at, kind in enumerate(kinds)
        ]


def _known(snapshot: PopularitySnapshot) -> Clicks:
    """What is known of the newcomers' clicks; the ranker says the same of all."""
    alike = np.zeros(len(snapshot.clicks), np.float32)
    expected = expected_clicks(alike, float(snapshot.impressions.sum()), float(snapshot.clicks.sum()))
    return Clicks(snapshot.impressions, snapshot.clicks, expected)
