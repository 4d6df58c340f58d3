"""What the chart would run is run: Triton's arguments, the probes, the drain, and `helm test`."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import tritonclient.grpc as grpc_client
from tritonclient.utils import InferenceServerException

from fuserank.client import Client
from support.busy_machine import PATIENCE, wait_until
from support.callers import load
from support.certificates import client_certificate
from support.charts import RELEASE, merged, only, pod, triton, values_of
from support.replica import ADMIN_KEY, Replica, free_endpoints, started

QUICK = {"drain": {"minSeconds": 2, "quietSeconds": 2, "maxSeconds": 60, "exitSeconds": 10}}

TLS = {"tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"}}


def run_helm_test(url: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """The command of the test's pod, with the script of its ConfigMap, against a server here."""
    assert words[:2] == ["python3", "/test/search.py"]
    script = only("ConfigMap", name=f"{RELEASE}-test")["data"]["search.py"]
    command = [sys.executable, "-c", script, url, *words[3:]]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_rendered_arguments_start_a_server_that_answers(replica: Replica):
    with Client(replica.url, timeout=PATIENCE) as client:
        assert len(client.search("tea", k=3)) == 3


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe"])
def test_an_http_probe_is_answered(replica: Replica, name: str):
    assert replica.get(replica.container[name]) == 200


def test_the_liveness_probe_succeeds_and_leaves_its_time_to_the_answer(replica: Replica):
    probe = replica.container["livenessProbe"]
    command = probe["exec"]["command"]
    waits = next(int(word.partition("=")[2]) for word in command if word.startswith("--timeout="))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = replica.execute(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # CPU time, not the clock's: the machine may be busy.
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"liveness probe: {computed:.2f} s of CPU time")
    assert 0 < computed < probe["timeoutSeconds"] - waits


def test_the_bundle_is_verified_before(tiny_bundle: Path, replica: Replica, tmp_path: Path):
    (verify,) = pod()["initContainers"]
    here = {"/bundle": str(tiny_bundle), "--models=/models": f"--models={tmp_path}"}
    done = replica.execute([here.get(word, word) for word in verify["command"]])
    assert done.returncode == 0, done.stderr
    assert "files as exported, fit for single_process" in done.stdout
    assert {link.name for link in tmp_path.iterdir()} == {link.name for link in replica.models.iterdir()}


def test_what_is_not_wanted_is_not_linked(tiny_bundle: Path, replica: Replica, tmp_path: Path):
    (verify,) = pod({"without": ["embed", "rerank"]})["initContainers"]
    here = {"/bundle": str(tiny_bundle), "--models=/models": f"--models={tmp_path}"}
    done = replica.execute([here.get(word, word) for word in verify["command"]])
    assert done.returncode == 0, done.stderr
    assert {link.name for link in tmp_path.iterdir()} == {"search", "encoder", "retrieve", "similar", "suggest"}


def test_only_the_models_of_the_profile_are_loaded(replica: Replica):
    known = {"triton-grpc-protocol-fuserank-admin": ADMIN_KEY}
    with grpc_client.InferenceServerClient(replica.url) as client:
        index = client.get_model_repository_index(headers=known)
    assert {model.name for model in index.models} == {
        "search",
        "encoder",
        "retrieve",
        "similar",
        "suggest",
        "embed",
        "rerank",
    }


def test_helm_test_passes(replica: Replica):
    done = run_helm_test(replica.url, only("Pod", name=f"{RELEASE}-test")["spec"]["containers"][0]["command"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bundle ")


def test_helm_test_fails_where_nobody_answers():
    endpoints = free_endpoints()
    done = run_helm_test(f"127.0.0.1:{endpoints.grpc}", ["python3", "/test/search.py", "url"])
    assert done.returncode == 1
    assert f"no answer from 127.0.0.1:{endpoints.grpc}" in done.stderr


ADMIN_OVER_GRPC = {
    "repository index": lambda client, **more: client.get_model_repository_index(**more),
    "unload": lambda client, **more: client.unload_model("search", **more),
    "statistics": lambda client, **more: client.get_inference_statistics(**more),
    "configuration": lambda client, **more: client.get_model_config("search", **more),
    "shared memory": lambda client, **more: client.get_system_shared_memory_status(**more),
    "trace": lambda client, **more: client.update_trace_settings(settings={"trace_rate": "1"}, **more),
    "log": lambda client, **more: client.update_log_settings({"log_file": "/tmp/fuserank-log"}, **more),
}


@pytest.mark.parametrize(
    "headers", [None, {"triton-grpc-protocol-fuserank-admin": "guess"}, {"fuserank-admin": ADMIN_KEY}]
)
def test_admin_apis_are_closed_over_grpc_without_the_header(replica: Replica, headers: dict[str, str] | None):
    with grpc_client.InferenceServerClient(replica.url) as client:
        for call in ADMIN_OVER_GRPC.values():
            with pytest.raises(InferenceServerException, match=r"restricted|expecting header"):
                call(client, headers=headers)
        known = {"triton-grpc-protocol-fuserank-admin": ADMIN_KEY}
        assert client.get_model_repository_index(headers=known).models
        # Health is no secret.
        assert client.is_model_ready("search")


@pytest.mark.parametrize("key", [None, "guess", f"{ADMIN_KEY}x", ""])
def test_admin_apis_are_closed_over_http_without_the_header(replica: Replica, key: str | None):
    def status(method: str, path: str, headers: dict[str, str]) -> int:
        url = f"http://127.0.0.1:{replica.endpoints.http}/v2/{path}"
        request = urllib.request.Request(url, b"{}" if method == "POST" else None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code

    posted = ("repository/index", "repository/models/search/unload", "trace/setting", "logging")
    read = ("models/search/stats", "models/search/config", "systemsharedmemory/status", "trace/setting", "logging")
    for method, path in [*(("POST", path) for path in posted), *(("GET", path) for path in read)]:
        assert status(method, path, {} if key is None else {"fuserank-admin": key}) == 403, path
    assert status("POST", "repository/index", {"fuserank-admin": ADMIN_KEY}) == 200
    assert status("GET", "health/ready", {}) == 200


def test_a_flag_that_triton_does_not_know_is_found(tiny_bundle: Path, tmp_path: Path):
    container = merged(triton(), {"args": [*triton()["args"], "--no-such-flag=1"]})
    with (
        pytest.raises(AssertionError, match="no-such-flag"),
        started(container, tiny_bundle, free_endpoints(), tmp_path),
    ):
        pass


def answers(url: str, certificate: Path | None = None) -> bool:
    """Whether a server speaks to whoever shows a certificate; without one in plain text."""
    files = {"root_certificates": "ca.crt", "private_key": "tls.key", "certificate_chain": "tls.crt"}
    shown = {name: str(certificate / file) for name, file in files.items()} if certificate else {}
    with grpc_client.InferenceServerClient(url, ssl=certificate is not None, **shown) as client:
        try:
            return bool(client.is_server_live(client_timeout=PATIENCE))
        except InferenceServerException:
            return False


def test_the_fleets_arguments_start_a_server_with_mutual_tls(tiny_bundle: Path, certificates: Path, tmp_path: Path):
    """Everything that the fleet's values add, but for the GPU."""
    values = merged(values_of("fleet"), {"profile": "ensemble_cpu", "gpu": {"count": 0}, "tls": {"certManager": {}}})
    container = triton(values)
    words = only("Pod", values, name=f"{RELEASE}-test")["spec"]["containers"][0]["command"]
    here = [word.replace("/tls", str(certificates)) for word in words]
    with started(container, tiny_bundle, free_endpoints(), tmp_path, tls=certificates) as replica:
        # The probe speaks HTTP, whatever gRPC speaks.
        assert replica.execute(container["livenessProbe"]["exec"]["command"]).returncode == 0
        done = run_helm_test(replica.url, here)
        assert done.returncode == 0, done.stderr
        without = [word for word in here if word != "--mutual"]
        assert run_helm_test(replica.url, without).returncode == 1
        for name, lasts, signed, taken in (
            ("good", timedelta(days=1), True, True),
            ("expired", timedelta(days=-1), True, False),
            ("of another authority", timedelta(days=1), False, False),
        ):
            folder = client_certificate(certificates, tmp_path / name, lasts=lasts, signed=signed)
            assert answers(replica.url, folder) is taken, name
        assert not answers(replica.url)  # in plain text


def test_the_hook_waits_for_the_load_and_nothing_fails(tiny_bundle: Path, tmp_path: Path):
    """As when a pod ends: the hook starts, callers go elsewhere some seconds later, then comes SIGTERM."""
    container = triton(QUICK)
    with started(container, tiny_bundle, free_endpoints(), tmp_path) as replica:
        hook = replica.command(container["lifecycle"]["preStop"]["exec"]["command"])
        with load(replica.url) as found:
            found.wait_for_answers(10)
            started_at = time.monotonic()
            with subprocess.Popen(hook, env=replica.environment, cwd="/", stderr=subprocess.PIPE) as draining:
                # Without requests it would have ended by then.
                time.sleep(5)
                found.wait_for_answers(10)
                assert draining.poll() is None, "the hook ended while requests came"
                found.stop()
                gone = time.monotonic()
                _, errors = draining.communicate(timeout=PATIENCE)
        waited = time.monotonic() - gone
        assert replica.stop() == 0
    print(
        f"{found.answered} answered; hook {gone + waited - started_at:.1f} s, "
        f"of which {waited:.1f} s after the last request"
    )
    assert found.failures == []
    # It would say so had it given up before the requests had ended.
    assert (draining.returncode, errors) == (0, b"")


@pytest.mark.parametrize(("profile", "instance"), [("single_process", "search_0_1"), ("ensemble_cpu", "finalize_0_0")])
def test_a_dead_process_fails_the_liveness_probe_and_no_other(
    tiny_bundle: Path, tmp_path: Path, profile: str, instance: str
):
    container = triton({"profile": profile})
    with started(container, tiny_bundle, free_endpoints(), tmp_path) as replica:
        probe = container["livenessProbe"]["exec"]["command"]
        assert replica.execute(probe).returncode == 0
        stubs = psutil.Process(replica.process.pid).children(recursive=True)
        next(stub for stub in stubs if instance in stub.cmdline()).kill()
        failed: list[subprocess.CompletedProcess[str]] = []

        def fails() -> bool:
            failed.append(replica.execute(probe))
            return failed[-1].returncode == 1

        assert wait_until(fails)
        assert f"{instance.partition('_')[0]}: " in failed[-1].stderr
        assert "processes are alive" in failed[-1].stderr
        assert replica.get(container["readinessProbe"]) == 200
        replica.kill()
