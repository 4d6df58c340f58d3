"""Whatever the chart renders is what Kubernetes and its extensions take, for every set of values and single toggle."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import pytest

from support.chart_values import AUTHORITY, BASES, GATEWAY, INGRESS, MUTUAL, SETTINGS, TLS
from support.charts import CHART, VALUES, Manifest, kinds, manifests, merged, values_of

RELEASES = ("1.31", "1.33", "1.35", "1.37")
SCHEMAS = Path(__file__).parent / "schemas"
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "cert-manager.io/", "gateway.networking.k8s.io/")
TOGGLES: dict[str, Manifest] = {
    "nothing more": {},
    "bundle from an image": {"bundle": {"source": "image", "image": {"reference": "registry.example/bundle:1"}}},
    "bundle from object storage": {"bundle": {"source": "objectStorage", "objectStorage": {"remote": "s3:shop"}}},
    "an ensemble on a CPU": {"profile": "ensemble_cpu"},
    "a GPU": {"profile": "ensemble_cuda", "gpu": {"count": 1}},
    "TensorRT on a MIG slice": {
        "profile": "ensemble_tensorrt",
        "gpu": {"count": 1, "resource": "nvidia.com/mig-1g.10gb"},
    },
    "TensorRT engines built": {
        "profile": "ensemble_tensorrt",
        "gpu": {"count": 1, "product": "NVIDIA-L4"},
        "engines": {"build": True, "claimName": "engines"},
    },
    "HPA": {"autoscaling": {"kind": "hpa"}},
    "KEDA": {"autoscaling": {"kind": "keda"}},
    "a GPU by a claim": {"profile": "ensemble_tensorrt", "gpu": {"claimTemplateName": "l4"}},
    "ingress": INGRESS,
    "ingress with mutual TLS": merged(INGRESS, MUTUAL, {"route": {"ingress": {"proxySecretName": "proxy"}}}),
    "GRPCRoute": GATEWAY,
    "GRPCRoute with TLS": merged(GATEWAY, TLS, AUTHORITY),
    "settings of the pods": SETTINGS,
    "TLS": {"tls": {"enabled": True, "secretName": "cert"}},
    "mutual TLS": {"tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"}},
    "cert-manager": {
        "tls": {"enabled": True, "secretName": "cert", "certManager": {"enabled": True, "issuerName": "ca"}}
    },
    "tracing": {"tracing": {"enabled": True}},
    "Milvus": {"milvus": {"uri": "http://milvus:19530", "secretName": "milvus"}},
    "monitoring": {"monitoring": {"podMonitor": True, "rules": True, "dashboard": True}},
    "anti-affinity required": {"scheduling": {"antiAffinity": "required", "priorityClassName": "high"}},
    "anti-affinity off": {"scheduling": {"antiAffinity": "none", "topologyKey": ""}},
    "clients of other namespaces": {"networkPolicy": {"clients": [{"namespaceSelector": {}}]}},
    "no policy, no budget": {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "a state in Redis": {"state": {"kind": "redis", "redis": {"secretName": "redis"}, "keySecretName": "people"}},
    "a state in SQLite": {"state": {"kind": "sqlite", "sqlite": {"claimName": "log"}}, "rollout": {"maxSurge": 0}},
    "events from Kafka": {
        "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
        "monitoring": {"podMonitor": True},
        "tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"},
        "ingest": {
            "enabled": True,
            "bootstrapServers": "kafka:9092",
            "topics": {"shop.events": "events"},
            "deadLetterTopic": "dead",
            "secretName": "kafka",
            "tlsSecretName": "kafka-ca",
        },
    },
    "the next bundle every night": {
        "refresh": {"enabled": True},
        "bundle": {"path": "shop", "pvc": {"accessMode": "ReadWriteMany"}},
        "state": {"kind": "redis", "redis": {"secretName": "redis"}, "keySecretName": "people"},
    },
    "no connection age": {"grpc": {"maxConnectionAgeSeconds": 0}},
    **BASES,
}


@cache
def custom_schema(kind: str, version: str) -> dict[str, Any]:
    """A custom resource's published schema, closed: the API server drops what it does not know, a test must not."""
    return _closed(json.loads((SCHEMAS / f"{kind.lower()}_{version}.json").read_text("utf-8")))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _closed(value) for key, value in schema.items()}
    if isinstance(out.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


def check(manifest: Manifest) -> None:
    """One object, for every release."""
    _check(json.dumps(manifest, sort_keys=True))


@cache
def _check(text: str) -> None:
    """Once an object: most are the same for many values."""
    # jsonschema builds dozens of parsers at its import, seconds of every process that collects the tests.
    import jsonschema
    import kubernetes_validate

    manifest = json.loads(text)
    version, kind = manifest["apiVersion"], manifest["kind"]
    if version.startswith(CUSTOM):
        metadata = {"apiVersion": {}, "kind": {}, "metadata": {}}
        schema = custom_schema(kind, version.rpartition("/")[2])
        jsonschema.validate(manifest, {**schema, "properties": {**schema["properties"], **metadata}})
        return
    for release in RELEASES:
        kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_a_set_of_values_renders_what_kubernetes_takes(name: str):
    for manifest in manifests(values_of(name)):
        check(manifest)


@pytest.mark.parametrize("name", TOGGLES)
def test_a_toggle_renders_what_kubernetes_takes(name: str):
    for manifest in manifests(TOGGLES[name]):
        check(manifest)


def test_every_custom_resource_is_among_the_toggles():
    rendered = set().union(*(kinds(values) for values in TOGGLES.values()))
    custom = {path.stem.partition("_")[0] for path in SCHEMAS.glob("*.json")}
    assert custom <= {kind.lower() for kind in rendered}


@pytest.mark.parametrize("field", ["replica", "scaleTargetReff"])
def test_a_field_that_no_release_knows_is_found(field: str):
    from jsonschema import ValidationError
    from kubernetes_validate import ValidationError as ReleaseError

    deployment, scaled = (
        next(m for m in manifests(TOGGLES["KEDA"]) if m["kind"] == kind) for kind in ("Deployment", "ScaledObject")
    )
    for manifest in (deployment, scaled):
        manifest["spec"][field] = 1
        with pytest.raises((ReleaseError, ValidationError), match=field):
            check(manifest)


@pytest.mark.parametrize("name", VALUES)
def test_lint_is_clean(name: str):
    report = helm_python.lint(CHART, values_of(name), strict=True)
    # A chart without an icon is a matter of taste, which lint calls information.
    assert not report["errors"]
    assert [m for m in report["messages"] if m["severity"] > 1] == []
