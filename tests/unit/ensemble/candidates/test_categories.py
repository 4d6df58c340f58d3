"""A query means the categories of what its text channels list, by rank, trust and demand; others count less."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.candidates.categories import LEAST_SHARE, POWER, predict_categories
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_ensemble.retrieval.fusion import K_RRF

CATEGORY = np.asarray([0, 0, 1, 2, -1], np.int32)
ONES = np.ones(5, np.float32)


def shop(category=CATEGORY, words=("X", "Y", "Z")):
    columns = {"category": Column("category", category, list(words))} if words else {}
    ids = np.asarray([b"a", b"b", b"c", b"d", b"e"])
    return Items(ids, np.arange(5, dtype=np.int32), Columns(5, columns))


def ranked(*rows, shares=None):
    listed = np.asarray(rows, np.int32)
    weights = None if shares is None else np.asarray(shares, np.float32)
    return RankedItems(listed, np.linspace(1, 0.5, len(listed), dtype=np.float32), weights)


def predict(lists, items=None, demand=ONES, depth=9):
    return predict_categories(lists, items or shop(), demand, depth)


def test_shares_are_votes_by_rank_and_add_up_to_one():
    shares = predict([(1.0, ranked(2, 0, 1))]).shares
    votes = np.asarray([1 / (K_RRF + 2) + 1 / (K_RRF + 3), 1 / (K_RRF + 1), 0.0])
    np.testing.assert_allclose(shares[:3], votes / votes.sum())
    assert shares[:3].sum() == pytest.approx(1)


def test_an_item_without_a_category_has_the_share_that_an_item_of_the_lists_can_expect():
    shares = predict([(1.0, ranked(4, 2, 0))]).shares
    assert shares[-1] == pytest.approx(np.square(shares[:3]).sum())


def test_a_channel_counts_by_its_weight_and_a_guess_by_its_share():
    heavy = predict([(1.0, ranked(0)), (0.25, ranked(2))]).shares
    assert heavy[0] == pytest.approx(4 * heavy[1])
    guessed = predict([(1.0, ranked(0, shares=[0.25])), (1.0, ranked(2))]).shares
    assert guessed[1] == pytest.approx(4 * guessed[0])


def test_what_is_in_demand_is_meant_more_often():
    shares = predict([(1.0, ranked(0)), (1.0, ranked(2))], demand=np.asarray([9, 1, 1, 1, 1], np.float32)).shares
    assert shares[0] == pytest.approx(0.9)


def test_items_beyond_the_depth_say_nothing():
    assert predict([(1.0, ranked(0, 2))], depth=1).shares[1] == 0


@pytest.mark.parametrize("lists", [[], [(1.0, RankedItems.empty())], [(1.0, ranked(4))], [(0.0, ranked(0))]])
def test_where_nothing_with_a_category_is_listed_none_is_predicted(lists):
    assert predict(lists) is None


def test_a_shop_without_categories_has_none():
    assert predict([(1.0, ranked(0))], shop(words=())) is None


def test_votes_are_worth_all_in_the_likeliest_category_and_something_in_any():
    categories = predict([(1.0, ranked(0)), (0.5, ranked(2))])
    worth = categories.worth(np.asarray([0, 1, 2, -1], np.int32))
    assert worth[0] == 1
    assert worth[1] == pytest.approx(((1 / 3 + LEAST_SHARE) / (2 / 3 + LEAST_SHARE)) ** POWER)
    assert 0 < worth[2] < worth[1] < worth[3] < worth[0]


def test_logarithms_are_of_shares_and_missing_without_a_category():
    logs = predict([(1.0, ranked(0))]).log(np.asarray([0, 2, -1], np.int32))
    np.testing.assert_allclose(logs, [np.log(1 + LEAST_SHARE), np.log(LEAST_SHARE), np.nan], rtol=1e-5)
    assert logs.dtype == np.float32
