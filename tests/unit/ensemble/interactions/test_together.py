"""What is had together is told from what is had often and from what the same users have elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.interactions.together import had_together

DAY = 86_400
PASTA, SAUCE, MILK, SOAP, TEA = range(5)


@pytest.fixture(scope="module")
def histories():
    """Forty users: all have milk some day; half have pasta and sauce in one basket, and soap a month later."""
    draw = np.random.default_rng(4)
    events = [(user, MILK, int(draw.integers(0, 90)) * DAY) for user in range(40)]
    for user in range(20):
        day = int(draw.integers(0, 60)) * DAY
        events += [(user, PASTA, day), (user, SAUCE, day + 600), (user, SOAP, day + 30 * DAY)]
    events += [(user, TEA, 95 * DAY) for user in range(20, 40)]
    users, rows, times = (np.asarray(column) for column in zip(*sorted(events), strict=True))
    names = np.asarray([f"u{user:02}".encode() for user in range(40)])
    return HistorySnapshot.from_log(names, users.astype(np.int32), rows.astype(np.int32), times.astype(np.int64))


def test_a_basket_counts_more_than_popularity_and_than_the_rest_of_a_history(histories):
    together = had_together(histories, np.asarray([PASTA], np.int32), np.ones(1), 6)
    assert together.lift[SAUCE] > 1.5
    assert max(together.lift[MILK], together.lift[TEA]) < 1.0
    assert together.lift[SAUCE] > 2 * together.lift[SOAP]
    assert (together.users[SAUCE], together.users[SOAP]) == (20, 0)
    assert together.lift[5] == 1.0  # nobody had it


def test_what_nobody_had_goes_with_what_its_neighbours_go_with(histories):
    sources = np.asarray([5, PASTA], np.int32)
    together = had_together(histories, sources, np.asarray([1.0, 0.5]), 6)
    assert int(together.lift.argmax()) == SAUCE


def test_items_that_came_later_than_the_histories_are_known_nothing_of(histories):
    together = had_together(histories, np.asarray([8], np.int32), np.ones(1), 9)
    assert together.lift.tolist() == [1.0] * 9
    assert not together.users.any()


def test_one_user_with_several_of_the_items_is_one_user(histories):
    sources = np.asarray([PASTA, MILK], np.int32)
    together = had_together(histories, sources, np.ones(2), 6)
    assert together.users[SAUCE] == 20
    one = HistorySnapshot.from_log(
        np.asarray([b"u"]), np.zeros(3, np.int32), np.asarray([PASTA, SAUCE, MILK], np.int32), np.asarray([0, 60, 90])
    )
    assert had_together(one, sources, np.ones(2), 6).users[SAUCE] == 1
