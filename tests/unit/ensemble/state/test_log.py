"""What every implementation of the log promises."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from fuserank_ensemble.state.entries import (
    FeatureSample,
    Forget,
    Interaction,
    ItemDelete,
    Merge,
    Personalise,
    ShadowList,
)
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.log import Appended
from fuserank_ensemble.state.settings import open_log

KEY = IdentityKey(bytes(range(32)))
ANNA, BOB, VISIT = KEY.user("anna"), KEY.user("bob"), KEY.session("visit")
LONG = 10.0  # seconds that a wait may take on a busy machine


def event(event_id, user=ANNA, item="i1", **more):
    return Interaction(event_id=event_id, user=user, item_id=item, event="click", timestamp=1_700_000_000.0, **more)


def positions(log, after=0):
    return [logged.position for logged in log.read(after, 1_000)]


def test_entries_come_back_whole_in_the_order_of_their_positions(log):
    entries = [
        event("e1", session=VISIT, value=4.5, query="mílk", position=3, propensity=0.25, bundle="b-1"),
        Merge(event_id="m1", user=ANNA, source=VISIT),
        Personalise(event_id="p1", user=ANNA, allowed=False),
        Forget(event_id="f1", user=BOB),
    ]
    appended = log.append(entries)
    assert [answer.duplicate for answer in appended] == [False] * 4
    assert [answer.position for answer in appended] == sorted({answer.position for answer in appended})
    assert [logged.entry for logged in log.read(0, 10)] == entries
    assert positions(log) == [answer.position for answer in appended]
    assert log.last_position() == appended[-1].position


def test_a_reader_goes_on_behind_any_position_and_takes_no_more_than_it_asks_for(log):
    appended = log.append([event(f"e{i}") for i in range(5)])
    assert [logged.entry.event_id for logged in log.read(appended[1].position, 2)] == ["e2", "e3"]
    assert log.read(appended[-1].position, 2) == []
    assert log.append([]) == []


def test_an_event_sent_again_is_kept_once_and_answered_with_its_position(log):
    (first,) = log.append([event("e1")])
    again = log.append([event("e0"), event("e1", item="another"), event("e0")])
    assert again[1] == Appended(first.position, True)
    assert again[0].duplicate is False
    assert again[2] == Appended(again[0].position, True)
    assert [logged.entry.item_id for logged in log.read(0, 10)] == ["i1", "i1"]


def test_a_user_and_a_session_have_their_own_entries_in_order(log):
    log.append([event("e1"), event("e2", user=BOB, session=VISIT), event("e3", user=b"", session=VISIT), event("e4")])
    assert [logged.entry.event_id for logged in log.read_subject(ANNA)] == ["e1", "e4"]
    of_visit = log.read_subject(VISIT)
    assert [logged.entry.event_id for logged in of_visit] == ["e2", "e3"]
    assert [logged.entry.event_id for logged in log.read_subject(VISIT, of_visit[0].position)] == ["e2"]
    assert log.read_subject(KEY.user("nobody")) == []


def test_a_waiting_reader_gets_what_another_connection_appends(log, place):
    found = []
    reader = threading.Thread(target=lambda: found.extend(wait_for_entry(open_log(place))))
    reader.start()
    time.sleep(0.05)
    log.append([event("e1")])
    reader.join(LONG)
    assert [logged.entry.event_id for logged in found] == ["e1"]


def wait_for_entry(log):
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if logged := log.read(0, 10, wait=0.5):
            return logged
    return []


def test_a_wait_that_finds_nothing_ends(log):
    assert log.read(0, 10, wait=0.05) == []


def test_trimming_removes_what_a_snapshot_holds_and_never_gives_a_position_twice(log):
    appended = log.append([event(f"e{i}", session=VISIT) for i in range(6)])
    assert log.trimmed_position() == 0
    assert log.trim(appended[3].position, keep_seconds=0.0) == 4
    assert log.trimmed_position() == appended[3].position
    assert positions(log) == [answer.position for answer in appended[4:]]
    for subject in (ANNA, VISIT):
        assert [logged.position for logged in log.read_subject(subject)] == positions(log)
    log.trim(appended[-1].position, keep_seconds=0.0)
    (later,) = log.append([event("later")])
    assert later.position > appended[-1].position
    assert log.last_position() == later.position
    assert log.append([event("e0")])[0].duplicate is False  # its id went with it


def test_trimming_keeps_the_ids_of_young_entries(log):
    appended = log.append([event("e1"), event("e2")])
    assert log.trim(appended[-1].position) == 0
    assert log.append([event("e1")]) == [Appended(appended[0].position, True)]
    assert log.trimmed_position() == 0


def test_a_clock_that_is_more_than_a_day_behind_makes_no_entry_old(log, monkeypatch):
    log.append([event("e1")])
    now = time.time()
    with monkeypatch.context() as behind:
        behind.setattr(time, "time", lambda: now - 100_000)
        (late,) = log.append([event("e2")])
    assert log.trim(late.position) == 0
    assert log.expire(seconds=3_600.0) == 0
    assert log.append([event("e2")]) == [Appended(late.position, True)]


def test_many_entries_are_trimmed_to_the_exact_position(log):
    appended = log.append([event(f"e{i}") for i in range(2_500)])
    assert log.trim(appended[2_200].position, keep_seconds=0.0) == 2_201
    assert len(log.read(0, 10_000)) == 299


def test_what_people_asked_for_is_kept_when_all_else_is_trimmed_or_erased(log):
    log.append(
        [
            Personalise(event_id="p1", user=ANNA, allowed=False),
            event("e1"),
            Forget(event_id="f1", user=BOB),
            Personalise(event_id="p2", user=ANNA, allowed=True),
            Forget(event_id="f2", user=BOB),
        ]
    )
    last = log.append([Personalise(event_id="p3", user=BOB, allowed=False)])[0].position
    log.erase(BOB, last + 1)
    log.trim(last, keep_seconds=0.0)
    assert log.read(0, 10) == []
    assert [logged.entry.event_id for logged in log.wishes()] == ["p2", "f2", "p3"]
    assert [logged.entry.event_id for logged in log.wishes(BOB)] == ["f2", "p3"]
    assert log.wishes(VISIT) == []
    assert log.wishes(ANNA)[0].position == last - 2


def test_events_expire_and_nothing_else_does(log):
    kept = [Personalise(event_id="p1", user=ANNA, allowed=False), ItemDelete(event_id="d1", item_id="i1")]
    seen = {"session": VISIT, "timestamp": 1.0, "bundle": "b"}
    shown = [
        ShadowList(event_id="s1", arm="a", shadow="b", shown=["i1"], items=["i2"], **seen),
        FeatureSample(
            event_id="x1",
            options="{}",
            position=1,
            catalog=0,
            popularity=1,
            first_users=1,
            embedding=b"",
            items=[],
            features=b"",
            **seen,
        ),
    ]
    log.append([event("e1", session=VISIT), *kept, *shown, *(event(f"more-{i}") for i in range(1_500)), event("e2")])
    assert log.size() == 1_506
    assert log.expire(seconds=3_600.0) == 0
    assert log.expire(seconds=-1.0) == 1_504
    assert [logged.entry for logged in log.read(0, 10)] == kept
    assert log.read_subject(VISIT) == []
    assert log.trimmed_position() == 0
    assert log.append([event("e1")])[0].duplicate is False  # its id went with it


def test_erasing_removes_a_subjects_entries_everywhere_and_nobody_elses(log):
    appended = log.append([event("e1", session=VISIT), event("e2", user=BOB, session=VISIT), event("e3")])
    (tombstone,) = log.append([Forget(event_id="f1", user=ANNA)])
    assert log.erase(ANNA, tombstone.position) == 2
    assert positions(log) == [appended[1].position, tombstone.position]
    assert [logged.position for logged in log.read_subject(ANNA)] == [tombstone.position]
    assert [logged.position for logged in log.read_subject(VISIT)] == [appended[1].position]
    assert log.erase(ANNA, tombstone.position) == 0


def test_a_log_counts_what_it_holds(log, place):
    appended = log.append([event(f"e{i}") for i in range(5)] + [event(f"b{i}", user=BOB) for i in range(3)])
    assert log.size() == 8
    assert log.erase(BOB, appended[-1].position + 1) == 3
    assert log.size() == 5
    log.append([event("e0"), event("e9")])  # the first is there
    assert log.size() == 6
    assert log.trim(appended[1].position, keep_seconds=0.0) == 2
    assert log.size() == 4
    assert log.expire(seconds=-1.0) == 4
    assert log.size() == 0
    log.advance(1_000)
    other = open_log(place)
    assert other.size() == 0
    other.close()


def test_an_erased_event_sent_again_stays_erased(log):
    (first,) = log.append([event("e1")])
    log.erase(ANNA, first.position + 1)
    assert log.append([event("e1")]) == [Appended(first.position, True)]
    assert log.read(0, 10) == []


def test_a_restored_log_goes_on_behind_the_snapshot(log):
    log.append([event("e1")])
    log.advance(1_000)
    log.advance(10)
    assert log.last_position() == 1_000
    assert log.append([event("e2")])[0].position > 1_000
    assert [logged.entry.event_id for logged in log.read(1_000, 10)] == ["e2"]


def test_settings_are_those_of_who_asked_first(log, place):
    assert log.setting("colour") == ""  # whoever only looks sets nothing
    assert log.setting("colour", "red") == log.setting("colour") == "red"
    other = open_log(place)
    assert other.setting("colour", "blue") == "red"
    assert other.id == log.id
    other.close()


def test_what_was_appended_is_there_when_the_log_is_opened_again(log, place):
    appended = log.append([event("e1"), event("e2")])
    log.close()
    opened = open_log(place)
    assert positions(opened) == [answer.position for answer in appended]
    assert opened.append([event("e2")]) == [Appended(appended[1].position, True)]
    opened.close()


def append_many(place, name, count):
    log = open_log(place)
    for i in range(count):
        log.append([event(f"{name}-{i}"), event(f"shared-{i}")])
    log.close()


@pytest.mark.parametrize("count", [40])
def test_processes_that_append_at_once_lose_nothing_and_repeat_nothing(log, place, count):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(place, name, count)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    seen, after = [], 0
    deadline = time.monotonic() + 60
    while any(writer.is_alive() for writer in writers) and time.monotonic() < deadline:
        if logged := log.read(after, 100, wait=0.1):
            after = logged[-1].position
            seen += logged
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    seen += log.read(after, 10_000)
    # A reader that follows sees what one sees who begins anew: no entry comes in before its position.
    assert seen == log.read(0, 10_000)
    names = [logged.entry.event_id for logged in seen]
    expected = [f"{name}-{i}" for name in ("a", "b", "shared") for i in range(count)]
    assert sorted(names) == sorted(expected)
