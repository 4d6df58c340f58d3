"""Switching between bundles: what a process holds, what the command waits for, and what is refused."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.graph.caches import CacheCounter
from fuserank_ensemble.serving.switch import step as switch_step
from fuserank_ensemble.serving.switch.checks import check_fits, check_nobody_forgotten
from fuserank_ensemble.serving.switch.commands import port_of
from fuserank_ensemble.serving.switch.folder import BundlePlace, ServerNote, SwitchError, SwitchFolder, Wanted
from fuserank_ensemble.serving.switch.promoted import Promoted, read_promoted, remember_promoted
from fuserank_ensemble.serving.switch.step import CacheTotals, OpenedStep, SwitchingStep
from fuserank_ensemble.serving.switch.switch import rollback_bundle, switch_to
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.entries import Forget
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import SnapshotPosition
from support.busy_machine import wait_until


class NamedStep:
    """Answers with the name of its bundle; `REQUEST` is that name here."""

    def __init__(self, name):
        self.name = name

    def execute(self, requests):
        return [{"ANSWER": self.name} for _ in requests]


class Shelf:
    """A folder of bundles, and a server's folder; steps on the bundles count when they are closed."""

    def __init__(self, folder: Path):
        self.folder, self.closed = folder, []
        self.switch = SwitchFolder(folder / "private" / "8001")
        self.switch.create(self.place("a"))

    def place(self, name, manifest=None):
        root = self.folder / name
        root.mkdir(exist_ok=True)
        (root / "manifest.json").write_text(json.dumps(manifest or {"id": f"b-{name}"}))
        return BundlePlace(f"b-{name}", str(root))

    def open_step(self, root):
        if root.name == "broken":
            raise ValueError("no such index")
        return OpenedStep(NamedStep(root.name), [lambda: self.closed.append(root.name)])

    def member(self, name="retrieve"):
        root = self.folder / "a"
        return SwitchingStep(name, root, self.open_step(root), self.open_step, self.switch)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(switch_step, "RETIRE_SECONDS", 0.1)
    monkeypatch.setattr(switch_step, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(switch_step, "bundles_of", lambda request: [request])


def answers(step, *bundles):
    return [answer["ANSWER"] for answer in step.execute([{"REQUEST": f"b-{name}"} for name in bundles])]


def test_a_step_behind_others_answers_from_the_bundle_that_a_request_names(shelf, quick):
    behind, first = shelf.member("retrieve"), shelf.member("preprocess")
    switch_to(shelf.switch, shelf.place("b"), 10.0, previous=shelf.place("a"))
    assert answers(behind, "a", "b", "a") == ["a", "b", "a"]
    assert [answer["ANSWER"] for answer in first.execute([{"QUERY": "milk"}])] == ["b"]
    assert {member.active for member in shelf.switch.members()} == {"b-b"}
    switch_to(shelf.switch, shelf.place("c"), 10.0, previous=shelf.place("b"))
    assert wait_until(lambda: shelf.closed == ["a", "a"], 10.0)
    assert answers(behind, "b", "c") == ["b", "c"]
    assert shelf.switch.wanted().previous == shelf.place("b")


def test_a_bundle_that_is_closed_leaves_nothing_in_memory(shelf, quick):
    """Its objects name each other, as caches and what counts them do, and are frozen for the collector's sake."""
    kept = []

    def open_step(root):
        opened = shelf.open_step(root)
        opened.step.itself = opened.step
        kept.append(weakref.ref(opened.step))
        return opened

    member = SwitchingStep("retrieve", shelf.folder / "a", open_step(shelf.folder / "a"), open_step, shelf.switch)
    switch_to(shelf.switch, shelf.place("b"), 10.0, previous=shelf.place("a"))
    switch_to(shelf.switch, shelf.place("c"), 10.0, previous=shelf.place("b"))
    assert wait_until(lambda: kept[0]() is None, 10.0)
    assert answers(member, "b", "c") == ["b", "c"]


def test_a_bundle_that_a_process_cannot_open_changes_nothing(shelf, quick):
    step, before = shelf.member(), shelf.switch.wanted()
    with pytest.raises(SwitchError, match="retrieve cannot open it: ValueError: no such index"):
        switch_to(shelf.switch, shelf.place("broken"), 10.0, previous=None)
    assert shelf.switch.wanted() == before
    assert answers(step, "a") == ["a"]
    switch_to(shelf.switch, shelf.place("b"), 10.0, previous=None)
    assert answers(step, "b") == ["b"]


def test_a_folder_that_cannot_be_read_for_a_while_is_followed_again(shelf, quick, monkeypatch):
    tries = []

    def version():
        tries.append(None)
        raise OSError("stale handle")

    monkeypatch.setattr(shelf.switch, "version", version)
    shelf.member()
    assert wait_until(lambda: len(tries) > 2, 10.0)
    monkeypatch.undo()
    monkeypatch.setattr(switch_step, "LOOK_SECONDS", 0.01)
    switch_to(shelf.switch, shelf.place("b"), 10.0, previous=shelf.place("a"))
    assert {member.active for member in shelf.switch.members()} == {"b-b"}


def test_a_process_that_never_has_the_bundle_is_named_and_nothing_changes(shelf, quick):
    shelf.member("preprocess")
    lost = shelf.switch.members()[0]
    shelf.switch.report(type(lost)("finalize", os.getpid(), ("b-a",), "b-a"))
    with pytest.raises(SwitchError, match="finalize did not open it within 0 s"):
        switch_to(shelf.switch, shelf.place("b"), 0.2, previous=None)
    assert shelf.switch.wanted() == Wanted((shelf.place("a"),), "b-a")


def test_a_rollback_needs_something_to_go_back_to_and_a_server(shelf, tmp_path):
    with pytest.raises(SwitchError, match="no server of this user"):
        rollback_bundle(shelf.switch)
    shelf.switch.note(ServerNote("single_process", {}, str(tmp_path / "promoted.json")))
    with pytest.raises(SwitchError, match="nothing was promoted"):
        rollback_bundle(shelf.switch)
    with shelf.switch.locked(), pytest.raises(SwitchError, match="another promote"):
        rollback_bundle(shelf.switch)


def test_a_folder_that_others_may_write_is_not_believed(shelf):
    shelf.switch.note(ServerNote("single_process"))
    shelf.switch.path.parent.chmod(0o777)
    with pytest.raises(SwitchError, match="not this user's alone"):
        shelf.switch.noted()
    with pytest.raises(SwitchError, match="not this user's alone"):
        shelf.switch.create(shelf.place("a"))


@pytest.mark.parametrize("url", ["shop.example:8001", "10.0.0.7:8001", "localhost", "localhost:grpc"])
def test_nobody_switches_over_the_network(url):
    with pytest.raises(SwitchError, match="over the network"):
        port_of(url)
    assert port_of("localhost:8001") == 8001


def test_what_was_promoted_is_served_after_a_restart(shelf, tmp_path):
    path, named, promoted = tmp_path / "promoted.json", Path(shelf.place("a").folder), shelf.place("b")
    assert read_promoted(path, named) == named
    remember_promoted(path, Promoted(promoted, shelf.place("a")))
    assert read_promoted(path, named) == Path(promoted.folder)
    Path(promoted.folder).rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is gone"):
        read_promoted(path, named)
    path.write_text("{")
    with pytest.raises(BundleError, match="remove it"):
        read_promoted(path, named)


NOTHING = SnapshotPosition()
FILES = {
    "model_repository/encoder/config.pbtxt": "1",
    "model_repository/encoder/1/model.onnx": "2",
    "model_repository/ranker/1/model.onnx": "3",
    "model_repository/search/config.pbtxt": "4",
    "model_repository/search/configs/single_process.pbtxt": "5",
    "model_repository/retrieve/1/model.py": "6",
    "index/tokenizer.json": "7",
}


@pytest.mark.parametrize(
    ("target", "changed", "is_fit"),
    [
        ("single_process", {}, True),
        ("single_process", {"model_repository/ranker/1/model.onnx": "x"}, True),
        ("ensemble_cpu", {"model_repository/ranker/1/model.onnx": "x"}, False),
        ("single_process", {"model_repository/encoder/1/model.onnx": "x"}, False),
        ("single_process", {"model_repository/search/config.pbtxt": "x"}, True),
        ("single_process", {"model_repository/search/configs/single_process.pbtxt": "x"}, False),
        ("ensemble_cpu", {"model_repository/search/config.pbtxt": "x"}, False),
        ("ensemble_cpu", {"model_repository/retrieve/1/model.py": "x"}, True),
        ("single_process", {"index/tokenizer.json": "x"}, False),
    ],
)
def test_what_triton_holds_itself_must_not_differ(target, changed, is_fit):
    new, served = (Bundle(Path("next"), {"id": "b", "files": FILES | more}, GraphSpec()) for more in (changed, {}))
    if is_fit:
        check_fits(new, served, target)
        return
    with pytest.raises(SwitchError) as caught:
        check_fits(new, served, target)
    assert next(iter(changed)) in str(caught.value)
    assert "start a server on this bundle" in str(caught.value)


@pytest.fixture
def state(tmp_path):
    opened = State.open(StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"))
    yield opened
    opened.log.close()


def test_a_bundle_that_holds_a_forgotten_person_is_refused_until_one_is_made_without(state):
    (forgotten,) = state.log.append([Forget(event_id="f", user=state.key.user("anna"))])
    state.log.trim(forgotten.position, keep_seconds=0.0)

    def holding(*names, position=NOTHING):
        return SimpleNamespace(root="next", user_names=lambda: set(names), snapshot_position=position)

    anna, bob = (state.key.user_name(user) for user in ("anna", "bob"))
    check_nobody_forgotten(holding(bob), state)
    with pytest.raises(SwitchError, match="holds 1 users who were forgotten"):
        check_nobody_forgotten(holding(bob, anna), state)
    since = SnapshotPosition(state.log.id, forgotten.position)
    check_nobody_forgotten(holding(anna, position=since), state)  # who came back after it
    with pytest.raises(SwitchError, match="forgotten"):
        check_nobody_forgotten(holding(anna, position=SnapshotPosition("another", 9)), state)


def test_look_ups_of_bundles_that_are_gone_still_count():
    counts = [CacheCounter(3, 1), CacheCounter()]
    caches = [{"filter": lambda at=at: counts[at]} for at in range(2)]
    totals = CacheTotals(caches[0])
    totals.add(caches[1])
    counts[1].add(10, 2)
    totals.settle(caches[0])
    counts[0].add(100, 100)  # nobody's any more
    assert totals.counts["filter"]() == CacheCounter(13, 3)
