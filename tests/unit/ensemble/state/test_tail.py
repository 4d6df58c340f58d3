"""Following the log: from where the bundle ends, in order, through errors."""

from __future__ import annotations

import threading
import time

import pytest

from fuserank_ensemble.state.entries import Interaction, Unreadable, decode_entry, encode_entry
from fuserank_ensemble.state.log import StateError, StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import OFTEN_SECONDS, LogTail, SnapshotPosition
from support.busy_machine import wait_until

LONG = 20.0  # seconds that a wait may take on a busy machine
NOTHING = SnapshotPosition()


class Listener:
    def __init__(self, failing=()):
        self.seen, self.state, self.failing, self.batches = [], None, set(failing), 0

    def attach(self, state, held):
        self.state = state

    def apply(self, batch):
        self.batches += bool(batch)
        for logged in batch:
            if logged.entry.event_id in self.failing:
                raise ValueError(logged.entry.event_id)
            if logged.position not in [position for position, _ in self.seen]:
                self.seen.append((logged.position, logged.entry.event_id))

    @property
    def names(self):
        return [name for _, name in self.seen]


def event(event_id):
    return Interaction(event_id=event_id, item_id="i", event="view", timestamp=1.0, user=b"u" * 16)


@pytest.fixture
def follow(place):
    tails = []

    def follow(listener, snapshot=NOTHING, seconds=OFTEN_SECONDS):
        tails.append(LogTail(StateSettings(place), snapshot, [listener], seconds).start())
        return tails[-1]

    yield follow
    for tail in tails:
        tail.stop()


def test_what_is_there_is_known_at_the_start_and_what_comes_soon_after(log, follow):
    log.append([event("e1"), event("e2")])
    listener = Listener()
    tail = follow(listener)
    assert listener.names == ["e1", "e2"]
    (appended,) = log.append([event("e3")])
    assert tail.wait_for(appended.position, LONG)
    assert listener.names == ["e1", "e2", "e3"]
    assert tail.position == appended.position
    assert not tail.failing
    assert not tail.incomplete


def test_a_position_that_does_not_come_is_waited_for_no_longer_than_asked(log, follow):
    tail = follow(Listener())
    started = time.monotonic()
    assert not tail.wait_for(10, 0.05)
    assert time.monotonic() - started < LONG


def test_what_comes_between_two_reads_is_handed_on_together_and_at_once_to_who_waits(log, follow):
    listener = Listener()
    tail = follow(listener, seconds=600.0)
    first = log.append([event("e0")])[-1].position
    assert tail.wait_for(first, LONG)
    batches = listener.batches
    last = [log.append([event(f"e{number}")])[-1].position for number in range(1, 20)][-1]
    assert tail.wait_for(last, LONG)
    assert listener.names == [f"e{number}" for number in range(20)]
    assert listener.batches <= batches + 2  # the one that was waited for, and one that the first wait let be read


def test_a_bundle_that_holds_a_part_of_the_log_gets_the_rest(log, follow):
    first, _ = log.append([event("e1"), event("e2")])
    listener = Listener()
    follow(listener, SnapshotPosition(log.id, first.position))
    assert listener.names == ["e2"]


def test_a_position_of_another_log_means_nothing(log, follow):
    log.append([event("e1")])
    listener = Listener()
    follow(listener, SnapshotPosition("another", 10**6))
    assert listener.names == ["e1"]
    assert log.last_position() < 10**6


def test_a_log_that_is_older_than_the_bundle_goes_on_behind_it(log, follow):
    log.append([event("before the backup")])
    listener = Listener()
    tail = follow(listener, SnapshotPosition(log.id, 500))
    (appended,) = log.append([event("later")])
    assert appended.position > 500
    assert tail.wait_for(appended.position, LONG)
    assert listener.names == ["later"]


def test_a_log_that_was_trimmed_beyond_the_bundle_is_incomplete(log, follow):
    appended = log.append([event("e1"), event("e2")])
    log.trim(appended[0].position, keep_seconds=0.0)
    assert follow(Listener()).incomplete
    assert not follow(Listener(), SnapshotPosition(log.id, appended[0].position)).incomplete


def test_an_entry_that_cannot_be_used_costs_no_other(log, follow):
    log.append([event("e1"), event("bad"), event("e3")])
    listener = Listener(failing=["bad"])
    tail = follow(listener)
    assert listener.names == ["e1", "e3"]
    assert tail.incomplete


def test_a_follower_that_fails_while_nothing_comes_is_heard_of(log, follow):
    class Idle(Listener):
        def apply(self, batch):
            super().apply(batch)
            if not batch:
                raise ValueError("nothing to do")

    log.append([event("e1")])
    tail = follow(Idle())
    assert wait_until(lambda: tail.incomplete)


def test_an_entry_of_a_newer_version_is_passed_over():
    newer = encode_entry(event("e1")).replace(b"interaction", b"inventories")
    assert decode_entry(newer) == Unreadable(event_id="")
    assert decode_entry(b"\xff") == Unreadable(event_id="")


def test_a_log_that_is_away_is_tried_until_it_answers(tmp_path, monkeypatch):
    opened = State.open
    away = threading.Event()
    away.set()

    def open_later(settings):
        if away.is_set():
            raise StateUnavailableError("away")
        return opened(settings)

    monkeypatch.setattr(State, "open", open_later)
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    listener = Listener()
    tail = LogTail(settings, SnapshotPosition(), [listener]).start()
    assert tail.failing
    assert not tail.wait_for(1, LONG)  # nobody waits for a log that is away
    away.clear()
    log = opened(settings).log
    (appended,) = log.append([event("e1")])
    deadline = time.monotonic() + LONG
    while tail.position < appended.position and time.monotonic() < deadline:
        time.sleep(0.01)
    assert listener.names == ["e1"]
    assert not tail.failing
    tail.stop()


def test_a_state_keeps_its_key_and_refuses_another(place, tmp_path):
    first = State.open(StateSettings(place))
    again = State.open(StateSettings(place))
    assert first.key == again.key
    assert first.key.user("anna") != first.key.session("anna")
    assert first.key.user(" anna") == first.key.user("anna")
    key_file = tmp_path / "key"
    key_file.write_text("ab" * 32)
    with pytest.raises(StateError, match=r"found the key [0-9a-f]{16}; allowed: [0-9a-f]{16}, with which"):
        State.open(StateSettings(place, key_file))
    for state in (first, again):
        state.log.close()


def test_threads_that_open_a_new_state_at_once_agree_on_its_key(place):
    opened = []
    barrier = threading.Barrier(8)

    def open_state():
        barrier.wait(LONG)
        opened.append(State.open(StateSettings(place)))

    threads = [threading.Thread(target=open_state) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(opened) == 8
    assert len({state.key.secret for state in opened}) == 1
    for state in opened:
        state.log.close()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("postgres://x", r"--state \(FUSERANK_STATE\): found 'postgres://x'; allowed: sqlite:/path"),
        ("sqllite:/log", "found 'sqllite:/log'; allowed: .* or none .did you mean 'sqlite:'"),
        ("reddis://u:secret@host/0", "found 'reddis://host/0'; allowed: .*did you mean 'redis://'"),
        ("None", "did you mean 'none'"),
        ("log.sqlite", "found 'log.sqlite'; allowed: sqlite:/path"),
        ("sqlite:", "found 'sqlite:', without a file; allowed: sqlite:/path/of/a/file"),
        ("sqlite:/proc", "found 'sqlite:/proc', a folder; allowed: sqlite:/path/of/a/file"),
        ("sqlite:/proc/none/log", "choose a file in a folder that can be"),
        ("redis:///0", "found 'redis:///0', without a host; allowed: .*redis://host:port/database"),
        ("redis://host:port/0", "found 'redis://host:port/0', Port could not be cast"),
        ("redis://host:6379/zero", "found 'redis://host:6379/zero', whose database is no number"),
        ("redis://u:secret@host/0?nmae=shop", "state redis://host/0: found the option 'nmae'; allowed: .*name="),
        ("redis://host/0?name=a b", "found the name 'a b'; allowed: .*name=letters-digits"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused(place, words):
    with pytest.raises(StateError, match=words):
        State.open(StateSettings(place))


@pytest.mark.parametrize("text", ["zz", "ab", ""])
def test_a_key_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    with pytest.raises(StateError, match="FUSERANK_STATE_KEY_FILE"):
        State.open(StateSettings(f"sqlite:{tmp_path / 'log'}", tmp_path / "key"))


def test_settings_travel_in_the_environment(tmp_path):
    settings = StateSettings("redis://user:secret@host:1/2?name=shop", tmp_path / "key")
    assert StateSettings.from_environment(settings.to_environment()) == settings
    assert StateSettings.from_environment({}) is None
    assert settings.address == "redis://host:1/2?name=shop"
