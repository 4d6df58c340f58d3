"""Values that cannot work are refused when the chart is rendered, in words that name the value and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.charts import CHART, Manifest, merged, refusal

GPU = {"profile": "ensemble_cuda", "gpu": {"count": 1}}
TENSORRT = {
    "profile": "ensemble_tensorrt",
    "gpu": {"count": 1, "product": "NVIDIA-L4"},
    "engines": {"build": True, "claimName": "engines"},
}
INGEST = {
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
    "ingest": {"enabled": True, "bootstrapServers": "k:9092", "topics": {"t": "events"}, "deadLetterTopic": "dead"},
}
# What a schema can see: the message names the place and what is allowed there.
SHAPE: list[tuple[Manifest, list[str]]] = [
    ({"profile": 1}, ["profile", "string"]),
    ({"without": ["search"]}, ["without", "similar", "rerank"]),
    ({"replicas": "two"}, ["replicas", "string", "integer"]),
    ({"replicas": 0}, ["replicas", "minimum", "1"]),
    ({"replica": 2}, ["replica", "not allowed"]),
    ({"bundle": {"pvc": {"claim": "b"}}}, ["bundle", "pvc", "claim", "not allowed"]),
    ({"bundle": {"source": "s3"}}, ["bundle", "source", "objectStorage"]),
    ({"gpu": {"count": 1, "resource": "nvidia.com/mig-c.3g.20gb"}}, ["gpu", "resource", "mig-c.3g.20gb"]),
    ({"gpu": {"count": 1, "resource": "amd.com/gpu"}}, ["gpu", "resource", "amd.com/gpu"]),
    ({"resources": {"triton": {"limits": {"memory": "lots"}}}}, ["resources", "memory", "lots"]),
    ({"autoscaling": {"kind": "vpa"}}, ["autoscaling", "kind", "keda"]),
    ({"autoscaling": {"models": ["query"]}}, ["autoscaling", "models", "encoder"]),
    ({"tracing": {"endpoint": "otel:4317"}}, ["tracing", "endpoint", "otel:4317"]),
    ({"engines": {"precision": "int8"}}, ["engines", "precision", "fp16"]),
    ({"image": {"digest": "latest"}}, ["image", "digest", "latest"]),
    ({"monitoring": {"latencySeconds": 0.3}}, ["monitoring", "latencySeconds", "0.25"]),
    ({"state": {"featureShare": 2}}, ["state", "featureShare", "maximum", "1"]),
    ({"networkPolicy": {"clients": "all"}}, ["networkPolicy", "clients", "string", "array"]),
]
# What only the chart can see: settings that are each right and cannot work together.
TOGETHER: list[tuple[Manifest, str]] = [
    ({"profile": "cpu"}, "profile: cpu was renamed to ensemble_cpu; on a CPU, single_process is the default"),
    ({"profile": "cuda"}, "profile: cuda was renamed to ensemble_cuda"),
    ({"profile": "tensorrt"}, "profile: tensorrt was renamed to ensemble_tensorrt"),
    (
        {"profile": "gpu"},
        'profile: found "gpu"; set it to one of single_process, ensemble_cpu, ensemble_cuda, ensemble_tensorrt',
    ),
    (
        {"autoscaling": {"models": ["ranker"]}},
        "autoscaling.models: ranker is no model of its own under profile single_process; requests wait before search",
    ),
    (
        {"profile": "ensemble_cpu", "autoscaling": {"models": ["search"]}},
        "autoscaling.models: search never waits under profile ensemble_cpu; requests wait before its stages",
    ),
    (
        merged(TENSORRT, {"bundle": {"trustedKey": "keys"}}),
        "engines.build: true, and bundle.trustedKey is set; a replica cannot sign what it builds",
    ),
    (
        {"bundle": {"trustedKey": "keys"}, "refresh": {"enabled": True}},
        "refresh.signingKeySecretName: empty, and bundle.trustedKey is set; no replica would go to what the job makes",
    ),
    (
        {"refresh": {"signingKeySecretName": "signing"}},
        "bundle.trustedKey: empty, and refresh.signingKeySecretName is set; nobody would look at the signature",
    ),
    (
        merged(INGEST, {"without": ["record"]}),
        "without: names record, and ingest.enabled is true; the reader of Kafka calls it",
    ),
    (
        {"profile": "ensemble_cuda"},
        "profile: ensemble_cuda runs on a GPU and gpu.count is 0; set gpu.count to 1, or profile to single_process",
    ),
    (
        {"profile": "ensemble_tensorrt"},
        "profile: ensemble_tensorrt runs on a GPU and gpu.count is 0; set gpu.count to 1",
    ),
    (
        {"gpu": {"count": 2}},
        "gpu.count: 2 GPUs would lie idle under profile single_process; set profile to ensemble_cuda or",
    ),
    (
        {"autoscaling": {"kind": "hpa", "minReplicas": 9}},
        "autoscaling.minReplicas: 9 is more than autoscaling.maxReplicas, 8; raise the one or lower the other",
    ),
    (
        {"autoscaling": {"kind": "keda", "maxReplicas": 3}},
        "autoscaling.keda.fallbackReplicas: 4 is more than autoscaling.maxReplicas, 3; lower it",
    ),
    ({"bundle": {"pvc": {"claimName": ""}}}, "bundle.pvc.claimName: empty; name a PersistentVolumeClaim"),
    (
        {"replicas": 2, "bundle": {"pvc": {"accessMode": "ReadWriteOnce"}}},
        "bundle.pvc.accessMode: ReadWriteOnce cannot be shared by 2 replicas; use a claim that is ReadOnlyMany",
    ),
    (
        {"autoscaling": {"kind": "hpa"}, "bundle": {"pvc": {"accessMode": "ReadWriteOncePod"}}},
        "bundle.pvc.accessMode: ReadWriteOncePod cannot be shared by 8 replicas",
    ),
    ({"bundle": {"source": "image"}}, "bundle.image.reference: empty; name an OCI image that holds a bundle"),
    ({"bundle": {"source": "objectStorage"}}, "bundle.objectStorage.remote: empty; name the bucket as rclone does"),
    (
        {"engines": {"build": True}},
        "engines.build: true, and profile single_process runs no TensorRT engines; set profile to ensemble_tensorrt",
    ),
    (merged(TENSORRT, {"engines": {"claimName": ""}}), "engines.claimName: empty, and engines.build is true; name a"),
    (merged(TENSORRT, {"gpu": {"product": ""}}), "gpu.product: empty, and engines.build is true; engines fit one"),
    (
        merged(TENSORRT, {"replicas": 3, "engines": {"accessMode": "ReadWriteOnce"}}),
        "engines.accessMode: ReadWriteOnce cannot be filled and shared by 3 replicas; use a claim that is",
    ),
    ({"tls": {"enabled": True}}, "tls.secretName: empty, and tls.enabled is true; name a Secret"),
    ({"tls": {"mutual": True}}, "tls.mutual: true, and tls.enabled is false; set tls.enabled to true"),
    (
        {"tls": {"enabled": True, "mutual": True, "secretName": "cert"}},
        "tls.clientSecretName: empty, and tls.mutual is true; name a Secret with the certificate that helm test shows",
    ),
    ({"tls": {"certManager": {"enabled": True}}}, "tls.certManager.enabled: true, and tls.enabled is false"),
    (
        {"tls": {"enabled": True, "secretName": "cert", "certManager": {"enabled": True}}},
        "tls.certManager.issuerName: empty; name an Issuer or ClusterIssuer",
    ),
    (
        {"bundle": {"pvc": {"accessMode": "ReadWriteOncePod"}}},
        "rollout.maxSurge: 1 puts a new replica beside an old one, and bundle.pvc.accessMode is ReadWriteOncePod; set",
    ),
    (
        merged(TENSORRT, {"engines": {"accessMode": "ReadWriteOnce"}}),
        "rollout.maxSurge: 1 puts a new replica beside an old one, and engines.accessMode is ReadWriteOnce; set it to",
    ),
    (
        merged(TENSORRT, {"engines": {"accessMode": "ReadOnlyMany"}}),
        "engines.accessMode: ReadOnlyMany, and the first replica writes what it builds; use a claim that",
    ),
    (
        merged(TENSORRT, {"engines": {"precision": "auto"}}),
        "engines.precision: auto measures with ONNX Runtime on CUDA, which the image that builds does not have; set",
    ),
    (
        merged(GPU, {"gpu": {"claimTemplateName": "l4"}}),
        "gpu.count: 1, and gpu.claimTemplateName claims GPUs, too; set one of the two",
    ),
    ({"gpu": {"claimTemplateName": "l4"}}, "gpu.claimTemplateName: the GPU of l4 would lie idle under profile"),
    ({"podLabels": {"app.kubernetes.io/component": "x"}}, "podLabels: app.kubernetes.io/component tells the release"),
    ({"extraEnv": [{"name": "HOME", "value": "/"}]}, "extraEnv: HOME is set by the chart; leave it out"),
    ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "extraVolumes: the chart has a volume tmp; give it another"),
    (
        {"extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}]},
        "extraVolumeMounts: found ca; set it to one of extraVolumes: there is none",
    ),
    (
        {"extraVolumes": [{"name": "ca"}], "extraVolumeMounts": [{"name": "ca", "mountPath": "/models/"}]},
        "extraVolumeMounts: found the path /models/, which the chart uses; mount it elsewhere",
    ),
    (
        {"scheduling": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}}},
        "scheduling.affinity: has a podAntiAffinity, and scheduling.antiAffinity is preferred; set that to none",
    ),
    ({"bundle": {"path": "a/../../b"}}, 'bundle.path: found "a/../../b", which leads out; name a folder within'),
    ({"drain": {"maxSeconds": 5}}, "drain.maxSeconds: 5 is less than drain.minSeconds and drain.quietSeconds"),
    ({"milvus": {"secretName": "token"}}, "milvus.uri: empty, and milvus.secretName names a token for it"),
]


@pytest.mark.parametrize(
    ("values", "words"), SHAPE, ids=[words[0] + "=" + str(i) for i, (_, words) in enumerate(SHAPE)]
)
def test_a_value_of_the_wrong_shape_is_refused(values: Manifest, words: list[str]):
    message = refusal(values)
    print(message)
    for word in words:
        assert word in message


@pytest.mark.parametrize(("values", "sentence"), TOGETHER, ids=[sentence.partition(":")[0] for _, sentence in TOGETHER])
def test_values_that_cannot_work_together_are_refused(values: Manifest, sentence: str):
    assert sentence in refusal(values)


def test_what_cannot_be_shared_is_fine_for_one_replica():
    with pytest.raises(AssertionError, match="was rendered"):
        refusal({"replicas": 1, "rollout": {"maxSurge": 0}, "bundle": {"pvc": {"accessMode": "ReadWriteOnce"}}})
    with pytest.raises(AssertionError, match="was rendered"):
        refusal(GPU)


def keys(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every value, of folders of values too."""
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from keys(value, (*path, name))


@pytest.mark.parametrize("path", keys(yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))), ids=".".join)
def test_a_value_of_null_is_refused_by_name(path: tuple[str, ...]):
    nulled: Any = None
    for name in reversed(path):
        nulled = {name: nulled}
    place = "".join(f"/{name}" for name in path[:-1])
    assert f"at '{place}': missing property '{path[-1]}'" in refusal(nulled)
