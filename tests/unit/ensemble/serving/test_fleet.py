"""Replicas go by themselves to the bundle that a file on their volume names, and back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fuserank_benchmarks.refreshing import write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.lifecycle import verify
from fuserank_ensemble.serving.switch import fleet
from fuserank_ensemble.serving.switch.folder import Member, SwitchFolder
from fuserank_ensemble.serving.switch.promoted import load_promoted
from fuserank_ensemble.serving.switch.step import OpenedStep, SwitchingStep
from fuserank_ensemble.state.keys import KEY_FILE, key_file_beside
from support.busy_machine import PATIENCE, wait_until

TARGET = "single_process"


class NamedStep:
    """Answers with the name of its bundle's folder."""

    def __init__(self, name):
        self.name = name

    def execute(self, requests):
        return [{"ANSWER": self.name} for _ in requests]


def open_named(root):
    return OpenedStep(NamedStep(root.name), [])


class Volume:
    """Two bundles that a job wrote beside the one that replicas are started on."""

    def __init__(self, folder: Path, bundle: Path):
        self.shop = write_twin(bundle, folder / "shop", "a")
        self.first = write_twin(bundle, folder / "refreshed-1", "b")
        self.second = write_twin(bundle, folder / "refreshed-2", "c")
        self.pointer = fleet.pointer_of(self.shop)

    def run(self, command, *words):
        assert fleet.main([command, "--bundle", str(self.shop), *map(str, words)]) is None


@pytest.fixture
def volume(tmp_path, tiny_bundle, monkeypatch):
    # As a Secret is mounted: the volume does not hold the key.
    monkeypatch.setenv(KEY_FILE, str(key_file_beside(tiny_bundle)))
    return Volume(tmp_path / "volume", tiny_bundle)


class Replica:
    """A replica whose init container has run: the model of one process, and what follows beside it."""

    def __init__(self, folder: Path, volume: Volume):
        self.folder = SwitchFolder(folder / "own" / "8001")
        models = folder / "models"
        words = [str(volume.shop), f"--target={TARGET}", f"--models={models}", f"--switch={self.folder.path}"]
        assert verify.main(words) is None
        self.root = (models / "search" / "1" / "model.py").resolve().parents[3]
        self.step = SwitchingStep("search", self.root, open_named(self.root), open_named, self.folder)

    def answer(self):
        return self.step.execute([{"QUERY": "milk"}])[0]["ANSWER"]


def replica(folder, volume):
    folder.mkdir()
    return Replica(folder, volume)


def noted(running, volume):
    """What follows, as `follow` leaves it once the replica is ready."""
    running.folder.note(fleet.ServerNote(TARGET))
    return fleet.Follower(volume.pointer, running.folder, PATIENCE)


def test_every_replica_goes_to_what_is_promoted_and_back(volume, tmp_path):
    replicas = [replica(tmp_path / name, volume) for name in ("r1", "r2")]
    followers = [noted(each, volume) for each in replicas]
    assert [follower.look() for follower in followers] == [None, None]
    volume.run("promote", volume.first)
    for follower in followers:
        assert "answers instead of" in follower.look()
        assert follower.look() is None
    assert [each.answer() for each in replicas] == ["refreshed-1"] * 2
    volume.run("rollback")
    assert [bool(follower.look()) for follower in followers] == [True, True]
    assert [each.answer() for each in replicas] == ["shop"] * 2
    assert (
        fleet.main(["rollback", "--bundle", str(volume.shop)]) == "error: nothing was promoted since the last rollback"
    )


def test_a_replica_that_comes_later_starts_on_what_is_promoted(volume, tmp_path):
    volume.run("promote", volume.first)
    running = replica(tmp_path / "r", volume)
    assert running.root == volume.first
    assert running.folder.wanted().served.id == Bundle.open(volume.first, verify=()).id
    assert noted(running, volume).look() is None


def test_what_a_container_said_before_it_was_started_again_does_not_count(volume, tmp_path):
    running = replica(tmp_path / "r", volume)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    running.folder.report(Member("search", ended.pid, ("b-old",), "b-old"))
    follower = noted(running, volume)
    volume.run("promote", volume.first)
    assert follower.look()
    assert running.answer() == "refreshed-1"
    assert {member.pid for member in running.folder.members()} == {os.getpid()}


def test_a_bundle_that_a_replica_cannot_serve_changes_nothing_and_is_tried_again_later(volume, tmp_path, monkeypatch):
    running = replica(tmp_path / "r", volume)
    follower = noted(running, volume)
    volume.run("promote", volume.first)
    (volume.first / "index" / "items" / "ids.npy").unlink()
    with pytest.raises(fleet.BundleError):
        follower.look()
    assert follower.look() is None
    assert running.answer() == "shop"
    monkeypatch.setattr(fleet, "RETRY_SECONDS", 0.0)
    volume.run("promote", volume.second)
    assert follower.look()
    assert running.answer() == "refreshed-2"


def test_what_is_broken_is_not_promoted(volume):
    (volume.first / "index" / "items" / "ids.npy").write_bytes(b"broken")
    assert str(fleet.main(["promote", str(volume.first), "--bundle", str(volume.shop)])).startswith("error: ")
    assert not volume.pointer.exists()


def test_old_bundles_of_the_job_go_and_what_is_needed_stays(volume, tmp_path):
    for number in (3, 4, 5):
        write_twin(volume.shop, volume.shop.with_name(f"refreshed-{number}"), "d")
    other = volume.shop.with_name("somebody-elses")
    other.mkdir()
    for number in (1, 2, 3, 4, 5):
        volume.run("promote", volume.shop.with_name(f"refreshed-{number}"), "--keep", 1)
    left = {path.name for path in volume.shop.parent.iterdir()}
    # What lies beside a bundle, such as its key, is none of the job's.
    beside = {f"{name}.state" for name in ("shop", *(f"refreshed-{number}" for number in range(1, 6)))}
    assert left == {"shop", "somebody-elses", "refreshed-3", "refreshed-4", "refreshed-5", *beside}
    promoted = load_promoted(volume.pointer)
    assert Path(promoted.served.folder).name == "refreshed-5"
    assert Path(promoted.previous.folder).name == "refreshed-4"


def test_following_waits_until_the_replica_answers(volume, tmp_path, monkeypatch):
    running, stopping = replica(tmp_path / "r", volume), threading.Event()
    monkeypatch.setattr(fleet, "LOOK_SECONDS", 0.02)
    statuses = [503, 503, 200]

    class Triton(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    triton = HTTPServer(("127.0.0.1", 0), Triton)
    threading.Thread(target=triton.serve_forever, daemon=True).start()
    volume.run("promote", volume.first)
    words = (volume.shop, running.folder, TARGET, triton.server_address[1], stopping)
    following = threading.Thread(target=fleet.follow, args=words)
    following.start()
    try:
        assert wait_until(lambda: running.answer() == "refreshed-1")
        assert statuses == [200]
    finally:
        stopping.set()
        following.join(PATIENCE)
        triton.shutdown()
        triton.server_close()


def test_without_a_switch_the_named_bundle_is_verified(volume, tmp_path):
    volume.run("promote", volume.first)
    models = tmp_path / "models"
    assert verify.main([str(volume.shop), f"--target={TARGET}", f"--models={models}"]) is None
    assert (models / "search" / "1" / "model.py").resolve().parents[3] == volume.shop
