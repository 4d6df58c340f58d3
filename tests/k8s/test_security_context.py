"""No container of the release may do what it need not, and none has a way into the Kubernetes API."""

from __future__ import annotations

from typing import Any

import pytest

from support.charts import VALUES, Manifest, manifests, only, values_of

INGEST = {
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
    "ingest": {"enabled": True, "bootstrapServers": "k:9092", "topics": {"t": "events"}, "deadLetterTopic": "dead"},
}
REFRESH = {
    "refresh": {"enabled": True},
    "bundle": {"path": "shop", "pvc": {"accessMode": "ReadWriteMany"}},
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
}
OBJECT_STORAGE = {"bundle": {"source": "objectStorage", "objectStorage": {"remote": "s3:shop"}}}


def pods(*values: Manifest) -> list[Manifest]:
    """The specs of all pods, that of `helm test` too."""
    found: list[Manifest] = []
    for each in manifests(*values):
        if each["kind"] == "Deployment":
            found.append(each["spec"]["template"]["spec"])
        elif each["kind"] == "CronJob":
            found.append(each["spec"]["jobTemplate"]["spec"]["template"]["spec"])
        elif each["kind"] == "Pod":
            found.append(each["spec"])
    return found


def containers(*values: Manifest) -> list[dict[str, Any]]:
    return [c for spec in pods(*values) for c in [*spec.get("initContainers", []), *spec["containers"]]]


def test_a_seccomp_profile_of_the_nodes_takes_the_place_of_the_runtimes_own():
    own = {"seccompProfile": "fuserank/fuserank.json"}
    for spec in pods(own):
        expected = {"type": "Localhost", "localhostProfile": "fuserank/fuserank.json"}
        assert spec["securityContext"]["seccompProfile"] == expected
    for refused in ("../fuserank.json", "/etc/fuserank.json", "fuserank"):
        with pytest.raises(ValueError, match="seccompProfile"):
            pods({"seccompProfile": refused})


@pytest.mark.parametrize(
    ("values", "count"),
    [*((values_of(name), 2) for name in VALUES), (OBJECT_STORAGE, 2), (INGEST, 3), (REFRESH, 3)],
    ids=[*VALUES, "object storage", "ingest", "refresh"],
)
def test_every_container_is_locked_down_and_admitted_by_a_quota(values: Manifest, count: int):
    specs, found = pods(values), containers(values)
    assert len(specs) == count
    assert len(found) >= 3
    for spec in specs:
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
    for container in found:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for side in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][side])


def test_the_service_account_has_no_token():
    assert only("ServiceAccount")["automountServiceAccountToken"] is False


def test_admin_apis_answer_only_to_the_header_of_the_secret():
    container = next(c for c in containers() if c["name"] == "triton")
    key = next(e for e in container["env"] if e["name"] == "ADMIN_KEY")
    secret = key["valueFrom"]["secretKeyRef"]
    restricted = [word for word in container["args"] if "-restricted-" in word]
    assert len(restricted) == 2
    for word in restricted:
        assert word.endswith(":fuserank-admin=$(ADMIN_KEY)")
        assert {"model-repository", "shared-memory"} <= set(word.partition("=")[2].partition(":")[0].split(","))
    assert "key" in only("Secret", name=secret["name"])["data"]


def test_a_secret_of_ones_own_is_taken():
    values = {"admin": {"secretName": "mine"}}
    assert [m for m in manifests(values) if m["kind"] == "Secret"] == []
    key = next(e for c in containers(values) for e in c.get("env", []) if e["name"] == "ADMIN_KEY")
    assert key["valueFrom"]["secretKeyRef"]["name"] == "mine"


def test_two_installations_have_keys_of_their_own():
    keys = [m["data"]["key"] for _ in range(2) for m in manifests(again=True) if m["kind"] == "Secret"]
    assert len({*keys}) == len(keys) == 2
