from __future__ import annotations

import numpy as np
import pytest

from fuserank_evaluation.exploration.run import measure_regrets, regret_figures
from fuserank_evaluation.exploration.simulated_shop import POLICIES, SimulatedShop

VISITORS = 1_500


@pytest.fixture(scope="module")
def regrets():
    return measure_regrets(newcomers=6, shops=6, visitors=VISITORS)


def test_thompson_sampling_loses_fewer_clicks_than_the_others(regrets):
    lost = {name: float(of_policy.sum(1).mean()) for name, of_policy in regrets.items()}
    print({name: round(total, 1) for name, total in lost.items()})
    assert lost["thompson"] < lost["epsilon_greedy"]
    assert lost["thompson"] < lost["greedy"]
    assert lost["thompson"] < 0.7 * lost["evenly"]


def test_it_learns_from_what_it_showed(regrets):
    """A visitor of the last third loses less than one of the first; who shows items evenly learns nothing."""
    third = VISITORS // 3

    def late_share(name):
        return regrets[name][:, -third:].mean() / regrets[name][:, :third].mean()

    assert late_share("thompson") < 0.8
    assert late_share("evenly") == pytest.approx(1.0, abs=0.1)


def test_figures_say_what_was_lost_and_how_sure_that_is(regrets):
    figures, meanings = regret_figures(regrets, 6)
    assert figures.keys() == meanings.keys()
    assert figures["gain_6_greedy"] == pytest.approx(figures["regret_6_greedy"] - figures["regret_6_thompson"], abs=0.1)
    assert figures["late_regret_6_evenly"] > figures["late_regret_6_thompson"]
    assert all(value >= 0 for name, value in figures.items() if name.endswith("half_width"))


def test_a_shop_comes_out_the_same_each_time():
    first, second = (SimulatedShop.of(5, 1).regrets(POLICIES["thompson"], 200, 20, seed=2) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.min() >= 0
    assert len(np.unique(first)) > 1
