"""A shop's own signal is read where the ranker with it is shown to be better on later cases, and else is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, FeatureLayout
from fuserank_ensemble.retrieval.own_features import OwnFeature

pytest.importorskip("torch")

from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.fitting.own_signals import (
    LEAST_CASES,
    Fitted,
    deal_anew,
    describe_gains,
    select_own_signals,
)

RATING = OwnFeature("shop.rating", "shop", "rating", "rating", "number")
LAYOUT = FeatureLayout((RATING,))
CASES = 400


def select(after, layout=LAYOUT, cases=CASES, dealt=0.0):
    """Selects by what rankers measure: 0.5 a case, `after` more with the shop's own signal, or `dealt` more.

    Says what was fitted: the columns, and whether they were dealt out anew.
    """
    before = np.full(cases, 0.5)
    fitted = []

    def fit(columns, anew):
        fitted.append((columns.own, anew))
        return Fitted(SimpleNamespace(layout=columns), [], None, anew)

    def measure(of):
        return before + (dealt if of.validation else after if of.ranker.layout.own else 0.0)

    best, gains = select_own_signals(layout, fit, measure)
    return best.ranker.layout, gains, fitted


def spread(mean, deviation=0.2, cases=CASES):
    noise = np.random.default_rng(1).normal(size=cases)
    return mean + deviation * (noise - noise.mean()) / noise.std()


def test_a_signal_that_gains_is_kept():
    layout, gains, fitted = select(spread(0.05))
    assert layout == LAYOUT
    assert fitted == [((), False), ((RATING,), False), ((RATING,), True)]
    assert gains["shop"].kept
    assert gains["shop"].columns == ("rating",)
    assert gains["shop"].ndcg_with == pytest.approx(0.55)
    assert gains["shop"].ndcg_without == pytest.approx(0.5)
    assert gains["shop"].standard_error == pytest.approx(0.01, rel=0.01)
    assert describe_gains(gains) == (
        "the signal shop (rating) is kept: nDCG@10 0.5500, 0.5000 without, 0.5000 with the same values dealt out anew "
        "among the items"
    )


@pytest.mark.parametrize("mean", [0.015, 0.0, -0.1], ids=["within its scatter", "nothing", "a loss"])
def test_a_signal_that_is_not_shown_to_gain_is_left_out_and_the_ranker_is_that_without(mean):
    layout, gains, fitted = select(spread(mean))
    assert layout == FeatureLayout()
    assert not gains["shop"].kept
    assert len(fitted) == 2
    text = f"the signal shop (rating) is left out, as it does not gain: nDCG@10 {0.5 + mean:.4f}, 0.5000 without"
    assert describe_gains(gains) == text


def test_a_column_that_only_tells_items_apart_gains_as_much_when_dealt_out_anew_and_is_left_out():
    layout, gains, _ = select(spread(0.05), dealt=0.05)
    assert layout == FeatureLayout()
    assert not gains["shop"].kept
    assert "is left out, as it does not gain: nDCG@10 0.5500, 0.5000 without, 0.5500 with" in describe_gains(gains)
    assert select(spread(0.05), dealt=0.01)[1]["shop"].kept


def test_what_the_shop_says_of_users_is_no_column_of_items_to_deal_out():
    tier = OwnFeature("segment.tier", "segment", "tier", "user.tier", "lift")
    layout, gains, fitted = select(spread(0.05), layout=FeatureLayout((tier,)), dealt=0.05)
    assert layout.own == (tier,)
    assert gains["segment"].columns == ("tier",)
    assert [anew for _, anew in fitted] == [False, False]


def cases_of(rows, *columns):
    """Cases whose candidates have these own columns, each value by item row; -1 is no candidate."""
    cases = Cases.blank(["query"] * len(rows), len(rows[0]), 4, len(FEATURES) + len(columns))
    cases.rows[...] = rows
    for position, by_item in enumerate(columns, len(FEATURES)):
        cases.features[..., position] = np.where(np.asarray(rows) >= 0, np.asarray(by_item)[rows], np.nan)
    return cases


def test_dealt_out_anew_each_item_has_the_columns_of_one_other_in_all_cases():
    count = 50
    rating = np.arange(1.0, count + 1)
    rating[7] = np.nan  # of which nothing is known
    kind = OwnFeature("shop.kind", "shop", "kind", "kind", "flag")
    share = OwnFeature("shop.kind.share", "shop", "kind", "kind", "share")
    layout = FeatureLayout((RATING, kind, share))
    parts = [
        cases_of(
            [list(range(count)), [*range(20), *[-1] * 30]], rating, -rating, np.where(np.isnan(rating), np.nan, 1)
        ),
        cases_of([list(range(count))[::-1]], rating, -rating, np.where(np.isnan(rating), np.nan, 1)),
    ]
    dealt = deal_anew(parts, layout, 1)
    one, other = (part.features[..., len(FEATURES) :] for part in dealt)
    np.testing.assert_array_equal(one[0], other[0][::-1])
    np.testing.assert_array_equal(one[0, :20], one[1, :20])
    assert np.isnan(one[1, 20:]).all()
    assert np.isnan(one[0, 7]).all()
    known = ~np.isnan(rating)
    assert sorted(one[0, known, 0]) == sorted(rating[known])
    assert (one[0, known, 0] != rating[known]).sum() > 40
    np.testing.assert_array_equal(one[0, known, 1], -one[0, known, 0])  # an item's columns stay together
    assert np.isnan(one[..., 2]).all()
    # The cases that it came from are as they were.
    np.testing.assert_array_equal(parts[0].features[0, :, len(FEATURES)], rating)


def test_a_gain_that_every_case_shares_needs_no_scatter():
    assert select(np.full(CASES, 0.01))[1]["shop"].kept
    assert not select(np.zeros(CASES))[1]["shop"].kept


def test_few_cases_show_nothing_so_nothing_is_fitted_for_them():
    few = LEAST_CASES - 1
    layout, gains, fitted = select(np.full(few, 0.4), cases=few)
    assert layout == FeatureLayout()
    assert fitted == [((), False)]
    assert f"is left out: {few} validation cases of the {LEAST_CASES}" in describe_gains(gains)


def test_a_shop_without_columns_of_its_own_fits_one_ranker_and_says_nothing():
    layout, gains, fitted = select(0.0, layout=FeatureLayout())
    assert (layout, gains, fitted) == (FeatureLayout(), {}, [((), False)])
    assert describe_gains(gains) == ""
