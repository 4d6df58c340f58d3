"""What a step opened is let go of when its model is closed, and when opening it fails on the way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.graph.live.past import PastFeatures
from fuserank_ensemble.graph.live.state import LiveState
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.serving.switch.step import OpenedStep, SwitchingStep
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import State, StateSettings
from support.hosts import LoneHost


def opened_files(folder):
    """The files below a folder that this process has open."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return [target for link in links if link.is_symlink() and (target := os.readlink(link)).startswith(str(folder))]


@pytest.fixture
def nothing_left(tmp_path):
    """What a test opens in its folder, and the threads that it starts, are gone at its end."""
    before = set(threading.enumerate())
    yield tmp_path
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []
    assert opened_files(tmp_path) == []


class Host(LoneHost):
    """A `Host` with a state."""

    def __init__(self, settings):
        self._settings, self.releases = settings, []

    def state(self):
        return self._settings

    def at_close(self, release):
        self.releases.append(release)


def test_a_closed_model_leaves_no_thread_and_no_file(tiny_bundle, nothing_left):
    host = Host(StateSettings(f"sqlite:{nothing_left / 'log.sqlite'}", ttl_days=30.0))
    record, profile = (kind.open(tiny_bundle, "cpu", host) for kind in (Record, Profile))
    event = b'[{"event_id": "e", "event": "click", "item_id": "i01", "user_id": "u"}]'
    record.execute([{"EVENTS": string_tensor([[event]])}])
    profile.execute([{n: string_tensor([[v]]) for n, v in (("USER_ID", b"u"), ("ACTION", b"get"), ("OPTIONS", b"{}"))}])
    assert opened_files(nothing_left)
    OpenedStep(record, host.releases).close()


def test_what_waits_to_be_written_is_written_when_a_model_is_closed(tiny_bundle, nothing_left):
    settings = StateSettings(f"sqlite:{nothing_left / 'log.sqlite'}")
    host = Host(settings)
    opened = Finalize.open(tiny_bundle, "cpu", host)
    switching = SwitchingStep("finalize", tiny_bundle, OpenedStep(opened, host.releases), None, None)
    for number in range(300):
        opened._writer.write(Interaction(event_id=str(number), item_id="i", event="view", timestamp=1.0, session=b"s"))
    switching.close()
    log = State.open(settings).log
    assert len(log.read(0, 1_000)) == 300
    log.close()


def test_one_release_that_fails_keeps_no_other():
    released = []

    def fail():
        raise RuntimeError("cannot be let go of")

    with pytest.raises(RuntimeError, match="cannot be let go of"):
        OpenedStep(None, [lambda: released.append("first"), fail, lambda: released.append("last")]).close()
    assert released == ["last", "first"]


def test_a_graph_in_this_process_lets_go_of_all_of_it(tiny_bundle, nothing_left):
    graph = LocalGraph(Bundle.open(tiny_bundle), state=StateSettings(f"sqlite:{nothing_left / 'log.sqlite'}"))
    graph.search("milk", "u00")
    graph.suggest("mi")
    graph.close()


def test_a_state_under_another_key_is_let_go_of(tiny_bundle, nothing_left):
    (nothing_left / "key").write_text("ab" * 32)
    settings, bundle = StateSettings(f"sqlite:{nothing_left / 'log'}", nothing_left / "key"), Bundle.open(tiny_bundle)
    for opening in (
        lambda: LiveState.open(bundle, settings, has_words=True),
        lambda: PastFeatures(bundle, settings),
        lambda: LocalGraph(bundle, state=settings),
    ):
        with pytest.raises(BundleError, match="the key here is"):
            opening()


def test_a_file_that_is_no_log_is_let_go_of(nothing_left):
    (nothing_left / "log").write_text("no data base " * 100)
    with pytest.raises(StateError, match="not a database"):
        State.open(StateSettings(f"sqlite:{nothing_left / 'log'}"))
