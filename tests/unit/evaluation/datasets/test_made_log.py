"""A made log has users with a taste, whose events are mostly of it, and is the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fuserank_evaluation.datasets.made_log import LOG_START, SECONDS_PER_DAY, MadeUsers, make_log

IDS = np.asarray([f"i{row:03}" for row in range(200)], object)
GROUPS = {f"g{number}": np.arange(number * 40, number * 40 + 40) for number in range(5)}
WEIGHTS = np.linspace(1, 9, len(IDS))
USERS = MadeUsers(count=60, least=10, most=30, days=100, event="rating")


@pytest.fixture(scope="module")
def log():
    return make_log(IDS, GROUPS, WEIGHTS, USERS)


def test_everybody_has_one_or_two_tastes_and_most_events_are_of_them(log):
    assert len(log.tastes) == log.events["user_id"].nunique() == USERS.count
    assert {len(taste) for taste in log.tastes.values()} == {1, 2}
    shares = [
        np.isin(items, IDS[np.concatenate([GROUPS[name] for name in log.tastes[user]])]).mean()
        for user, items in log.events.groupby("user_id")["item_id"]
    ]
    assert min(shares) >= 0.5
    assert 0.85 < np.mean(shares) < 1


def test_nobody_has_an_item_twice_or_more_items_than_allowed(log):
    assert not log.events.duplicated(["user_id", "item_id"]).any()
    counts = log.events["user_id"].value_counts()
    assert USERS.least - 3 <= counts.min()
    assert counts.max() <= USERS.most


def test_events_are_in_order_within_the_logs_days_and_ratings_tell_what_is_liked(log):
    assert log.events["timestamp"].is_monotonic_increasing
    assert log.events["timestamp"].between(LOG_START, LOG_START + USERS.days * SECONDS_PER_DAY).all()
    assert set(log.events["event"]) == {"rating"}
    assert log.events["value"].between(1, 5).all()
    liked = [item in {IDS[row] for name in log.tastes[user] for row in GROUPS[name]} for user, item in
             zip(log.events["user_id"], log.events["item_id"], strict=True)]  # fmt: skip
    assert log.events["value"][liked].min() >= 1
    assert log.events["value"][liked].mean() > 4 > log.events["value"][~np.asarray(liked)].mean()


def test_likelier_items_are_had_more_often(log):
    had = log.events["item_id"].value_counts().reindex(IDS, fill_value=0).to_numpy()
    of_group = had.reshape(5, 40)
    assert of_group[:, 20:].sum() > 1.05 * of_group[:, :20].sum()


def test_a_log_is_drawn_by_its_seed_alone_and_is_written_as_the_export_reads_it(log, tmp_path):
    again = make_log(IDS, GROUPS, WEIGHTS, USERS)
    pd.testing.assert_frame_equal(again.events, log.events)
    assert not make_log(IDS, GROUPS, WEIGHTS, replace(USERS, seed=1)).events.equals(log.events)
    log.write(tmp_path / "log.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "log.parquet"), log.events)


def test_purchases_have_no_stars():
    assert "value" not in make_log(IDS, GROUPS, WEIGHTS, replace(USERS, event="purchase")).events
