"""What a user rated badly is not recommended, nor are categories of which nothing was rated well."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.dislikes import clearly_disliked, mask_disliked, still_disliked, strengths_of
from fuserank_ensemble.interactions.history import History

CATEGORY = [0, 0, 0, 0, 0, 1, 1, 1, 1, -1]
ITEMS = Items(
    np.asarray([f"i{n}".encode() for n in range(10)], "S"),
    np.arange(10, dtype=np.int32),
    Columns(10, {"category": Column("category", np.asarray(CATEGORY, np.int32), ["Horror", "Comedy"])}),
)


def rows(*numbers):
    return np.asarray(numbers, np.int32)


def history(moments):
    kept = sorted(moments)
    counts = np.ones(len(kept), np.float32)
    return History(rows(*kept), counts, np.asarray([moments[row] for row in kept], np.int64), counts)


@pytest.mark.parametrize(
    ("disliked", "seen", "least", "hidden"),
    [
        (rows(0, 1, 2), rows(), 3, [0, 1, 2, 3, 4]),
        (rows(0, 1), rows(), 3, [0, 1]),
        (rows(0, 1, 2), rows(3), 3, [0, 1, 2]),
        (rows(0, 1, 2), rows(5, 6), 3, [0, 1, 2, 3, 4]),
        (rows(0, 1, 2), rows(), 6, [0, 1, 2]),
        (rows(9), rows(9), 1, [9]),
        (rows(), rows(1), 1, []),
    ],
)
def test_items_are_hidden_and_categories_with_enough_dislikes_and_hardly_a_like(disliked, seen, least, hidden):
    assert np.flatnonzero(~mask_disliked(ITEMS, disliked, seen, least)).tolist() == hidden


def test_a_category_is_hidden_only_where_what_the_request_allows_still_fills_the_list():
    comedies = np.asarray(CATEGORY) == 1
    assert np.flatnonzero(~mask_disliked(ITEMS, rows(0, 1, 2), rows(), 4, comedies)).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(~mask_disliked(ITEMS, rows(0, 1, 2), rows(), 4, ~comedies)).tolist() == [0, 1, 2]


def test_what_was_had_after_it_was_disliked_is_liked_again():
    disliked = history({1: 100, 4: 100, 7: 100})
    assert still_disliked(disliked, history({1: 200, 4: 50, 9: 300})).rows.tolist() == [4, 7]
    assert still_disliked(disliked, History.empty()).rows.tolist() == [1, 4, 7]
    assert still_disliked(history({9: 5}), history({1: 9})).rows.tolist() == [9]


def test_a_little_dislike_lowers_and_does_not_hide():
    disliked = history({1: 100, 4: 100})
    disliked = History(disliked.rows, np.asarray([0.2, 3.0], np.float32), disliked.last, disliked.recent)
    assert clearly_disliked(disliked).tolist() == [4]
    np.testing.assert_allclose(strengths_of(disliked, rows(4, 0, 1, 9)), [1, 0, 0.2, 0])
    assert strengths_of(History.empty(), rows(4, 0)).tolist() == [0, 0]
