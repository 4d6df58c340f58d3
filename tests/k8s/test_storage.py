"""How the bundle comes to a replica, and the memory that its stages share."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
import yaml

from fuserank_export.engines import fleet
from support.chart_values import TENSORRT
from support.charts import CHART, LEAST, NAMESPACE, RELEASE, Manifest, merged, only, pod, triton

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
    builder = init("engines", TENSORRT)
    assert builder["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert volume("engines", TENSORRT)["persistentVolumeClaim"]["claimName"] == "engines"
    assert "--shared=/engines" in builder["args"]
    for container in (init("verify", TENSORRT), triton(TENSORRT)):
        mounts = {m["name"]: m for m in container["volumeMounts"]}
        assert mounts["engines"] == {"name": "engines", "mountPath": "/engines", "readOnly": True}
        assert mounts["served"] == {"name": "served", "mountPath": "/served", "readOnly": True}
    # Who is nobody in an image that cannot be written has no other home.
    assert {"name": "HOME", "value": "/tmp"} in builder["env"]
    assert [v["name"] for v in pod()["volumes"]] == ["bundle", "models", "shm", "tmp"]


def test_what_was_built_is_named_by_the_builder_and_by_no_revision():
    """Under GitOps every revision is the first: another bundle must not find the engines of the one before."""
    again = helm_python.Chart.load(CHART).render(merged(LEAST, TENSORRT), name=RELEASE, namespace=NAMESPACE, revision=7)
    (text,) = [text for name, text in again.items() if name.endswith("/deployment.yaml")]
    assert yaml.safe_load(text) == only("Deployment", TENSORRT)


def test_what_is_verified_is_what_triton_serves_and_on_the_same_gpu():
    verify, server = init("verify", TENSORRT), triton(TENSORRT)
    assert verify["command"] == [*VERIFY[:-1], "/served/bundle", "--target=ensemble_tensorrt", "--models=/models"]
    assert verify["resources"]["limits"]["nvidia.com/gpu"] == server["resources"]["limits"]["nvidia.com/gpu"]
    served = [[m for m in c["volumeMounts"] if m["name"] in ("served", "engines")] for c in (verify, server)]
    assert served[0] == served[1]
    assert len(served[0]) == 2
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


def test_the_builder_knows_every_option():
    """Here it can only refuse: for the lack of TensorRT, and not for an option."""
    python, _, module, *words = init("engines", TENSORRT)["args"]
    assert (python, module) == ("python3", fleet.__name__)
    with pytest.raises(SystemExit) as ended:
        fleet.main([*words, "--no-such-option"])
    assert ended.value.code == 2
    (link,) = [word.partition("=")[2] for word in words if word.startswith("--link=")]
    assert init("verify", TENSORRT)["command"][3] == link


@pytest.mark.parametrize("seconds", [60, 9000])
def test_a_rollout_is_given_the_time_of_a_build(seconds: int):
    within = [
        only("Deployment", values)["spec"]["progressDeadlineSeconds"]
        for values in (TENSORRT, {**TENSORRT, "engines": {**TENSORRT["engines"], "buildSeconds": seconds}}, {})
    ]
    assert within[1] - within[2] == seconds
    assert within[0] - within[2] == 3600
