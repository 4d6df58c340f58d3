"""Who was forgotten stays forgotten, wherever an event of theirs waited meanwhile."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from fuserank_ensemble.state import checkpoints, sqlite
from fuserank_ensemble.state.entries import Forget, Interaction, ShadowList
from fuserank_ensemble.state.redis import RedisLog
from fuserank_ensemble.state.settings import open_log
from fuserank_ensemble.state.spool import Spool, erase_waiting
from support.busy_machine import PATIENCE, wait_until

ANNA, BOB, VISIT = b"a" * 16, b"b" * 16, b"v" * 16


def event(event_id, user=ANNA, **more):
    return Interaction(event_id=event_id, user=user, item_id="i1", event="click", timestamp=1.0, **more)


def names(log):
    return [logged.entry.event_id for logged in log.read(0, 100)]


def forget(log, *people):
    return log.append([Forget(event_id=f"forget-{who!r}", user=who) for who in people])[-1].position


def test_what_waited_while_its_user_or_session_was_forgotten_is_left_out(log):
    (before,) = log.append([event("before")])
    forget(log, ANNA, VISIT)
    late = [
        event("waited", known=before.position),
        event("of the session", user=BOB, session=VISIT, known=before.position),
        ShadowList(
            event_id="list", user=ANNA, timestamp=1.0, bundle="b", arm="a", shadow="s", shown=[], items=[],
            known=before.position,
        ),
        event("bob", user=BOB, known=before.position),
    ]  # fmt: skip
    appended = log.append(late)
    assert [place.forgotten for place in appended] == [True, True, True, False]
    assert [place.position for place in appended[:3]] == [0, 0, 0]
    assert names(log) == ["before", f"forget-{ANNA!r}", f"forget-{VISIT!r}", "bob"]
    assert log.read_subject(BOB)[0].entry.event_id == "bob"


def test_who_comes_back_after_having_been_forgotten_is_known_again(log):
    position = forget(log, ANNA)
    assert [place.forgotten for place in log.append([event("later", known=position), event("now")])] == [False, False]


def test_who_is_forgotten_does_not_come_back_from_what_waits(own_redis, tmp_path):
    log = open_log(own_redis.url)
    own_redis.stop()
    path = tmp_path / "spool.sqlite"
    assert erase_waiting(path, ANNA) == 0
    spool = Spool(log, path, known=0)
    assert spool.append([event("e1"), event("other", user=BOB)]) == [None, None]
    spool.close()
    assert erase_waiting(path, ANNA) == 1
    own_redis.start()
    again = Spool(log, path, known=0)
    assert wait_until(lambda: names(log) == ["other"])
    again.close()
    log.close()


def test_what_waits_on_another_machine_is_not_delivered_once_its_user_is_forgotten(own_redis, tmp_path):
    log = open_log(own_redis.url)
    (before,) = log.append([event("before", user=BOB)])
    own_redis.stop()
    spool = Spool(log, tmp_path / "spool.sqlite", known=before.position)
    assert spool.append([event("waits"), event("other", user=BOB)]) == [None, None]
    spool.close()
    own_redis.start()
    forget(log, ANNA)
    again = Spool(log, tmp_path / "spool.sqlite", known=log.last_position())
    assert wait_until(lambda: "other" in names(log))
    assert "waits" not in names(log)
    assert wait_until(lambda: len(again) == 0)
    again.close()
    log.close()


def test_what_is_on_its_way_from_the_disk_is_left_out_when_its_user_is_forgotten(own_redis, tmp_path, monkeypatch):
    log = open_log(own_redis.url)
    own_redis.stop()
    spool = Spool(log, tmp_path / "spool.sqlite", known=0)
    spool.append([event("taken"), event("other", user=BOB)])
    spool.close()
    own_redis.start()
    written, read, go_on = RedisLog.append, threading.Event(), threading.Event()

    def held_up(self, entries):
        if not isinstance(entries[0], Forget):
            read.set()
            go_on.wait(PATIENCE)
        return written(self, entries)

    monkeypatch.setattr(RedisLog, "append", held_up)
    again = Spool(log, tmp_path / "spool.sqlite", known=0)
    assert read.wait(PATIENCE)
    forget(log, ANNA)
    go_on.set()
    assert wait_until(lambda: "other" in names(log))
    assert "taken" not in names(log)
    again.close()
    log.close()


def held_bytes(path):
    """All that the files of a log hold."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.fixture
def sqlite_log(tmp_path):
    log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")
    yield log, tmp_path / "log.sqlite"
    log.close()


def telling(number, user):
    """An event whose bytes tell that they are this user's; some are longer than a page of the file."""
    text = f"{user.decode()}-tells-" * (600 if number % 7 == 0 else 3)
    return event(f"{user!r}-{number}", user=user, session=user + b"s", query=text)


def remove(log, how):
    last = log.last_position()
    return log.erase(ANNA, last + 1) if how == "erase" else log.trim(last, 0.0) if how == "trim" else log.expire(-1.0)


@pytest.mark.parametrize("how", ["erase", "trim", "expire"])
def test_nothing_of_what_was_removed_stays_in_the_files(sqlite_log, how):
    log, path = sqlite_log
    for number in range(60):
        log.append([telling(number, ANNA), telling(number, BOB)])
    assert b"aaaa-tells-" in held_bytes(path)
    remove(log, how)
    held = held_bytes(path)
    assert b"aaaa-tells-" not in held
    assert ANNA not in held
    assert (b"bbbb-tells-" in held) is (how == "erase")


def test_what_was_removed_leaves_the_files_once_others_are_done_with_them(sqlite_log, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    log, path = sqlite_log
    log.append([telling(number, ANNA) for number in range(60)])
    # As a checkpoint of another process, beside which SQLite makes none; or a reader, who goes on reading what was.
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM entries LIMIT 1").fetchall()
    assert log.erase(ANNA, log.last_position() + 1) == 60
    assert b"aaaa-tells-" in held_bytes(path)
    reader.execute("COMMIT")
    assert wait_until(lambda: b"aaaa-tells-" not in held_bytes(path))
    reader.close()


def test_every_write_is_followed_by_a_checkpoint(sqlite_log, monkeypatch):
    log, _ = sqlite_log
    noted = []
    monkeypatch.setattr(log._checkpoints, "note_write", lambda: noted.append(1))
    writes = [
        lambda: log.append([event("e1")]),
        lambda: log.advance(10),
        lambda: log.setting("colour", "red"),
        lambda: log.trim(1, keep_seconds=0.0),
        lambda: log.expire(-1.0),
        lambda: log.erase(ANNA, 100),
    ]
    for number, write in enumerate(writes, start=1):
        write()
        assert len(noted) >= number
