"""Writing the log: a full one refuses what is new, and says how it becomes smaller."""

from __future__ import annotations

import time

import pytest

from fuserank_ensemble.graph.live.log_writer import StateHolder
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.state import room
from fuserank_ensemble.state.entries import Forget, Interaction
from fuserank_ensemble.state.expiry import Expiry
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings
from support.busy_machine import wait_until


def event(name):
    return Interaction(event_id=name, item_id="i", event="view", timestamp=time.time(), user=b"u" * 16)


def settings(folder, **more):
    return StateSettings(f"sqlite:{folder / 'log.sqlite'}", **more)


def test_a_full_log_refuses_events_until_it_is_trimmed_and_still_forgets_people(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "COUNT_SECONDS", 0.0)
    holder = StateHolder(settings(tmp_path, max_entries=3, spool=tmp_path / "spool.sqlite"), spool=True)
    holder.append([event("e1"), event("e2"), event("e3")])
    with pytest.raises(UnavailableError, match="holds 3 entries of at most 3: promote what `fuserank export refresh`"):
        holder.append([event("e4")])
    log = holder.get().log
    (forgotten,) = log.append([Forget(event_id="f", user=b"u" * 16)])
    log.trim(forgotten.position, keep_seconds=0.0)
    assert holder.append([event("e4")])[0].position > forgotten.position
    holder.close()


def test_what_was_erased_or_has_expired_leaves_its_room_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "COUNT_SECONDS", 0.0)
    holder = StateHolder(settings(tmp_path, max_entries=2))
    for remove in (lambda log: log.erase(b"u" * 16, 100), lambda log: log.expire(-1.0)):
        holder.append([event(f"{remove}-1"), event(f"{remove}-2")])
        with pytest.raises(UnavailableError, match="holds 2 entries of at most 2"):
            holder.append([event("too many")])
        remove(holder.get().log)
    holder.close()


def test_events_are_forgotten_after_their_time_to_live(tmp_path):
    kept = settings(tmp_path, ttl_days=1.0)
    log = State.open(kept).log
    log.append([event("e1"), Forget(event_id="f", user=b"u" * 16)])
    expiry = Expiry(kept, days=-1.0).start()
    assert wait_until(lambda: [logged.entry.event_id for logged in log.read(0, 10)] == ["f"], 10.0)
    expiry.stop()
    log.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("FUSERANK_STATE_TTL_DAYS", "0.5"), ("FUSERANK_STATE_TTL_DAYS", "week"), ("FUSERANK_STATE_MAX_ENTRIES", "0")],
)
def test_a_wrong_bound_is_named(name, value):
    with pytest.raises(StateError, match=name):
        StateSettings.from_environment({"FUSERANK_STATE": "sqlite:/x", name: value})


def test_all_settings_reach_the_servers_processes(tmp_path):
    given = StateSettings("sqlite:/x", tmp_path / "key", tmp_path / "spool", 30.0, 500)
    assert StateSettings.from_environment(given.to_environment()) == given
