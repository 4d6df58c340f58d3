"""The job that makes the next bundle, and how replicas go to it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from fuserank.client import Client
from fuserank_benchmarks.refreshing import write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.switch import fleet
from fuserank_ensemble.serving.switch.folder import FOLDER, BundlePlace, SwitchFolder
from fuserank_export.cli import app
from support.busy_machine import PATIENCE, wait_until
from support.charts import LEAST, Manifest, kinds, merged, only, pod, refusal, triton
from support.replica import free_endpoints, started

REFRESH: Manifest = {
    "refresh": {"enabled": True},
    "bundle": {"path": "shop", "pvc": {"claimName": "bundles", "accessMode": "ReadWriteMany"}},
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}, "keySecretName": "people"},
}


def job(*values: Manifest) -> dict[str, Any]:
    return dict(only("CronJob", REFRESH, *values, name="shop-refresh")["spec"])


def job_container(*values: Manifest) -> dict[str, Any]:
    (found,) = job(*values)["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def containers() -> dict[str, dict[str, Any]]:
    spec = pod(REFRESH)
    return {each["name"]: each for each in [*spec["initContainers"], *spec["containers"]]}


def test_there_is_none_unless_it_is_asked_for():
    assert "CronJob" not in kinds()
    assert {mount["mountPath"] for mount in triton()["volumeMounts"]} == {"/bundle", "/models", "/dev/shm", "/tmp"}
    assert "shareProcessNamespace" not in pod()


def test_one_at_a_time_on_its_schedule_and_what_is_refused_is_not_tried_again():
    spec = job({"refresh": {"schedule": "30 2 * * 1", "deadlineSeconds": 600}})
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("30 2 * * 1", "Forbid")
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 600


def run_job(folder: Path, code: int, *values: Manifest) -> tuple[int, list[list[str]]]:
    """Runs the job's command with a Python that writes down how it is called, and ends the export with a code."""
    python = folder / "python3"
    calls = folder / "calls"
    python.write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncase "$2" in fuserank_export) exit {code};; esac\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "FUSERANK_STATE": "redis://redis:6379/0?name=a b",
        "FUSERANK_STATE_KEY_FILE": "/state-key/key",
    }
    done = subprocess.run(job_container(*values)["command"], env=environment, check=False, timeout=60)
    return done.returncode, [line.split() for line in calls.read_text().splitlines()]


def test_the_next_bundle_is_made_beside_the_served_one_and_promoted(tmp_path: Path):
    code, (refresh, promote) = run_job(tmp_path, 0)
    assert code == 0
    (out,) = (word.partition("=")[2] for word in refresh if word.startswith("--out="))
    assert Path(out).parent == Path("/bundles")
    assert Path(out).name.startswith(fleet.REFRESHED)
    assert refresh[:4] == ["-m", "fuserank_export", "refresh", "--bundle=/bundles/shop"]
    assert "--state-key-file=/state-key/key" in refresh
    # Its address may hold a password.
    assert not any("redis://" in word for word in refresh)
    command = typer.main.get_command(app).commands["refresh"]  # type: ignore[attr-defined]  # a group's
    assert next(each.envvar for each in command.params if each.name == "state") == "FUSERANK_STATE"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in refresh if word.startswith("--")} <= known
    assert promote == ["-m", fleet.__name__, "promote", out, "--bundle=/bundles/shop", "--keep=2"]


@pytest.mark.parametrize(("profile", "kept"), [("single_process", False), ("ensemble_cpu", True)])
def test_the_ranker_stays_where_triton_holds_its_engines(tmp_path: Path, profile: str, kept: bool):
    _, (refresh, promote) = run_job(tmp_path, 0, {"profile": profile})
    assert ("--keep-ranker" in refresh) == kept
    assert promote[-1] == "--keep=2"


@pytest.mark.parametrize(("code", "ends"), [(3, 0), (1, 1), (2, 2)])
def test_where_nothing_happened_or_the_bundle_is_worse_nothing_is_promoted(tmp_path: Path, code: int, ends: int):
    assert run_job(tmp_path, code)[0] == ends
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_the_job_writes_the_claim_that_the_replicas_read_and_no_replica_is_its():
    template = job()["jobTemplate"]["spec"]["template"]
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    assert volumes["bundle"]["persistentVolumeClaim"] == {"claimName": "bundles"}
    assert {"name": "bundle", "mountPath": "/bundles"} in job_container()["volumeMounts"]
    for name in ("triton", "verify"):
        assert {"name": "bundle", "mountPath": "/bundles", "readOnly": True} in containers()[name]["volumeMounts"]
    for name in ("shop", "shop-headless"):
        assert not only("Service", name=name)["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    image = {"image": {"repository": "registry.example/fuserank"}}
    assert job_container(image)["image"].startswith("registry.example/fuserank-engines:")


def test_what_follows_sees_the_processes_the_state_and_the_folder_that_was_made():
    of, spec = containers(), pod(REFRESH)
    assert spec["shareProcessNamespace"] is True
    command = of["switch"]["command"]
    assert command[:4] == ["python3", "-m", fleet.__name__, "follow"]
    (switch,) = (word for word in command if word.startswith("--switch="))
    assert switch in of["verify"]["command"]
    assert {"name": FOLDER, "value": switch.partition("=")[2]} in of["triton"]["env"]
    assert "--bundle=/bundles/shop" in command
    assert of["verify"]["command"][3] == "/bundles/shop"
    for container in (of["verify"], of["triton"], of["switch"]):
        assert "/switch" in {mount["mountPath"] for mount in container["volumeMounts"]}
    shared = {each["name"] for each in of["triton"]["env"]} & {each["name"] for each in of["switch"]["env"]}
    assert {"FUSERANK_STATE", "FUSERANK_STATE_KEY_FILE"} <= shared
    assert "/state-key" in {mount["mountPath"] for mount in of["switch"]["volumeMounts"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"bundle": {"source": "image", "image": {"reference": "b:1"}}},
            "bundle.source: image, and refresh.enabled is",
        ),
        ({"bundle": {"path": ""}}, "bundle.path: empty, and refresh.enabled is true"),
        (
            {"bundle": {"pvc": {"accessMode": "ReadOnlyMany"}}},
            "bundle.pvc.accessMode: ReadOnlyMany, and refresh.enabled",
        ),
        ({"state": {"kind": "none", "keySecretName": ""}}, "state.kind: none, and refresh.enabled is true"),
        (
            {"profile": "ensemble_tensorrt", "gpu": {"count": 1}},
            "refresh.enabled: true, and profile ensemble_tensorrt serves engines that were built for one bundle",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(values: Manifest, words: str):
    assert words in refusal(merged(LEAST, REFRESH, values))


def test_a_replica_follows_what_is_promoted_and_goes_back(tiny_bundle: Path, tmp_path: Path):
    """The rendered container that follows, beside a real Triton; its paths and ports are those of here."""
    # A server writes compiled modules beside the bundle's: other tests have this one, too.
    first, second = (write_twin(tiny_bundle, tmp_path / f"refreshed-{name}", name) for name in "ab")
    shop = tmp_path / "shop"
    shop.symlink_to(first)
    folder = SwitchFolder(tmp_path / "own" / "8001")
    served = Bundle.open(first, verify=())
    folder.create(BundlePlace(served.id, str(served.root)))

    def run(command: str, *words: object) -> None:
        assert fleet.main([command, *map(str, words), f"--bundle={shop}"]) is None

    switched = {FOLDER: str(folder.path)}
    with started(triton(), first, free_endpoints(), tmp_path, extra=switched) as replica:
        paths = {"--bundle=/bundles/shop": f"--bundle={shop}"}
        words = [paths.get(word, word) for word in replica.command(containers()["switch"]["command"])]
        words = [f"--switch={folder.path}" if word.startswith("--switch=") else word for word in words]
        with subprocess.Popen(words) as following, Client(replica.url, timeout=PATIENCE) as client:
            try:
                run("promote", second)
                new = Bundle.open(second, verify=()).id
                assert wait_until(lambda: client.search("tea").status.bundle == new)
                assert client.search("tea")[0].id.startswith("b")
                run("rollback")
                assert wait_until(lambda: client.search("tea").status.bundle == served.id)
                following.terminate()
                assert following.wait(PATIENCE) == 0
            finally:
                following.kill()
