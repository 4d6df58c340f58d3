from __future__ import annotations

import itertools

import numpy as np
import pytest

from fuserank_ensemble.state.entries import Forget, Interaction
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_evaluation.datasets.shown_lists import open_kept_state, read_shown_lists

NAMES = itertools.count()


def event(kind, item, at, user="", session="", **more):
    return Interaction(
        event_id=f"e{next(NAMES)}", event=kind, item_id=item, timestamp=float(at), user=user.encode(),
        session=session.encode(), **more,
    )  # fmt: skip


def shown(item, place, at, user="u", session="s", **more):
    return event("impression", item, at, user, session, position=place, **more)


@pytest.fixture
def log(tmp_path):
    state = State.open(StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"))
    yield state.log
    state.log.close()


def test_impressions_of_one_answer_are_one_list(log):
    log.append([
        shown("a", 1, 0, query="tea", bundle="b1", propensity=0.5), shown("b", 2, 0, query="tea", bundle="b1"),
        shown("a", 1, 1, user="", session="other", query="tea", bundle="b1"),
        shown("c", 3, 60, query="tea", bundle="b1"),  # scrolled to
        shown("b", 1, 90, query="tea", bundle="b1"),  # asked again: the place was there
        shown("b", 2, 91, query="tea", bundle="b2"),
        shown("d", 4, 4_000, query="tea", bundle="b1"),  # an hour later
        event("impression", "e", 1, "u"),  # of no place
    ])  # fmt: skip
    lists = read_shown_lists(log)
    assert [list(np.asarray(lists.items)[lists.list_of == number]) for number in range(len(lists))] == [
        ["a", "b", "c"], ["a"], ["b"], ["b"], ["d"],
    ]  # fmt: skip
    assert [key.bundle for key in lists.keys] == ["b1", "b1", "b1", "b2", "b1"]
    assert lists.places.tolist() == [1, 2, 3, 1, 1, 2, 4]
    assert lists.times.tolist() == [0, 1, 90, 91, 4_000]
    assert lists.log_positions.tolist() == [1, 3, 5, 6, 7]
    assert lists.subjects.tolist() == [0, 1, 0, 0, 0]
    assert lists.propensities[0] == 0.5
    assert np.isnan(lists.propensities[1:]).all()


def test_what_is_done_counts_for_the_latest_impression_of_its_item_to_the_same_person(log):
    log.append([
        event("click", "a", 5, "u"),  # logged before the impression, as batches may be
        shown("a", 1, 0), shown("b", 2, 0),
        shown("a", 1, 10), shown("b", 2, 10),
        event("purchase", "b", 20, "u"),
        event("click", "c", 21, "u"),
        event("click", "a", 22, "somebody"),
        event("click", "a", 23, session="s"),
        shown("a", 1, 30, user="v", session="t"),
        event("purchase", "a", 30 + 3_601, "v"),
    ])  # fmt: skip
    lists = read_shown_lists(log, window_hours=1)
    assert lists.rewarded["click"].tolist() == [True, False, True, False, False]
    assert lists.rewarded["purchase"].tolist() == [False, False, False, True, False]


def test_other_entries_and_an_empty_log_are_no_lists(log):
    assert len(read_shown_lists(log)) == 0
    log.append([Forget(event_id="f", user=b"u"), event("click", "a", 1, "u")])
    lists = read_shown_lists(log)
    assert len(lists) == len(lists.items) == len(lists.rewarded["click"]) == 0


def test_a_log_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(StateError, match="there is no such file"):
        open_kept_state(StateSettings(f"sqlite:{tmp_path / 'typo.sqlite'}"))
    assert not list(tmp_path.iterdir())
