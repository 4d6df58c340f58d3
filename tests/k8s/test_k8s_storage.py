"""How the bundle comes to a replica, and the memory that its stages share."""

from __future__ import annotations

from typing import Any

import pytest
from charts import Manifest, pod, triton

IMAGE = {"bundle": {"source": "image", "path": "demo", "size": "2Gi", "image": {"reference": "registry.example/b:1"}}}
STORAGE = {
    "bundle": {
        "source": "objectStorage",
        "path": "/bundles/today/",
        "objectStorage": {"remote": "store:shop", "secretName": "store"},
    }
}
CLAIM = {"bundle": {"path": "today", "pvc": {"claimName": "bundles"}}}


def volume(name: str, *values: Manifest) -> dict[str, Any]:
    return dict(next(v for v in pod(*values)["volumes"] if v["name"] == name))


def init(name: str, *values: Manifest) -> dict[str, Any]:
    return dict(next(c for c in pod(*values)["initContainers"] if c["name"] == name))


@pytest.mark.parametrize("values", [CLAIM, IMAGE, STORAGE], ids=["claim", "image", "object storage"])
def test_the_bundle_is_verified_and_then_read_only(values: Manifest):
    assert pod(values)["initContainers"][-1]["name"] == "verify"
    verify = init("verify", values)
    assert verify["command"] == ["python3", "-m", "ensemble.lifecycle.verify", "/bundle"]
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
