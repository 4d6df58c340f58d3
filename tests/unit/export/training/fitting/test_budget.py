"""A training whose time is over ends with the best that it has, and says so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.retrieval.own_features import OwnFeature
from support.planted_sequences import VECTORS, planted

torch = pytest.importorskip("torch")

from fuserank_export.builder.options import RankerOptions  # noqa: E402  they need torch
from fuserank_export.checks import OptionError  # noqa: E402
from fuserank_export.training.fitting.budget import TimeBudget  # noqa: E402
from fuserank_export.training.fitting.fit import fit, predicted, ranking_loss  # noqa: E402
from fuserank_export.training.fitting.own_signals import Fitted, describe_gains, select_own_signals  # noqa: E402
from fuserank_export.training.fitting.settings import FitSettings  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCH_STEPS = 5  # of 160 cases in batches of 32
SETTINGS = FitSettings(epochs=4, batch=32, patience=4)


class StepBudget(TimeBudget):
    """A budget whose time is a number of looks at the clock, one a step."""

    def __init__(self, steps):
        super().__init__(minutes=3.0)
        self.steps = steps

    @property
    def is_over(self):
        self.steps -= 1
        return self.steps <= 0


def fitted(budget=None, settings=SETTINGS):
    return fit(planted(160, 1), planted(64, 2), VECTORS, settings, 5, lambda epoch: None, budget=budget)[:2]


def evaluated(history):
    return [entry["epoch"] for entry in history if "eval_loss" in entry]


def test_it_stops_in_the_middle_of_an_epoch_whose_part_is_evaluated_too():
    budget = StepBudget(EPOCH_STEPS + 2)
    _, history = fitted(budget)
    assert budget.stopped == [pytest.approx(1.4)]
    assert evaluated(history) == [1.0, pytest.approx(1.4)]


def test_a_budget_that_is_over_before_the_first_step_ends_after_it():
    budget = TimeBudget(1.0, started=-1e9)
    _, history = fitted(budget)
    assert budget.stopped == [pytest.approx(1 / EPOCH_STEPS)]
    assert evaluated(history) == [pytest.approx(1 / EPOCH_STEPS)]


def test_within_its_time_a_training_is_as_without_a_budget():
    budget = TimeBudget(1e6)
    timed, history = fitted(budget)
    untimed, expected = fitted()
    assert budget.stopped == []
    assert history == expected
    assert all(torch.equal(value, timed.state_dict()[name]) for name, value in untimed.state_dict().items())


def test_the_best_epoch_is_taken_and_not_the_one_that_was_cut():
    # What is learned from contradicts what it is measured on: each further step is worse.
    learned, later = planted(160, 1), planted(64, 2)
    against = replace(later, labels=np.where(np.isnan(later.labels), np.nan, 1 - later.labels).astype(np.float32))
    budget = StepBudget(2 * EPOCH_STEPS + 3)
    ranker, history, _ = fit(learned, against, VECTORS, SETTINGS, 5, lambda epoch: None, budget=budget)
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert np.argmin(losses) == 0
    ranker.slope.fill_(1.0)  # calibration comes after the best is chosen
    ranker.offset.zero_()
    loss = ranking_loss(torch.from_numpy(predicted(ranker, against, VECTORS)), torch.from_numpy(against.labels))
    assert abs(float(loss) - losses[0]) < abs(float(loss) - losses[-1])


def test_what_it_ended_is_said():
    budget = TimeBudget(20.0)
    assert budget.describe(6) == ""
    budget.stopped.append(2.44)
    assert budget.describe(6) == (
        "the time budget of 20 minutes ended the training after 2.4 of at most 6 epochs: the ranker is the best until "
        "then; --time-budget gives it longer"
    )
    assert budget.to_dict() == {"minutes": 20.0, "stopped_after_epochs": [2.44]}


@pytest.mark.parametrize("looks", [0, 1], ids=["before it is tried", "while it is tried"])
def test_a_signal_that_there_is_no_time_to_try_is_left_out(looks):
    rating = OwnFeature("shop.rating", "shop", "rating", "rating", "number")
    over = iter([False] * looks + [True] * 9)
    best, gains = select_own_signals(
        FeatureLayout((rating,)),
        lambda layouts: [Fitted(SimpleNamespace(layout=columns), [], None, None) for columns in layouts],
        lambda of: np.full(400, 0.5) + 0.1 * bool(of.ranker.layout.own),
        400,
        lambda: next(over),
    )
    assert best.ranker.layout.own == ()
    assert describe_gains(gains) == "the signal shop (rating) is left out: the time budget ended before it was tried"


@pytest.mark.parametrize("minutes", [0, -1.0])
def test_a_budget_is_some_time(minutes):
    with pytest.raises(OptionError, match="time_budget"):
        RankerOptions(time_budget=minutes)
