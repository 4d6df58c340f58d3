"""A catalogue of another size keeps its items' ids apart, its texts apart, and its households' habits."""

import numpy as np
import pandas as pd
import pytest

from fuserank_benchmarks.load.sizes import drawn, noisy, resized_items, resized_log
from fuserank_export.sources import Interactions
from fuserank_export.sources.report import RowReport

ITEMS = pd.DataFrame({"item_id": ["10", "11", "9"], "title": ["oat milk", "rye bread loaf", "white rice"]})


def log():
    user, item = np.array([0, 0, 1, 1], np.int32), np.array([0, 0, 0, 2], np.int32)
    moments, paid = np.arange(4, dtype=np.int64), np.ones(4, np.float32)
    none = np.full(4, -1, np.int32)
    kinds = np.zeros(4, np.uint8)
    return Interactions(user, item, kinds, moments, paid, none, ["a", "b"], [], RowReport("log"))


def test_a_smaller_shop_draws_each_item_at_most_once():
    origin, copy = drawn(100, 10, np.random.default_rng(1))
    assert len(set(origin.tolist())) == 10
    assert not copy.any()


def test_a_larger_shop_has_every_item_and_ids_and_titles_of_its_own():
    origin, copy = drawn(3, 8, np.random.default_rng(1))
    frame = resized_items(ITEMS, origin, copy, np.random.default_rng(1))
    assert frame["item_id"].is_unique
    assert list(frame["item_id"]) == sorted(frame["item_id"], key=str.encode)
    assert {"10", "11", "9"} <= set(frame["item_id"])
    assert frame["title"].nunique() == 8


def test_a_household_buys_one_copy_and_always_the_same():
    origin, copy = drawn(3, 6, np.random.default_rng(1))
    rows = np.array([5, 4, 3, 2, 1, 0])
    found = resized_log(log(), origin, copy, rows)
    assert found.item.tolist()[0] == found.item.tolist()[1]  # user 0 bought item 0 twice
    positions = [int(np.flatnonzero(rows == row)[0]) for row in found.item]
    assert origin[positions].tolist() == [0, 0, 0, 2]


def test_what_is_not_in_a_smaller_shop_was_not_bought():
    found = resized_log(log(), np.array([2]), np.array([0]), np.array([0]))
    assert (found.user.tolist(), found.item.tolist(), found.timestamp.tolist()) == ([1], [0], [3])


def test_only_copies_get_noise_of_the_stated_size():
    vectors = np.random.default_rng(1).standard_normal((200, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    copies = np.arange(200) >= 100
    found = noisy(vectors.astype(np.float16), copies, np.random.default_rng(2)).astype(np.float32)
    assert np.array_equal(found[:100], vectors[:100].astype(np.float16).astype(np.float32))
    assert (found[100:] * vectors[100:]).sum(1).mean() == pytest.approx(0.95, abs=0.01)
