"""Starting, refusing and stopping: what does not belong together is not served, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import fuserank_ensemble.serving.server
from fuserank.client import Client
from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.tritonserver import Endpoints, ServerError
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.keys import carry_key
from support.busy_machine import PATIENCE
from support.running import (
    BESIDE,
    FUSERANK,
    assert_no_traceback,
    endpoints,
    flipped,
    free_ports,
    replaced,
    tritonserver,
)


@pytest.fixture(scope="module")
def copied(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle to spoil; each test mends it again."""
    copy = shutil.copytree(bundle_root, tmp_path_factory.mktemp("copy") / "bundle")
    carry_key(bundle_root, copy)
    return copy


@contextmanager
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Takes away the check before the start, so that the stages' own is all there is."""

    def opened(root: Path) -> Bundle:
        manifest = json.loads((root / MANIFEST).read_text("utf-8"))
        return Bundle(root, manifest, GraphSpec.from_dict(manifest["spec"]))

    with monkeypatch.context() as patch:
        patch.setattr(fuserank_ensemble.serving.server, "Bundle", SimpleNamespace(open=opened))
        yield


@pytest.mark.parametrize(
    "name",
    [
        "index/vectors.npy",
        "index/history/counts.npy",
        "index/tokenizer.json",
        "model_repository/encoder/1/model.onnx",
        "model_repository/search/config.pbtxt",
        "model_repository/retrieve/1/model.py",
    ],
)
def test_a_bundle_with_one_changed_byte_is_refused(copied: Path, name: str):
    path = copied / name
    with replaced(path, flipped(path.read_bytes())), pytest.raises(BundleError) as caught:
        Server(copied, endpoints())
    assert str(path) in str(caught.value)
    assert "export the bundle again" in str(caught.value)
    assert_no_traceback(str(caught.value).replace(str(path), ""))


def test_a_bundle_with_a_lost_file_is_refused(copied: Path):
    path = copied / "index" / "items" / "ids.npy"
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(BundleError, match=r"items/ids\.npy: missing"):
            Server(copied, endpoints())
    finally:
        path.write_bytes(content)


def test_a_ranker_from_another_export_is_refused(copied: Path, first_day_root: Path):
    name = "model_repository/ranker/1/model.onnx"
    with replaced(copied / name, (first_day_root / name).read_bytes()), pytest.raises(BundleError) as caught:
        Server(copied, endpoints())
    assert name in str(caught.value)
    assert "one export" in str(caught.value)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path):
    with pytest.raises(BundleError, match="fuserank export bundle"):
        Server(tmp_path, endpoints())


@pytest.mark.parametrize("name", ["index/vectors.npy", "model_repository/ranker/1/model.onnx"])
def test_the_stages_refuse_by_themselves(copied: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """In production Triton is started by its image and not by us: the check must be in the stages."""
    path = copied / name
    with replaced(path, flipped(path.read_bytes())), unchecked(monkeypatch):
        server = Server(copied, endpoints(), without=BESIDE)
        started = time.monotonic()
        try:
            with pytest.raises(ServerError) as caught:
                server.start(timeout=PATIENCE)
        finally:
            server.stop()
    print(f"refused after {time.monotonic() - started:.1f} s")
    assert name in str(caught.value)
    assert "differs from" in str(caught.value)
    assert tritonserver(server.endpoints.grpc) is None


@pytest.mark.parametrize("place", ["http", "grpc", "metrics"])
def test_a_port_in_use_is_named(bundle_root: Path, place: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = dict(zip(("http", "grpc", "metrics"), free_ports(), strict=True)) | {place: port}
        with pytest.raises(ServerError, match=rf"port {port} on 127\.0\.0\.1: .*choose another port"):
            Server(bundle_root, Endpoints("127.0.0.1", **ports))


SERVER = pytest.mark.targets("single_process", reason="the server's own arguments are the same for every target")


@SERVER
def test_the_readiness_url_answers(server: Server):
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/search/ready"):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.endpoints.http}{path}", timeout=PATIENCE) as reply:
            assert reply.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{server.endpoints.metrics}/metrics", timeout=PATIENCE) as reply:
        assert b"nv_inference_request_success" in reply.read()


@pytest.fixture(scope="module")
def ports() -> list[str]:
    """The same for every test: a stopped server must have freed them."""
    return [str(port) for port in free_ports()]


@pytest.mark.parametrize("stop", ["SIGTERM to the command", "Ctrl-C in its terminal"])
def test_fuserank_serve_answers_and_leaves_nothing_behind(
    bundle_root: Path, bundle: Bundle, ports: list[str], stop: str
):
    http, grpc, metrics = ports
    command = [FUSERANK, "serve", str(bundle_root), "--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    command += [word for model in BESIDE for word in ("--without", model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as serving:
        family = []
        try:
            assert serving.stdout is not None
            line = serving.stdout.readline()
            assert f"bundle {bundle.id} ready after" in line, serving.stderr and serving.stderr.read()
            assert f"127.0.0.1:{grpc}" in line
            with Client(f"127.0.0.1:{grpc}", timeout=PATIENCE) as client:
                assert len(client.search("milk")) == 10
            family = psutil.Process(serving.pid).children(recursive=True)
            assert len(family) >= 6  # tritonserver and a stub an instance of each model
        finally:
            if stop.startswith("SIGTERM"):
                serving.terminate()
            else:
                os.killpg(serving.pid, signal.SIGINT)
            try:
                out, err = serving.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(serving.pid, signal.SIGKILL)
                raise
    assert serving.returncode == 0, err
    assert_no_traceback(out + err)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(grpc))) != 0


def test_fuserank_serve_refuses_in_one_line(copied: Path):
    path = copied / "index" / "vectors.npy"
    ports = [str(port) for port in free_ports()]
    command = [FUSERANK, "serve", str(copied), "--http-port", ports[0], "--grpc-port", ports[1]]
    with replaced(path, flipped(path.read_bytes())):
        done = subprocess.run(
            [*command, "--metrics-port", ports[2]], check=False, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "index/vectors.npy" in done.stderr
    assert done.stdout == ""
    assert_no_traceback(done.stderr)


def test_a_server_whose_process_dies_starts_again(bundle_root: Path, ports: list[str]):
    """Triton itself would go on without a stage, call itself ready, and fail every request that comes to it."""
    http, grpc, metrics = ports
    command = [FUSERANK, "serve", str(bundle_root), "--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    command += [word for model in BESIDE for word in ("--without", model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            assert " ready after " in serving.stdout.readline()
            assert serving.stdout.readline()  # where events are kept
            family = []
            for victim in ("search_0_0", "tritonserver"):
                running = psutil.Process(serving.pid).children(recursive=True)
                next(each for each in running if any(Path(word).name == victim for word in each.cmdline())).kill()
                assert " ready after " in serving.stdout.readline()
                family += running
            with Client(f"127.0.0.1:{grpc}", timeout=PATIENCE) as client:
                assert client.search("milk").items
            serving.terminate()
            _, err = serving.communicate(timeout=PATIENCE)
        finally:
            serving.kill()
    assert serving.returncode == 0
    assert "the process of stage search has died, and requests fail; the server starts again" in err
    assert "tritonserver has stopped by itself; the server starts again" in err
    assert_no_traceback(err)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive
