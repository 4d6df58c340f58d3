from __future__ import annotations

import threading

from fuserank_ensemble.graph.live import background_writer
from fuserank_ensemble.graph.live.background_writer import BackgroundWriter
from fuserank_ensemble.state.entries import Forget, Interaction, ShadowList
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.sqlite import SqliteLog


def entry(name):
    return Interaction(event_id=name, item_id="a", event="view", timestamp=1.0, session=b"s")


def test_entries_are_written_in_their_order(tmp_path):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    writer = BackgroundWriter(settings)
    for number in range(250):
        writer.write(entry(str(number)))
    writer.stop()
    state = State.open(settings)
    assert [logged.entry.event_id for logged in state.log.read(0, 1_000)] == [str(number) for number in range(250)]
    state.log.close()
    assert writer.dropped == 0
    writer.stop()
    writer.write(entry("later"))  # it can be stopped again, and begins again
    writer.stop()


def test_what_cannot_be_written_is_dropped_and_what_comes_later_is_written(tmp_path, monkeypatch):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    writer, written = BackgroundWriter(settings), SqliteLog.append

    def away(*arguments):
        raise StateUnavailableError("the event log is away")

    monkeypatch.setattr(SqliteLog, "append", away)
    writer.write(entry("lost"))
    writer.flush()
    monkeypatch.setattr(SqliteLog, "append", written)
    writer.write(entry("kept"))
    writer.flush()
    state = State.open(settings)
    assert [logged.entry.event_id for logged in state.log.read(0, 10)] == ["kept"]
    state.log.close()
    assert writer.dropped == 1


def test_more_than_can_wait_is_dropped_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(background_writer, "MAX_WAITING", 3)
    gate, written = threading.Event(), SqliteLog.append

    def slow(*arguments):
        gate.wait(20)
        return written(*arguments)

    monkeypatch.setattr(SqliteLog, "append", slow)
    writer = BackgroundWriter(StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"))
    for number in range(50):
        writer.write(entry(str(number)))
    assert writer.dropped >= 40
    gate.set()
    writer.flush()


def test_what_waits_is_left_out_once_its_user_is_forgotten(tmp_path, monkeypatch):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    gate, written = threading.Event(), SqliteLog.append

    def held_up(self, entries):
        if not isinstance(entries[0], Forget):
            gate.wait(20)
        return written(self, entries)

    monkeypatch.setattr(SqliteLog, "append", held_up)
    writer, log = BackgroundWriter(settings), State.open(settings).log
    shown = {"timestamp": 1.0, "bundle": "b", "arm": "a", "shadow": "s", "shown": ["i"], "items": ["j"], "known": 0}
    for name in (b"anna", b"bob"):
        writer.write(ShadowList(event_id=name.decode(), user=name, **shown))
    log.append([Forget(event_id="f", user=b"anna")])
    gate.set()
    writer.stop()
    assert [logged.entry.event_id for logged in log.read(0, 10)] == ["f", "bob"]
    log.close()
    assert writer.dropped == 0


def test_a_full_log_takes_nothing_that_nobody_waits_for_either(tmp_path):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}", max_entries=2)
    writer, log = BackgroundWriter(settings), State.open(settings).log
    for name in ("1", "2", "3"):
        writer.write(entry(name))
        writer.flush()
    writer.stop()
    assert [logged.entry.event_id for logged in log.read(0, 10)] == ["1", "2"]
    assert writer.dropped == 1
    log.close()
