"""What is wrong with a machine is named with its remedy, and the command then exits 1."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("tritonclient.grpc")
from fuserank_ensemble.serving import prerequisites
from fuserank_ensemble.serving.diagnosis import checks
from fuserank_ensemble.serving.diagnosis.doctor import doctor

Usage = namedtuple("Usage", "total used free")
APP = typer.Typer()
APP.command()(doctor)


@pytest.fixture
def free_ports():
    """Ports that nobody listens on, in the order of the options."""
    sockets = [socket.socket() for _ in range(3)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def sound(monkeypatch):
    """A machine on which everything is there; each test takes one thing away."""
    monkeypatch.setattr(checks, "check_machine", lambda: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**30, 0, 2**30))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(checks, "requirements_of", lambda *of: [checks.Requirement("numpy>=1")])
    return monkeypatch


def examine(ports, *words):
    named = zip(("--http-port", "--grpc-port", "--metrics-port"), map(str, ports), strict=True)
    done = CliRunner().invoke(APP, [*(word for pair in named for word in pair), "--json", *words])
    found = json.loads(done.output)
    return done.exit_code, {one["name"]: one for one in found if one["state"] == "wrong"}, found


def test_a_sound_machine_without_a_server_is_no_fault(sound, free_ports, tiny_bundle):
    code, wrong, found = examine(free_ports, str(tiny_bundle))
    assert (code, wrong) == (0, {})
    assert {one["name"] for one in found} == {
        *(
            "machine",
            "cores and memory",
            "shared memory",
            "GPU",
            "packages",
            "bundle",
            "key of users",
            "server",
            "ports",
        )
    }


def test_the_machines_own_fault_is_passed_on(sound, free_ports):
    def refuse():
        raise prerequisites.PrerequisiteError("C library: found none")

    sound.setattr(checks, "check_machine", refuse)
    code, wrong, _ = examine(free_ports)
    assert code == 1
    assert wrong["machine"]["found"] == "C library: found none"


def test_little_shared_memory_is_named_with_how_to_get_more(sound, free_ports):
    sound.setattr(shutil, "disk_usage", lambda folder: Usage(64 * 2**20, 2**20, 63 * 2**20))
    code, wrong, _ = examine(free_ports)
    assert code == 1
    assert "--shm-size" in wrong["shared memory"]["remedy"]
    assert checks.check_shared_memory(Path("/nowhere")).state == "wrong"


def test_a_package_that_is_missing_or_old_is_named(sound, free_ports):
    sound.setattr(checks, "requirements_of", lambda *of: map(checks.Requirement, ["numpy>=99", "no-such-package"]))
    code, wrong, found = examine(free_ports)
    assert code == 1
    texts = [one["found"] for one in found if one["state"] == "wrong"]
    assert texts == ["no-such-package is not installed", f"numpy is {metadata.version('numpy')}, needed is >=99"]
    assert wrong["packages"]["remedy"] == "pip install 'fuserank[embedded]'"


def test_an_extra_brings_what_its_extras_need():
    names = {requirement.name for requirement in checks.requirements_of("fuserank", "embedded")}
    assert {"nvidia-pytriton", "tantivy", "typer", "tritonclient"} <= names
    assert "torch" not in names


def test_a_bundle_with_a_changed_file_is_wrong(sound, free_ports, tiny_bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    (copy / "index" / "tokenizer.json").write_text("{}")
    code, wrong, _ = examine(free_ports, str(copy))
    assert code == 1
    assert "tokenizer.json" in wrong["bundle"]["found"]


def test_a_server_that_should_answer_and_does_not_is_wrong(sound, free_ports):
    code, wrong, _ = examine(free_ports, "--url", f"127.0.0.1:{free_ports[1]}")
    assert code == 1
    assert "fuserank serve" in wrong["server"]["remedy"]


def test_a_port_that_something_else_has_is_wrong(sound, free_ports):
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_ports[0]))
        other.listen()
        code, wrong, _ = examine(free_ports)
    assert code == 1
    assert f"http {free_ports[0]}" in wrong["ports"]["found"]
    assert "--http-port" in wrong["ports"]["remedy"]


def test_a_target_of_a_gpu_needs_one(sound, free_ports):
    code, wrong, _ = examine(free_ports, "--target", "ensemble_cuda")
    assert code == 1
    assert "single_process" in wrong["GPU"]["remedy"]


@pytest.mark.parametrize(
    ("script", "found"),
    [("echo 'H200, 580, 139 GiB'", "H200, 580, 139 GiB"), ("exit 9", "says nothing"), ("sleep 9", "no answer within")],
)
def test_what_nvidia_smi_says_is_told(monkeypatch, tmp_path, script, found):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(checks, "GPU_SECONDS", 0.3)
    check = checks.check_gpu("ensemble_cuda")
    assert found in check.found
    assert (check.state == "ok") == script.startswith("echo")


def test_a_bundle_larger_than_memory_or_of_another_word_index_is_noted(sound, free_ports, tiny_bundle, monkeypatch):
    sound.setattr(checks, "available_bytes", lambda: 1)
    sound.setattr(metadata, "version", lambda name: "0.1")
    notes = [check.found for check in checks.check_bundle(tiny_bundle, "single_process") if check.state == "note"]
    assert any("free are 0.0 GiB" in note for note in notes)
    assert any(note.startswith("its word index was written by tantivy") for note in notes)


class FakeTriton:
    """A server that answers with a status, or has no `search`; stands for the client's module."""

    InferenceServerException = type("InferenceServerException", (Exception,), {})

    def __init__(self, status, *, ready=True):
        self.status, self.ready = status, ready

    def InferenceServerClient(self, url):
        return self

    def InferInput(self, *shape):
        return SimpleNamespace(set_data_from_numpy=lambda values: None)

    def get_server_metadata(self, client_timeout):
        return SimpleNamespace(version="2.51")

    def is_model_ready(self, name, client_timeout):
        return self.ready

    def infer(self, name, inputs, client_timeout):
        reply = None if self.status is None else np.asarray([[json.dumps(self.status).encode()]], object)
        return SimpleNamespace(as_numpy=lambda name: reply)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("answers", "state", "found"),
    [
        (FakeTriton({}, ready=False), "wrong", "the model `search` is not ready"),
        (FakeTriton(None), "wrong", "is not FuseRank's"),
        (FakeTriton([1]), "wrong", "is not FuseRank's"),
        (FakeTriton({"bundle": "b-0", "degraded": ["stale"]}), "wrong", "cut short: stale"),
        (FakeTriton({"bundle": "b-0", "degraded": []}), "note", "it serves b-0"),
    ],
)
def test_what_a_server_answers_with_is_looked_at(monkeypatch, tiny_bundle, answers, state, found):
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", answers)
    monkeypatch.setattr(sys.modules["tritonclient"], "grpc", answers)
    made = list(checks.check_server("127.0.0.1:1", tiny_bundle, expected=True))
    assert any(check.state == state and found in check.found and check.remedy for check in made)


def test_two_ports_that_are_one_are_wrong():
    made = list(checks.check_ports("127.0.0.1", {"http": 1, "grpc": 1}, is_served=False))
    assert [check.found for check in made] == ["http 1 is also that of grpc", "grpc 1 is also that of http"]


def test_free_memory_is_read_where_the_system_says_it(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert checks.available_bytes(tmp_path / "meminfo") == 2 * 2**20
    assert checks.available_bytes(tmp_path / "nothing") is None


def test_a_reader_sees_what_to_do(sound, free_ports):
    named = zip(("--http-port", "--grpc-port", "--metrics-port"), map(str, free_ports), strict=True)
    words = [word for pair in named for word in pair]
    done = CliRunner().invoke(APP, [*words, "--target", "ensemble_cuda"], env={"COLUMNS": "160"})
    assert done.exit_code == 1
    assert "→ target ensemble_cuda needs one" in done.output
