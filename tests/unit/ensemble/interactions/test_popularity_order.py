"""An order that is kept up with a few changes is what sorting anew gives, ties and all."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.popularity_order import order_by_popularity, popularity_keys, reorder

ITEMS = 60


@pytest.mark.parametrize("changes", [0, 1, 7, ITEMS])
@pytest.mark.parametrize("values", [2, 1_000])  # many ties, and hardly any
def test_it_is_what_sorting_anew_gives(changes, values):
    draw = np.random.default_rng(10 * changes + values)

    def drawn(count):
        return (draw.integers(0, values, count) / 7).astype(np.float32)

    trend, counts = drawn(ITEMS), drawn(ITEMS)
    order = order_by_popularity(trend, counts)
    for _ in range(50):
        changed = draw.choice(ITEMS, changes, replace=False).astype(np.int32)
        trend[changed], counts[changed] = drawn(changes), drawn(changes)
        order = reorder(order, popularity_keys(trend, counts), changed)
        assert order.dtype == np.int32
        assert order.tolist() == order_by_popularity(trend, counts).tolist()


def test_a_negative_zero_is_an_ordinary_one():
    trend, counts = np.asarray([0.0, -0.0, 0.0], np.float32), np.zeros(3, np.float32)
    order = reorder(np.asarray([0, 1, 2], np.int32), popularity_keys(trend, counts), np.asarray([1], np.int32))
    assert order.tolist() == [0, 1, 2]


def test_what_had_no_place_gets_one():
    keys = np.asarray([5.0, np.nan, 3.0, 5.0, 1.0])
    order = np.asarray([4, 2, 0], np.int32)
    assert reorder(order, keys, np.asarray([3], np.int32)).tolist() == [4, 2, 0, 3]
