"""What is wrong with a state, a key, a port or a bundle is said with what to do, and never as a traceback."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc")
import tritonclient.grpc as triton

from fuserank_ensemble import bundle as bundles
from fuserank_ensemble.serving.diagnosis import checks
from fuserank_ensemble.serving.diagnosis.state_checks import check_state
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.keys import key_file_beside
from fuserank_ensemble.state.settings import State, StateSettings
from support.redis_server import start_redis


@pytest.fixture
def own_key(tmp_path):
    path = tmp_path / "own.key"
    path.write_text("ab" * 32)
    return path


def of(name, found):
    (one,) = [check for check in found if check.name == name]
    return one


def test_a_state_that_fits_is_no_fault_and_nothing_is_made(tiny_bundle, tmp_path):
    place = f"sqlite:{tmp_path / 'new' / 'log.sqlite'}"
    found = list(check_state(tiny_bundle, place, key_file_beside(tiny_bundle)))
    assert [check.state for check in found] == ["ok", "ok"]
    assert list(tmp_path.iterdir()) == []
    settings = StateSettings(place, key_file_beside(tiny_bundle))
    log = State.open(settings).log
    log.append([Interaction(event_id="e", item_id="i", event="view", timestamp=1.0, session=b"s")])
    log.close()
    assert "1 entries" in of("state", check_state(tiny_bundle, place, key_file_beside(tiny_bundle))).found
    assert of("key of users", check_state(tiny_bundle, "none", None)).state == "ok"


def test_a_key_that_is_not_the_bundles_is_wrong(tiny_bundle, own_key):
    found = of("key of users", check_state(tiny_bundle, "none", own_key))
    assert (found.state, "hashed under the key" in found.found, "--state-key-file" in found.found) == (
        "wrong",
        True,
        True,
    )


def test_a_key_that_is_not_the_states_is_wrong(tmp_path, own_key):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    State.open(StateSettings(place)).log.close()
    empty = of("state", check_state(None, place, own_key))
    assert (empty.state, empty.found) == ("ok", f"{place}: empty")
    log = State.open(StateSettings(place)).log
    log.append([Interaction(event_id="e", item_id="i", event="view", timestamp=1.0, session=b"s")])
    log.close()
    found = of("state", check_state(None, place, own_key))
    assert found.state == "wrong"
    assert f"{own_key}: found the key " in found.found
    assert "--state-key-file" in found.found


def test_a_log_whose_key_is_gone_is_wrong_and_gets_no_other(tmp_path):
    place = f"sqlite:{tmp_path / 'log.sqlite'}"
    State.open(StateSettings(place)).log.close()
    (tmp_path / "log.sqlite.key").unlink()
    found = of("state", check_state(None, place, None))
    assert (found.state, "log.sqlite.key" in found.found, "put it back" in found.remedy) == ("wrong", True, True)
    assert not (tmp_path / "log.sqlite.key").exists()


def test_an_empty_redis_stays_empty(tmp_path):
    server = start_redis(tmp_path)
    assert of("state", check_state(None, server.url, None)).found.endswith(": empty")
    with server.connect() as client:
        assert client.keys() == []
    server.stop()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("sqllite:/x", "did you mean 'sqlite:'"),
        ("sqlite:/dev/null/state/log", "/dev/null is no folder that can be written name a file in one with --state"),
        ("redis://127.0.0.1:1/0", "start what keeps it"),
    ],
)
def test_a_state_that_cannot_be_used_is_wrong(place, words):
    found = of("state", check_state(None, place, None))
    assert found.state == "wrong"
    assert words in f"{found.found} {found.remedy}"


def test_a_file_that_is_no_log_is_wrong(tmp_path, own_key):
    (tmp_path / "log.sqlite").write_text("no data base at all " * 100)
    found = of("state", check_state(None, f"sqlite:{tmp_path / 'log.sqlite'}", own_key))
    assert (found.state, "not a database" in found.found) == ("wrong", True)


@pytest.mark.parametrize(
    ("host", "ports", "words"),
    [
        ("127.0.0.1", {"http": 70_000}, "allowed: 0 to 65535"),
        ("no.such.host.invalid", {"http": 8000}, "no.such.host.invalid: "),
        ("127.0.0.1", {"http": 0, "grpc": 0}, "is also that of"),
    ],
)
def test_a_port_that_cannot_be_had_is_wrong_and_says_why(host, ports, words):
    found = list(checks.check_ports(host, ports, is_served=False))
    assert {check.state for check in found} == {"wrong"}
    assert all(words in check.found and check.remedy for check in found)
    assert "Unknown error" not in found[0].found


def test_a_bundle_whose_file_may_not_be_read_is_wrong(tiny_bundle, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(bundles, "sha256", refuse)
    found = of("bundle", checks.check_bundle(tiny_bundle, "single_process"))
    assert (found.state, "Permission denied; let this user read it" in found.found) == ("wrong", True)


def test_a_driver_that_does_not_answer_is_said(monkeypatch):
    def wait(command, **more):
        raise subprocess.TimeoutExpired(command, 30)

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", wait)
    found = checks.check_gpu("ensemble_cuda")
    assert (found.state, found.found) == ("wrong", "nvidia-smi: no answer within 30 s")


class OtherSearch:
    """A Triton whose `search` is another program's."""

    def __init__(self, status):
        self._status = status

    def get_server_metadata(self, **more):
        return type("Metadata", (), {"version": "2.51"})

    def is_model_ready(self, name, **more):
        return True

    def infer(self, *arguments, **more):
        return self

    def as_numpy(self, name):
        return self._status

    def close(self):
        pass


@pytest.mark.parametrize("status", [None, np.asarray([[b"[1]"]], object), np.asarray([[b"{}"]], object)])
def test_a_server_of_another_program_is_wrong(monkeypatch, status):
    monkeypatch.setattr(triton, "InferenceServerClient", lambda url: OtherSearch(status))
    (found,) = checks.check_server("127.0.0.1:8001", None, expected=True)
    assert (found.state, "not FuseRank's" in found.found) == ("wrong", True)
