"""How the bundle comes to a replica, and the memory that its stages share."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fuserank_export.cli import app
from support.charts import Manifest, pod, triton

IMAGE = {"bundle": {"source": "image", "path": "demo", "size": "2Gi", "image": {"reference": "registry.example/b:1"}}}
STORAGE = {
    "bundle": {
        "source": "objectStorage",
        "path": "/bundles/today/",
        "objectStorage": {"remote": "store:shop", "secretName": "store"},
    }
}
VERIFY = ["python3", "-m", "fuserank_ensemble.serving.lifecycle.verify", "/bundle"]
CLAIM = {"bundle": {"path": "today", "pvc": {"claimName": "bundles"}}}


TENSORRT = {
    "profile": "ensemble_tensorrt",
    "gpu": {"count": 1, "product": "NVIDIA-L4"},
    "engines": {"build": True, "claimName": "engines"},
}


def volume(name: str, *values: Manifest) -> dict[str, Any]:
    return dict(next(v for v in pod(*values)["volumes"] if v["name"] == name))


def init(name: str, *values: Manifest) -> dict[str, Any]:
    return dict(next(c for c in pod(*values)["initContainers"] if c["name"] == name))


@pytest.mark.parametrize("values", [CLAIM, IMAGE, STORAGE], ids=["claim", "image", "object storage"])
def test_the_bundle_is_verified_and_then_read_only(values: Manifest):
    assert pod(values)["initContainers"][-1]["name"] == "verify"
    verify = init("verify", values)
    assert verify["command"] == [*VERIFY, "--target=single_process", "--models=/models"]
    for container in (verify, triton(values)):
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == "bundle"]
        assert mount["mountPath"] == "/bundle"
        assert mount["readOnly"] is True


def test_a_claim_is_mounted_read_only_at_the_bundles_folder():
    assert volume("bundle", CLAIM)["persistentVolumeClaim"] == {"claimName": "bundles", "readOnly": True}
    (mount,) = [m for m in triton(CLAIM)["volumeMounts"] if m["name"] == "bundle"]
    assert mount["subPath"] == "today"
    assert [c["name"] for c in pod(CLAIM)["initContainers"]] == ["verify"]


def test_an_image_copies_its_folder():
    fetch = init("fetch", IMAGE)
    assert fetch["image"] == "registry.example/b:1"
    assert fetch["command"] == ["cp", "-R", "/demo/.", "/copy"]
    assert volume("bundle", IMAGE)["emptyDir"] == {"sizeLimit": "2Gi"}


def test_object_storage_is_copied_by_rclone():
    fetch = init("fetch", STORAGE)
    assert fetch["args"][0] == "copy"
    assert fetch["args"][-2:] == ["store:shop/bundles/today", "/copy"]
    assert fetch["envFrom"] == [{"secretRef": {"name": "store"}}]


def test_shared_memory_is_memory_of_the_size_asked_for():
    assert volume("shm", {"sharedMemory": "3Gi"})["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in triton()["volumeMounts"]


def test_engines_are_built_on_the_replicas_own_gpu_and_served_read_only():
    assert [c["name"] for c in pod(TENSORRT)["initContainers"]] == ["engines", "verify"]
    builder, (mount,) = (
        init("engines", TENSORRT),
        [m for m in triton(TENSORRT)["volumeMounts"] if m["mountPath"] == "/bundle"],
    )
    assert builder["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert volume("engines", TENSORRT)["persistentVolumeClaim"]["claimName"] == "engines"
    # A bundle of its own for each revision of the release: a roll-back finds the one that it served.
    assert mount == {"name": "engines", "mountPath": "/bundle", "subPath": "bundles/r1", "readOnly": True}
    assert f"--out=/engines/{mount['subPath']}" in builder["command"]
    assert [v["name"] for v in pod()["volumes"]] == ["bundle", "models", "shm", "tmp"]


def test_what_is_verified_is_what_triton_serves_and_on_the_same_gpu():
    verify, server = init("verify", TENSORRT), triton(TENSORRT)
    assert verify["command"] == [*VERIFY, "--target=ensemble_tensorrt", "--models=/models"]
    assert verify["resources"]["limits"]["nvidia.com/gpu"] == server["resources"]["limits"]["nvidia.com/gpu"]
    served = [[m for m in c["volumeMounts"] if m["mountPath"] == "/bundle"] for c in (verify, server)]
    assert served[0] == served[1]
    # Without TensorRT there is nothing that only a GPU could tell.
    cuda = {"profile": "ensemble_cuda", "gpu": {"count": 1}}
    assert "nvidia.com/gpu" not in init("verify", cuda)["resources"]["limits"]


@pytest.mark.parametrize("profile", ["single_process", "ensemble_cpu"])
def test_triton_finds_the_models_of_its_profile_and_no_other(profile: str):
    values = {"profile": profile}
    (links,) = [m for m in init("verify", values)["volumeMounts"] if m["name"] == "models"]
    assert links == {"name": "models", "mountPath": "/models"}
    assert {**links, "readOnly": True} in triton(values)["volumeMounts"]
    assert {"--model-repository=/models", f"--model-config-name={profile}"} <= set(triton(values)["args"])
    assert "emptyDir" in volume("models", values)


def test_engines_that_another_replica_has_built_are_not_built_again(tmp_path: Path):
    shell, option, script, *words = init("engines", TENSORRT)["command"]
    here = script.replace("/engines/", f"{tmp_path}/")
    command = [shell, option, here, words[0], "echo", "builds"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "builds\n"
    (tmp_path / "bundles" / "r1").mkdir(parents=True)
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_the_export_knows_every_option_of_the_builder():
    """Here it can only refuse: for the lack of a bundle, and not for an option."""
    words = init("engines", TENSORRT)["command"][4:]
    assert words[:4] == ["python3", "-m", "fuserank_export", "engines"]
    done = CliRunner().invoke(app, [*words[3:], "--dry-run"])
    assert done.exit_code == 2
    assert "/bundle/manifest.json: not readable" in " ".join(done.output.split())
