"""What a replica does beside serving, without a server; with one: `tests/k8s/test_rendered_commands.py`."""

from __future__ import annotations

import http.server
import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fuserank_ensemble.serving.engines import EngineKey, Machine
from fuserank_ensemble.serving.lifecycle import drain, probe, verify
from fuserank_ensemble.serving.lifecycle.drain import Traffic, drained
from support.manifests import write_manifest

METRICS = """
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="search",version="1"} 7
nv_inference_request_success{model="retrieve",version="1"} 9
nv_inference_request_success{model="suggest",version="1"} 2
nv_inference_request_failure{model="search",reason="REJECTED",version="1"} 1
nv_inference_pending_request_count{model="encoder",version="1"} 3
"""


@contextmanager
def replying(status: int) -> Iterator[int]:
    """A server that answers every POST with one status; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"what it says")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, True), (500, False), (400, False)])
def test_an_answer_and_a_refusal_for_load_are_signs_of_life(status: int, alive: bool):
    with replying(status) as port:
        found = probe.failure(port, 5)
    assert (found is None) is alive
    assert alive or found == f"status {status}: what it says"


def test_nobody_there_is_no_sign_of_life():
    with replying(200) as port:
        pass
    assert "no answer within 5 s" in (probe.failure(port, 5) or "")


@pytest.mark.parametrize(
    ("alive", "problem"),
    [
        (("search", "search", "retrieve"), None),
        (("search", "retrieve"), "search: 1 of 2 processes are alive"),
        (("search", "search"), "retrieve: 0 of 1 processes are alive"),
        (("search", "stopped search", "retrieve"), "search: 1 of 2 processes are alive"),
    ],
)
def test_a_model_that_lacks_one_of_its_processes_is_named(tmp_path: Path, alive: tuple[str, ...], problem: str | None):
    models, processes = tmp_path / "models", tmp_path / "proc"
    group = "instance_group {\n  kind: KIND_CPU\n  count: %d\n}\n"
    configs = {
        "search/configs/single_process.pbtxt": 'backend: "python"\n' + group % 2,
        "search/config.pbtxt": 'platform: "ensemble"\n',
        "retrieve/config.pbtxt": 'backend: "python"\n' + group % 1,  # the default holds for every target
        "encoder/config.pbtxt": 'backend: "onnxruntime"\n' + group % 1,  # no process of its own in production
    }
    for name, text in configs.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(text)
    for number, described in enumerate((*alive, "search")):
        # The last is another server's.
        folder = models if number < len(alive) else tmp_path / "other"
        (processes / str(number)).mkdir(parents=True)
        state, _, model = described.rpartition(" ")
        (processes / str(number) / "stat").write_text(f"7 (python) (x)) {'T' if state else 'S'} 1")
        words = ["triton_python_backend_stub", str(folder / model / "1" / "model.py"), f"{model}_0_0"]
        (processes / str(number) / "cmdline").write_text("\0".join(words))
    assert probe.dead_model(models, "single_process", processes) == problem


def test_traffic_counts_callers_requests_and_all_that_wait():
    assert Traffic.parsed(METRICS) == Traffic(requests=10, pending=3)
    with pytest.raises(ValueError, match="nv_inference_request_success: not among"):
        Traffic.parsed("nv_cpu_utilization 0")


def waited(counts: list[Traffic], monkeypatch: pytest.MonkeyPatch) -> tuple[bool, float]:
    """Drains with a clock of a tick a look, by the last count for ever; returns the outcome and the ticks."""
    ticks = itertools.count()
    now = [0.0]

    def clock() -> float:
        now[0] = float(next(ticks))
        return now[0]

    monkeypatch.setattr(drain.time, "sleep", lambda seconds: None)
    traffic = itertools.chain(counts, itertools.repeat(counts[-1]))
    return drained(lambda: next(traffic), least=5, quiet=3, most=20, clock=clock), now[0]


def test_an_idle_server_waits_the_least(monkeypatch: pytest.MonkeyPatch):
    assert waited([Traffic(4, 0)], monkeypatch) == (True, 5)


def test_it_waits_until_requests_have_stopped_for_a_while(monkeypatch: pytest.MonkeyPatch):
    quiet, ticks = waited([Traffic(n, 0) for n in range(10)], monkeypatch)
    assert quiet
    assert ticks == 9 + 3


def test_requests_that_wait_are_waited_for(monkeypatch: pytest.MonkeyPatch):
    quiet, ticks = waited([Traffic(4, 2)] * 11 + [Traffic(4, 0)], monkeypatch)
    assert quiet
    assert ticks == 10 + 3


def test_endless_traffic_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch):
    quiet, ticks = waited([Traffic(n, 0) for n in range(100)], monkeypatch)
    assert not quiet
    assert ticks == 20


def test_a_bundle_as_exported_is_fit_for_a_target(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]):
    assert verify.main([str(tiny_bundle), "--target", "ensemble_cpu"]) is None
    assert capsys.readouterr().out.endswith("files as exported, fit for ensemble_cpu\n")


def test_verifying_links_the_models_of_the_target_and_no_other(tiny_bundle: Path, tmp_path: Path):
    models = tmp_path / "models"
    # Twice, as where a container starts again beside a volume that is kept.
    for target in ("ensemble_cpu", "single_process"):
        assert verify.main([str(tiny_bundle), "--target", target, "--models", str(models)]) is None
    assert {link.name for link in models.iterdir()} == {
        "search",
        "encoder",
        "retrieve",
        "similar",
        "suggest",
        "embed",
        "rerank",
    }
    served = tiny_bundle.resolve() / "model_repository"
    assert (models / "encoder").resolve() == served / "encoder"
    for link in (models / "search").rglob("*"):
        assert link.is_dir() or link.resolve() == served / link.relative_to(models)
    assert (models / "search" / "1" / "model.py").is_symlink()


def test_where_a_state_is_kept_the_models_that_change_it_are_linked_too(tiny_bundle: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("FUSERANK_STATE", f"sqlite:{tmp_path / 'log.sqlite'}")
    models = tmp_path / "models"
    assert verify.main([str(tiny_bundle), "--target", "single_process", "--models", str(models)]) is None
    assert {link.name for link in models.iterdir()} >= {"search", "record", "profile"}
    monkeypatch.setenv("FUSERANK_STATE", "nowhere")
    assert "error: --state (FUSERANK_STATE): found 'nowhere'" in str(
        verify.main([str(tiny_bundle), "--target", "single_process"])
    )


def test_a_changed_bundle_is_refused_in_one_line(tiny_bundle: Path, tmp_path: Path):
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    path = copy / "index" / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    message = verify.main([str(copy), "--target", "single_process"]) or ""
    assert message.startswith("error: ")
    assert "index/vectors.npy" in message
    assert "\n" not in message


def test_engines_of_another_gpu_are_refused_before_triton_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = EngineKey("9.0", "10.13.2", "ab" * 32, "cd" * 32)
    write_manifest(tmp_path, engines={"tensorrt": {"keys": {"encoder": key.to_dict()}}})
    command = [str(tmp_path), "--target", "ensemble_tensorrt"]
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: Machine("8.9", "10.13.2")))
    message = verify.main(command) or ""
    assert "encoder/1/model.plan: was built for GPU of compute capability 9.0, found 8.9" in message
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: Machine("9.0", "10.13.2")))
    assert verify.main(command) is None


def test_verifying_wants_a_target_that_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        verify.main([str(tmp_path)])
    assert "--target" in capsys.readouterr().err
    assert "target embedded: was renamed to single_process" in (
        verify.main([str(tmp_path), "--target", "embedded"]) or ""
    )
