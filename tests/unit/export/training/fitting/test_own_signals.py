"""A shop's own signal is read where the ranker with it is shown to be better on later cases, and else is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.retrieval.own_features import OwnFeature

pytest.importorskip("torch")

from fuserank_export.index.shadows import is_shadow
from fuserank_export.training.fitting.own_signals import (
    LEAST_CASES,
    Fitted,
    describe_gains,
    select_own_signals,
)

RATING = OwnFeature("shop.rating", "shop", "rating", "rating", "number")
SHADOW = OwnFeature("shop.rating~", "shop", "rating", "rating~", "number")
LAYOUT = FeatureLayout((RATING, SHADOW))
CASES = 400


def select(after, layout=LAYOUT, cases=CASES, shadow=0.0):
    """Selects by what rankers measure: 0.5 a case, `after` more with an own signal, `shadow` more with its shadow.

    Says which columns were fitted.
    """
    fitted = []

    def fit(columns):
        fitted.append(columns.own)
        return Fitted(SimpleNamespace(layout=columns), [], None, None)

    def measure(of):
        own = of.ranker.layout.own
        return np.full(cases, 0.5) + (0.0 if not own else shadow if is_shadow(own[-1]) else after)

    best, gains = select_own_signals(layout, lambda layouts: list(map(fit, layouts)), measure, cases)
    return best.ranker.layout, gains, fitted


def spread(mean, deviation=0.2, cases=CASES):
    noise = np.random.default_rng(1).normal(size=cases)
    return mean + deviation * (noise - noise.mean()) / noise.std()


def test_a_signal_that_gains_is_kept():
    layout, gains, fitted = select(spread(0.05))
    assert layout == FeatureLayout((RATING,))
    assert fitted == [(), (RATING,), (SHADOW,)]
    assert gains["shop"].kept
    assert gains["shop"].columns == ("rating",)
    assert gains["shop"].ndcg_with == pytest.approx(0.55)
    assert gains["shop"].ndcg_without == pytest.approx(0.5)
    assert gains["shop"].standard_error == pytest.approx(0.01, rel=0.01)
    assert describe_gains(gains) == (
        "the signal shop (rating) is kept: nDCG@10 0.5500, 0.5000 without, 0.5000 with the same values dealt out anew"
    )


@pytest.mark.parametrize("mean", [0.015, 0.0, -0.1], ids=["within its scatter", "nothing", "a loss"])
def test_a_signal_that_is_not_shown_to_gain_is_left_out_and_the_ranker_is_that_without(mean):
    layout, gains, fitted = select(spread(mean))
    assert layout == FeatureLayout()
    assert not gains["shop"].kept
    assert len(fitted) == 2
    text = f"the signal shop (rating) is left out, as it does not gain: nDCG@10 {0.5 + mean:.4f}, 0.5000 without"
    assert describe_gains(gains) == text


def test_a_column_that_gains_no_more_than_its_values_dealt_out_anew_is_left_out():
    layout, gains, _ = select(spread(0.05), shadow=0.05)
    assert layout == FeatureLayout()
    assert not gains["shop"].kept
    assert "is left out, as it does not gain: nDCG@10 0.5500, 0.5000 without, 0.5500 with" in describe_gains(gains)
    assert select(spread(0.05), shadow=0.01)[1]["shop"].kept


def test_signals_are_tried_one_after_the_other_beside_those_that_were_kept():
    tier, other = (OwnFeature(f"segment.tier{end}", "segment", "", f"user.tier{end}", "lift") for end in ("", "~"))
    layout, gains, fitted = select(spread(0.05), layout=FeatureLayout((RATING, SHADOW, tier, other)))
    assert fitted == [(), (RATING,), (SHADOW,), (RATING, tier)]
    assert layout.own == (RATING,)
    assert gains["segment"].columns == ("tier",)
    assert not gains["segment"].kept  # it brings no more than the rating did


def test_a_gain_that_every_case_shares_needs_no_scatter():
    assert select(np.full(CASES, 0.01))[1]["shop"].kept
    assert not select(np.zeros(CASES))[1]["shop"].kept


def test_few_cases_show_nothing_so_nothing_is_fitted_for_them():
    few = LEAST_CASES - 1
    layout, gains, fitted = select(np.full(few, 0.4), cases=few)
    assert layout == FeatureLayout()
    assert fitted == [()]
    assert f"is left out: {few} validation cases of the {LEAST_CASES}" in describe_gains(gains)


def test_a_shop_without_columns_of_its_own_fits_one_ranker_and_says_nothing():
    layout, gains, fitted = select(0.0, layout=FeatureLayout())
    assert (layout, gains, fitted) == (FeatureLayout(), {}, [()])
    assert describe_gains(gains) == ""
