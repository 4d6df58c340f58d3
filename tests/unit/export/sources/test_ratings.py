"""Low ratings are no events: they are kept apart as what users dislike."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.sources import read_interactions
from fuserank_export.sources.ratings import find_least_liked, rating_strengths

NOW = 1_700_000_000


def rating(user, item, value, age=9):
    return {"user_id": user, "item_id": item, "event": "rating", "timestamp": NOW - age, "value": value}


@pytest.mark.parametrize(
    ("ratings", "least"),
    [
        ([0.5, 4.5, 5], 3), ([1, 2, 3], 3), ([2, 7, 10], 5), ([20, 90], 50), ([0, 1, 1], 0.5), ([-1, 1], 0),
        ([5, 5, 5], 3), ([np.nan], None), ([], None), ([1, 1_000], None),
    ],
)  # fmt: skip
def test_the_scale_of_the_ratings_tells_which_are_dislikes(ratings, least):
    assert find_least_liked(np.asarray(ratings, np.float32)) == least


def test_low_ratings_are_no_events_and_who_gave_nothing_else_is_no_user_of_the_log(write_csv):
    rows = [
        rating("ann", "a", "5", 8), rating("ann", "b", "1", 7), rating("bob", "b", "2", 6), rating("bob", "b", "", 5),
        rating("cid", "a", "0.5", 4), {**rating("cid", "a", "0.5", 3), "event": "purchase"}, rating("dan", "b", "4", 2),
        rating("eve", "a", "1", 1),
    ]  # fmt: skip
    log = read_interactions(write_csv(rows), ["a", "b"], now=NOW)
    assert log.user_ids == ["ann", "bob", "cid", "dan"]
    assert [(log.user_ids[u], EVENTS[e]) for u, e in zip(log.user, log.event, strict=True)] == [
        ("ann", "rating"), ("bob", "rating"), ("cid", "purchase"), ("dan", "rating"),
    ]  # fmt: skip
    assert log.weights[1:3].tolist() == [1, 1]  # without a value, and of another kind
    assert 0.5 <= log.weights[3] <= log.weights[0] <= 1
    low = log.negatives
    assert low.user_ids == ["ann", "bob", "cid", "dan", "eve"]
    assert [(low.user_ids[u], i) for u, i in zip(low.user, low.item, strict=True)] == [
        ("ann", 1), ("bob", 1), ("cid", 0), ("eve", 0),
    ]  # fmt: skip
    assert low.timestamp.tolist() == [NOW - 7, NOW - 6, NOW - 4, NOW - 1]
    assert (low.weight >= 0.5).all()  # in the lower half of the scale and below the user's mean
    assert "4 of 7 ratings are below their user's mean" in str(log.report)


def test_a_rating_is_measured_from_the_mean_of_its_user(write_csv):
    generous = [rating("kind", item, 5, 90 - n) for n, item in enumerate("abcdefgh")] + [rating("kind", "i", 4, 3)]
    strict = [rating("strict", item, 1, 90 - n) for n, item in enumerate("abcdefgh")] + [rating("strict", "i", 2.5, 3)]
    log = read_interactions(write_csv(generous + strict), list("abcdefghi"), now=NOW)
    low = {(log.negatives.user_ids[u], i) for u, i in zip(log.negatives.user, log.negatives.item, strict=True)}
    assert low == {("kind", 8), *(("strict", item) for item in range(8))}
    assert {log.user_ids[u] for u in log.user[log.item == 8]} == {"strict"}


def test_what_a_user_rates_later_does_not_change_what_an_earlier_rating_says(write_csv):
    rows = [rating("ann", "a", 4, 9), rating("bob", "a", 2, 8), rating("ann", "b", 3, 7)]
    later = [rating("ann", item, 5, 5) for item in "cdef"]
    scale = read_interactions(write_csv(rows), list("abcdef"), now=NOW).table.ratings
    users, values = np.asarray([0, 1, 0, 0, 0, 0, 0], np.int32), np.asarray([4, 2, 3, 5, 5, 5, 5], np.float32)
    assert len(rows + later) == len(users)
    np.testing.assert_array_equal(
        rating_strengths(scale, users, values)[:3], rating_strengths(scale, users[:3], values[:3])
    )


def test_equal_ratings_say_nothing_but_that_they_were_given(write_csv):
    log = read_interactions(write_csv([rating(f"u{n}", "a", 5) for n in range(5)]), ["a"], now=NOW)
    assert log.weight is None
    assert len(log.negatives) == 0


def test_a_shop_may_say_from_which_rating_on_an_item_may_be_liked(write_csv):
    rows = [rating(f"u{n}", "a", value) for n, value in enumerate([1, 3, 3.5, 5, 5, 5, 5, 5, 5])]
    for least, disliked in ((None, 1), (4, 3), (0, 1)):
        low = read_interactions(write_csv(rows), ["a"], now=NOW, disliked_below=least).negatives
        assert int((low.weight >= 0.5).sum()) >= disliked
