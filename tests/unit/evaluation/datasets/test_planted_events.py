"""The planted logs hold what they promise, and nothing after the cut."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_evaluation.datasets.made_log import LOG_START, SECONDS_PER_DAY
from fuserank_evaluation.datasets.planted_events import DAYS, LATER_SHARE, PLANTED, bought_films, rated_films

IDS = np.asarray([f"f{number:03}" for number in range(300)], object)
GROUPS = {"first": np.arange(0, 150), "second": np.arange(150, 300)}
CUT = LOG_START + SECONDS_PER_DAY * DAYS * (1 - LATER_SHARE)


@pytest.mark.parametrize("draw", [rated_films, bought_films])
def test_nothing_of_the_log_comes_after_the_cut_and_what_is_wanted_is_not_planted(draw):
    log = draw(IDS, GROUPS)
    assert log.events["timestamp"].max() < CUT
    assert log.events["timestamp"].is_monotonic_increasing
    assert not {item for items in log.wanted.values() for item in items} & set(log.unwanted)
    assert len(log.unwanted) == PLANTED
    assert len(log.wanted) > 100
    assert draw(IDS, GROUPS).events.equals(log.events)


def test_planted_films_are_rated_low_by_all():
    log = rated_films(IDS, GROUPS)
    means = log.events.groupby("item_id")["value"].mean()
    assert (means[log.unwanted] < 2).all()
    assert (means.drop(log.unwanted) > 2).all()


def test_planted_films_are_looked_at_and_never_bought_or_bought_and_returned():
    events = bought_films(IDS, GROUPS).events
    planted = events[events["item_id"].isin(IDS[:PLANTED])]
    assert set(planted["event"]) == {"view", "purchase", "return"}
    by_film = planted.groupby("item_id")["event"].agg(set)
    assert {frozenset(kinds) for kinds in by_film} == {frozenset({"view"}), frozenset({"purchase", "return"})}
    assert set(events[~events["item_id"].isin(IDS[:PLANTED])]["event"]) == {"cart", "purchase"}
