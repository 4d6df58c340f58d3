"""Low ratings are no events: they are kept apart as what users dislike."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_export.sources import EVENTS, read_interactions
from fuserank_export.sources.ratings import find_least_liked

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
        rating("ann", "a", "5", 8), rating("ann", "b", "1", 7), rating("bob", "b", "2.5", 6), rating("bob", "b", "", 5),
        rating("cid", "a", "0.5", 4), {**rating("cid", "a", "0.5", 3), "event": "purchase"}, rating("dan", "b", "3", 2),
        rating("eve", "a", "1", 1),
    ]  # fmt: skip
    log = read_interactions(write_csv(rows), ["a", "b"], now=NOW)
    assert log.user_ids == ["ann", "bob", "cid", "dan"]
    assert [(log.user_ids[u], EVENTS[e]) for u, e in zip(log.user, log.event, strict=True)] == [
        ("ann", "rating"), ("bob", "rating"), ("cid", "purchase"), ("dan", "rating"),
    ]  # fmt: skip
    dislikes = log.dislikes
    assert [(dislikes.user_ids[u], i) for u, i in zip(dislikes.user, dislikes.item, strict=True)] == [
        ("ann", 1), ("bob", 1), ("cid", 0), ("eve", 0),
    ]  # fmt: skip
    assert dislikes.timestamp.tolist() == [NOW - 7, NOW - 6, NOW - 4, NOW - 1]
    assert "4 of 7 ratings are below 3 and say what a user dislikes" in str(log.report)
    assert len(read_interactions(write_csv(rows), ["a", "b"], now=NOW, disliked_below=0).dislikes) == 0
    assert len(read_interactions(write_csv(rows), ["a", "b"], now=NOW, disliked_below=4).dislikes) == 5
