"""What a user had before is counted once, per item, and survives the way to disk and back."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.arrays import find_row
from fuserank_ensemble.interactions import history
from fuserank_ensemble.interactions.blocks import user_blocks
from fuserank_ensemble.interactions.history import HABIT_HALF_LIFE_DAYS, MAX_ITEMS, History, HistorySnapshot
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY

NOW = 1_000 * DAY
USERS = ["", "a", "ab", "z", "北"]
EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 50)), max_size=40)


def snapshot(events, users=USERS, places=None):
    ids = np.asarray([user.encode() for user in users], "S")
    user, rows, times = (np.asarray([e[i] for e in events]) for i in range(3))
    return HistorySnapshot.from_log(ids, user.astype(np.int32), rows.astype(np.int32), times.astype(np.int64), places)


def as_dict(history):
    dtypes = [getattr(history, name).dtype for name in ("rows", "counts", "last", "recent")]
    assert dtypes == [np.int32, np.float32, np.int64, np.float32]
    assert (np.diff(history.rows) > 0).all()
    return {
        int(row): (float(count), int(last))
        for row, count, last in zip(history.rows, history.counts, history.last, strict=True)
    }


@given(EVENTS)
def test_the_snapshot_counts_every_event_once_and_keeps_the_newest_time(events):
    expected = defaultdict(dict)
    for user, row, time in events:
        count, last = expected[user].get(row, (0, 0))
        expected[user][row] = (count + 1, max(last, time))
    found = snapshot(events)
    assert len(found) == len(USERS)
    for number in range(len(USERS)):
        assert as_dict(found.at(number)) == expected[number]


@given(EVENTS)
def test_summing_up_a_few_users_at_a_time_is_summing_up_all(events):
    whole = snapshot(events)
    with patch.object(history, "user_blocks", partial(user_blocks, least=3)):
        by_blocks = snapshot(events)
    for of_whole, of_blocks in zip(whole.pairs, by_blocks.pairs, strict=True):
        assert of_blocks.dtype == of_whole.dtype
        np.testing.assert_array_equal(of_blocks, of_whole)


def test_users_are_found_by_their_whole_id_and_others_are_unknown():
    found = snapshot([(1, 3, 10), (2, 4, 11), (4, 5, 12)])
    assert as_dict(found.get("a")) == {3: (1.0, 10)}
    assert as_dict(found.get("北")) == {5: (1.0, 12)}
    assert as_dict(found.get("z")) == {}
    for stranger in ("b", "abc", "A", "北北", "x" * 300):
        assert found.get(stranger) is None


def test_a_shop_on_its_first_day_has_histories_that_know_nobody(tmp_path):
    empty = snapshot([], users=[])
    empty.save(tmp_path / "history")
    for each in (empty, HistorySnapshot.open(tmp_path / "history")):
        assert len(each) == 0
        assert each.get("a") is None
        assert each.get("") is None


@given(EVENTS)
def test_what_is_saved_is_what_is_opened(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("saved") / "history"
    before = snapshot(events)
    before.save(folder)
    after = HistorySnapshot.open(folder)
    assert after.users.tolist() == before.users.tolist()
    for number in range(len(USERS)):
        assert as_dict(after.at(number)) == as_dict(before.at(number))
        assert after.at(number).recent.tolist() == before.at(number).recent.tolist()


def test_of_a_huge_history_the_newest_items_are_kept():
    count = MAX_ITEMS + 500
    times = np.random.default_rng(1).permutation(count)
    kept = snapshot([(0, row, int(time)) for row, time in enumerate(times)]).at(0)
    assert len(kept) == MAX_ITEMS
    assert sorted(kept.last) == list(range(500, count))
    assert as_dict(kept) == {int(row): (1.0, int(times[row])) for row in np.flatnonzero(times >= 500)}


def test_a_history_that_came_with_the_request_counts_repeats():
    assert as_dict(History.from_rows([7, 2, 7], 99.9)) == {2: (1.0, 99), 7: (2.0, 99)}
    assert len(History.from_rows([], 5.0)) == 0


@pytest.mark.parametrize(
    ("wanted", "row"), [("b", 0), ("bb", 1), ("c", 2), ("a", -1), ("bbb", -1), ("", -1), ("d", -1)]
)
def test_an_id_is_found_exactly_or_not_at_all(wanted, row):
    assert find_row(np.asarray([b"b", b"bb", b"c"]), wanted) == row


@pytest.mark.parametrize("wanted", ["b\0", "b\0\0", "\0"])
def test_trailing_zero_bytes_do_not_make_another_id_match(wanted):
    assert find_row(np.asarray([b"b", b"bbb"]), wanted) == -1


def days_ago(*days):
    return [int(NOW - day * DAY) for day in days]


def test_weights_of_events_are_halved_for_every_56_days_of_the_age_of_each():
    ages = [(0, 3, 0), (0, 3, 56), (0, 3, 168), (0, 5, 112), (0, 6, -14), (1, 3, 28)]
    found = snapshot([(user, row, int(NOW - age * DAY)) for user, row, age in ages])
    assert found.at(0).rows.tolist() == [3, 5, 6]
    # As of the newest event with each item, and as of now; one that is yet to come counts as of now.
    np.testing.assert_allclose(found.at(0).recent, [1 + 1 / 2 + 1 / 8, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(found.at(0).weights(NOW), [1.625, 0.25, 1], rtol=1e-6)
    np.testing.assert_allclose(found.at(0).weights(NOW + 56 * DAY), [0.8125, 0.125, 2 ** (-42 / 56)], rtol=1e-6)
    np.testing.assert_allclose(found.at(1).weights(NOW), [2**-0.5], rtol=1e-6)
    assert found.at(2).weights(NOW).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 400)), min_size=1, max_size=30))
def test_weights_are_the_sum_over_single_events(events):
    found = snapshot([(user, row, int(NOW - age * DAY)) for user, row, age in events])
    for user in (0, 1):
        expected = defaultdict(float)
        for _, row, age in (event for event in events if event[0] == user):
            expected[row] += 2.0 ** (-age / HABIT_HALF_LIFE_DAYS)
        assert found.at(user).rows.tolist() == sorted(expected)
        np.testing.assert_allclose(found.at(user).weights(NOW), [expected[row] for row in sorted(expected)], rtol=1e-4)


FLOATS = st.floats(0, 2**24, width=32)
PACKABLE = st.lists(st.tuples(st.integers(0, 2**31 - 1), FLOATS, st.integers(-(2**62), 2**62), FLOATS), max_size=20)


@given(PACKABLE)
def test_a_history_travels_as_one_string_and_comes_out_as_it_was(rows):
    columns = zip(*rows, strict=True) if rows else ([],) * 4
    dtypes = (np.int32, np.float32, np.int64, np.float32)
    sent = History(*(np.asarray(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)))
    packed = sent.pack()
    assert isinstance(packed, bytes)
    assert len(packed) == 20 * len(rows)
    received = History.unpack(packed)
    assert len(received) == len(rows)
    for name in ("rows", "counts", "last", "recent"):
        mine, other = getattr(sent, name), getattr(received, name)
        assert mine.dtype == other.dtype
        assert other.flags.c_contiguous
        np.testing.assert_array_equal(mine, other)


def test_half_a_history_is_no_history():
    with pytest.raises(ValueError, match="multiple"):
        History.unpack(History.from_rows([1, 2], NOW).pack()[:-1])


def test_where_a_user_usually_is_follows_from_how_many_events_were_where_and_when():
    # Twice at s0 long ago against once at s1 today; three times at s2; nowhere that is known; nothing at all.
    events = list(zip([0, 0, 0, 1, 1, 1, 1, 2], [3] * 8, days_ago(60, 60, 0, 1, 1, 1, 0, 0), strict=True))
    stores = np.asarray([0, 0, 1, 2, 2, 2, 0, -1], np.int32)
    regions = np.asarray([-1, -1, -1, 0, -1, -1, -1, 0], np.int32)
    places = {"store": (stores, ["s0", "s1", "北"]), "region": (regions, ["R"])}
    found = snapshot(events, places=places)
    assert [found.places(row) for row in range(4)] == [
        {"store": "s1"},
        {"store": "北", "region": "R"},
        {"region": "R"},
        {},
    ]


def test_many_old_events_outweigh_a_new_one_that_is_not_twice_as_new():
    stores = (np.asarray([0, 0, 0, 1], np.int32), ["s0", "s1"])
    found = snapshot(list(zip([0] * 4, [3] * 4, days_ago(28, 28, 28, 0), strict=True)), places={"store": stores})
    assert found.places(0) == {"store": "s0"}


def test_usual_places_are_saved_with_the_snapshot(tmp_path):
    stores = (np.asarray([1, -1], np.int32), ["s0", "绿=茶"])
    snapshot([(0, 1, 5), (1, 1, 6)], places={"store": stores}).save(tmp_path / "history")
    opened = HistorySnapshot.open(tmp_path / "history")
    assert [opened.places(row) for row in (0, 1)] == [{"store": "绿=茶"}, {}]


def test_a_log_that_knows_no_places_has_no_usual_ones(tmp_path):
    for places in (None, {}, {"store": (np.asarray([-1], np.int32), [])}):
        assert snapshot([(0, 1, 5)], places=places).places(0) == {}
