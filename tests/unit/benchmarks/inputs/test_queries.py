"""Requests of a shop: what each kind holds, and how queries repeat."""

import numpy as np
import pytest

from fuserank_benchmarks.inputs.queries import FreshLoad, Load, ShopVocabulary, zipf_weights


def test_each_kind_of_request_leaves_out_query_or_user():
    load = Load(["milk"], ["7"])
    assert load.requests("both", '{"k":5}') == [("milk", "7", '{"k":5}')]
    assert load.requests("query") == [("milk", "", "{}")]
    assert load.requests("user") == [("", "7", "{}")]


def test_under_zipf_few_queries_are_frequent():
    weights = zipf_weights(1_000, np.random.default_rng(7))
    assert weights.sum() == pytest.approx(1)
    assert np.sort(weights)[::-1][:10].sum() > 0.1  # at equal frequencies ten would be a hundredth
    assert weights.argmax() != 0  # the most frequent one is not the first in order


def test_queries_repeat_as_wanted():
    shop = ShopVocabulary([f"type {n}" for n in range(50)], [f"word {n}" for n in range(200)], ["7", "8"])
    distinct, even, zipf = (shop.draw(1_000, repeats) for repeats in ("none", "even", "zipf"))
    assert distinct == shop.draw(1_000, "none")
    assert distinct != shop.draw(1_000, "none", seed=8)
    assert len(set(distinct.queries)) > 900
    assert set(even.queries) <= set(shop.types)
    top = [max(load.queries.count(query) for query in set(load.queries)) for load in (even, zipf)]
    assert top[1] > 2 * top[0]
    assert set(distinct.users) == {"7", "8"}


def test_every_measurement_sends_other_requests_and_a_second_run_the_same():
    shop = ShopVocabulary([f"type {i}" for i in range(50)], [f"word {i}" for i in range(50)], ["1", "2"])
    load = FreshLoad(shop)
    first, second = load.draw(20), load.draw(20)
    assert not set(first.queries) & set(second.queries)
    assert FreshLoad(shop).draw(20) == first
    assert len(set(load.draw(20, "zipf").queries)) < 20
