"""Faults of real processes: nothing acknowledged is lost or counted twice, and what cannot be kept is refused."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fuserank_ensemble.state import checkpoints, sqlite
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import StateSettings, open_log
from fuserank_ensemble.state.spool import Spool
from fuserank_ensemble.state.tail import LogTail, SnapshotPosition
from support.busy_machine import PATIENCE, wait_until
from support.tcp_proxy import TcpProxy

# Appends batches of three until it is killed or fails, and says which were acknowledged.
WRITER = """
import sys
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import open_log
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
log = open_log(sys.argv[1])
for batch in range(100_000):
    events = [
        Interaction(event_id=f"{batch}-{n}", user=b"u" * 16, item_id="i" * 200, event="view", timestamp=1.0)
        for n in range(3)
    ]
    try:
        log.append(events)
    except StateUnavailableError as error:
        print("refused", error, flush=True)
        break
    print(batch, flush=True)
"""


def event(event_id):
    return Interaction(event_id=event_id, user=b"u" * 16, item_id="i1", event="click", timestamp=1.0)


def names(log):
    return [logged.entry.event_id for logged in log.read(0, 10**6)]


def start_writer(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def check_batches(kept, acknowledged):
    """All that was acknowledged is there once, in order; one more batch may be, whole."""
    expected = [f"{batch}-{n}" for batch in range(acknowledged) for n in range(3)]
    assert kept[: len(expected)] == expected
    assert kept[len(expected) :] in ([], [f"{acknowledged}-{n}" for n in range(3)])


def test_what_a_killed_process_had_acknowledged_is_there(place):
    writer = start_writer(place)
    for _ in range(20):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = 20 + len(writer.stdout.read().splitlines())
    writer.wait(PATIENCE)
    log = open_log(place)
    check_batches(names(log), acknowledged)
    assert log.append([event("next")])[0].duplicate is False
    log.close()


def test_a_full_disk_refuses_and_keeps_what_was_acknowledged(tmp_path):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    written, failure = start_writer(place, str(600_000)).communicate(timeout=PATIENCE)
    *acknowledged, refused = written.splitlines()
    assert refused.startswith("refused the event log"), failure
    assert len(acknowledged) > 10
    log = open_log(place)  # in this process the disk has room
    check_batches(names(log), len(acknowledged))
    log.append([event("next")])
    assert names(log)[-1] == "next"
    log.close()


def test_what_was_half_written_when_the_machine_stopped_is_left_out_whole(tmp_path):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    writer = start_writer(place)
    for _ in range(20):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait(PATIENCE)
    ahead = tmp_path / "log.sqlite-wal"
    os.truncate(ahead, ahead.stat().st_size * 2 // 3 + 1)
    log = open_log(place)
    kept = names(log)
    assert len(kept) % 3 == 0
    assert kept == [f"{batch}-{n}" for batch in range(len(kept) // 3) for n in range(3)]
    assert len(kept) > 0
    assert log.append([event("next")])[0].position == log.last_position()
    assert names(log) == [*kept, "next"]
    log.close()


def test_a_redis_whose_file_ends_in_the_middle_of_an_entry_goes_on_with_those_before(own_redis):
    log = open_log(own_redis.url)
    log.append([event("e1")])
    log.append([event("e2")])
    own_redis.stop()
    (appended,) = own_redis.folder.glob("appendonlydir/*.incr.aof")
    os.truncate(appended, appended.stat().st_size - 5)
    own_redis.start()
    assert names(log) == ["e1"]
    assert [answer.duplicate for answer in log.append([event("e1"), event("e2")])] == [True, False]
    assert names(log) == ["e1", "e2"]
    log.close()


def test_a_file_that_another_process_has_locked_refuses_and_takes_events_when_it_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")
    other = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailableError, match="locked"):
        log.append([event("e1")])
    other.execute("ROLLBACK")
    assert log.append([event("e1")])[0].duplicate is False
    assert names(log) == ["e1"]
    other.close()
    log.close()


def test_what_is_written_ahead_reaches_the_file_while_the_log_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.01)
    log, path = open_log(f"sqlite:{tmp_path / 'log.sqlite'}"), tmp_path / "log.sqlite"
    for number in range(3):
        log.append([event(f"an event of some length, number {number}")])
        assert wait_until(lambda number=number: f"number {number}".encode() in path.read_bytes())
    # Nothing is left ahead, so that the next entry stands at its beginning again.
    size = path.with_name("log.sqlite-wal").stat().st_size
    log.append([event("one more")])
    assert path.with_name("log.sqlite-wal").stat().st_size == size
    log.close()


@pytest.fixture
def proxied(redis_server):
    with redis_server.connect() as client:
        client.flushall()
    proxy = TcpProxy(redis_server.port)
    yield proxy
    proxy.close()


def through(proxy):
    return open_log(f"redis://127.0.0.1:{proxy.port}/0")


def test_a_redis_that_is_slow_by_a_second_still_takes_events_and_tells_of_them(proxied):
    log = through(proxied)
    proxied.delay = 1.0
    assert log.append([event("e1")])[0].position == 1
    assert names(log) == ["e1"]
    log.close()


def test_a_redis_that_says_nothing_is_given_up_in_bounded_time(proxied):
    log = through(proxied)
    log.append([event("e1")])
    proxied.silent = True
    started = time.monotonic()
    with pytest.raises(StateUnavailableError, match=r"the event log redis://127\.0\.0\.1:\d+/0 does not take calls"):
        log.append([event("e2")])
    assert time.monotonic() - started < PATIENCE
    proxied.silent = False
    # The first try may have arrived: it is known by its id.
    log.append([event("e2")])
    assert names(log) == ["e1", "e2"]
    log.close()


@pytest.fixture
def spooled(own_redis, tmp_path):
    log = open_log(own_redis.url)
    spool = Spool(log, tmp_path / "spool.sqlite", known=0, max_events=5)
    yield own_redis, log, spool
    spool.close()
    log.close()


def test_events_wait_on_the_disk_while_redis_is_away_and_arrive_once(spooled):
    server, log, spool = spooled
    assert spool.append([event("before")])[0].position == 1
    server.kill()
    assert spool.append([event("away-1"), event("away-2")]) == [None, None]
    assert spool.append([event("away-3"), event("away-1")]) == [None, None]
    with pytest.raises(StateUnavailableError, match=r"wait for it on this machine's disk; at most 5 may"):
        spool.append([event("too-many-1"), event("too-many-2"), event("too-many-3")])
    server.start()
    assert wait_until(lambda: len(spool) == 0 and len(names(log)) == 4)
    assert names(log) == ["before", "away-1", "away-2", "away-3"]
    assert wait_until(lambda: spool.append([event("after")])[0] is not None)
    assert names(log).count("after") == 1


def test_a_full_disk_below_what_waits_refuses_events_and_keeps_those_before(spooled):
    server, log, spool = spooled
    server.kill()
    assert spool.append([event("kept")]) == [None]
    pages = "PRAGMA max_page_count = 1"  # as if the disk had no room for another
    spool._file._connection().execute(pages).fetchall()
    with pytest.raises(StateUnavailableError, match="full"):
        spool.append([event(f"{'long' * 2_000}")])
    server.start()
    assert wait_until(lambda: names(log) == ["kept"])


def test_what_waits_outlives_the_process_that_kept_it(own_redis, tmp_path):
    log = open_log(own_redis.url)
    own_redis.stop()
    first = Spool(log, tmp_path / "spool.sqlite", known=0)
    assert first.append([event("kept")]) == [None]
    first.close()
    own_redis.start()
    second = Spool(log, tmp_path / "spool.sqlite", known=0)
    assert wait_until(lambda: names(log) == ["kept"])
    second.close()
    log.close()


def test_a_full_redis_refuses_whole_batches_and_takes_them_when_there_is_room(spooled):
    server, log, spool = spooled
    with server.connect() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(StateUnavailableError, match="maxmemory"):
            log.append([event("full-1"), event("full-2")])
        assert names(log) == []
        assert spool.append([event("full-1"), event("full-2")]) == [None, None]
        client.config_set("maxmemory", 0)
    assert wait_until(lambda: names(log) == ["full-1", "full-2"])


def test_a_reader_goes_on_after_redis_was_killed_and_started_again(own_redis):
    seen = []

    class Listener:
        def attach(self, state, held):
            pass

        def apply(self, batch):
            seen.extend(logged.entry.event_id for logged in batch)

    log = open_log(own_redis.url)
    log.append([event("e1")])
    tail = LogTail(StateSettings(own_redis.url), SnapshotPosition(), [Listener()]).start()
    own_redis.kill()
    assert wait_until(lambda: tail.failing)
    own_redis.start()
    assert wait_until(lambda: not tail.failing)
    (appended,) = log.append([event("e2")])
    assert tail.wait_for(appended.position, PATIENCE)
    assert seen == ["e1", "e2"]
    assert log.append([event("e1")])[0].duplicate
    tail.stop()
    log.close()


def test_a_file_that_did_not_count_its_entries_is_counted_once(tmp_path):
    log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")
    log.append([event("e1"), event("e2")])
    log.close()
    with sqlite3.connect(tmp_path / "log.sqlite") as before:
        before.executescript("DROP TRIGGER count_added; DROP TRIGGER count_removed; DROP TABLE held")
    before.close()
    for _ in range(2):
        log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")
        assert log.size() == 2
        log.close()


def test_what_is_acknowledged_has_reached_the_disk_and_no_writer_waits_for_another_to_get_there(tmp_path, monkeypatch):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    log, other = open_log(place), open_log(place)
    log.append([event("e0")])
    real, ahead, reached, go_on = os.fdatasync, tmp_path / "log.sqlite-wal", threading.Event(), threading.Event()
    synced = []

    def slow(descriptor):
        assert os.path.samestat(os.fstat(descriptor), ahead.stat())
        synced.append(ahead.stat().st_size)
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            assert go_on.wait(PATIENCE)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(log.append, [event("e1")])
        assert reached.wait(PATIENCE)
        other.append([event("e2")])  # while the first is on its way
        assert not first.done()
        go_on.set()
        assert first.result(PATIENCE)[0].duplicate is False
    assert len(synced) == 2
    assert names(log) == ["e0", "e1", "e2"]
    log.close()
    other.close()


def test_after_a_disk_failed_below_a_commit_nothing_is_acknowledged_until_a_new_start(tmp_path, monkeypatch):
    log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(StateUnavailableError, match=r"may not be on the disk: .*Input/output error"):
            log.append([event("e1")])
    # The system tells of a failed write once: waiting for the disk again would say nothing of the first entry.
    for again in ("e1", "e2"):
        with pytest.raises(StateUnavailableError, match="mend the disk, and start again"):
            log.append([event(again)])
    log.close()
    log = open_log(f"sqlite:{tmp_path / 'log.sqlite'}")
    log.append([event("e1"), event("e2"), event("e3")])
    assert sorted(names(log)) == ["e1", "e2", "e3"]
    log.close()
