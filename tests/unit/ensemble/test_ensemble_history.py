"""What a user had before is counted once, per item, and survives the way to disk and back."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.history import MAX_ITEMS, History, HistorySnapshot, find_row

USERS = ["", "a", "ab", "z", "北"]
EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 50)), max_size=40)


def snapshot(events, users=USERS):
    ids = np.asarray([user.encode() for user in users], "S")
    user, rows, times = (np.asarray([e[i] for e in events]) for i in range(3))
    return HistorySnapshot.of_log(ids, user.astype(np.int32), rows.astype(np.int32), times.astype(np.int64))


def as_dict(history):
    assert (history.rows.dtype, history.counts.dtype, history.last.dtype) == (np.int32, np.float32, np.int64)
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


def test_users_are_found_by_their_whole_id_and_others_are_unknown():
    found = snapshot([(1, 3, 10), (2, 4, 11), (4, 5, 12)])
    assert as_dict(found.of("a")) == {3: (1.0, 10)}
    assert as_dict(found.of("北")) == {5: (1.0, 12)}
    assert as_dict(found.of("z")) == {}
    for stranger in ("b", "abc", "A", "北北", "x" * 300):
        assert found.of(stranger) is None


def test_a_shop_on_its_first_day_has_histories_that_know_nobody(tmp_path):
    empty = snapshot([], users=[])
    empty.save(tmp_path / "history")
    for each in (empty, HistorySnapshot.open(tmp_path / "history")):
        assert len(each) == 0
        assert each.of("a") is None
        assert each.of("") is None


@given(EVENTS)
def test_what_is_saved_is_what_is_opened(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("saved") / "history"
    before = snapshot(events)
    before.save(folder)
    after = HistorySnapshot.open(folder)
    assert after.users.tolist() == before.users.tolist()
    for number in range(len(USERS)):
        assert as_dict(after.at(number)) == as_dict(before.at(number))


def test_of_a_huge_history_the_newest_items_are_kept():
    count = MAX_ITEMS + 500
    times = np.random.default_rng(1).permutation(count)
    kept = snapshot([(0, row, int(time)) for row, time in enumerate(times)]).at(0)
    assert len(kept) == MAX_ITEMS
    assert sorted(kept.last) == list(range(500, count))
    assert as_dict(kept) == {int(row): (1.0, int(times[row])) for row in np.flatnonzero(times >= 500)}


def test_a_history_that_came_with_the_request_counts_repeats():
    assert as_dict(History.of_rows([7, 2, 7], 99.9)) == {2: (1.0, 99), 7: (2.0, 99)}
    assert len(History.of_rows([], 5.0)) == 0


@pytest.mark.parametrize(
    ("wanted", "row"), [("b", 0), ("bb", 1), ("c", 2), ("a", -1), ("bbb", -1), ("", -1), ("d", -1)]
)
def test_an_id_is_found_exactly_or_not_at_all(wanted, row):
    assert find_row(np.asarray([b"b", b"bb", b"c"]), wanted) == row


@pytest.mark.parametrize("wanted", ["b\0", "b\0\0", "\0"])
def test_trailing_zero_bytes_do_not_make_another_id_match(wanted):
    assert find_row(np.asarray([b"b", b"bbb"]), wanted) == -1
