"""What a cluster asks of pods: labels, runtimes, nodes, GPUs, variables and volumes of its own."""

from __future__ import annotations

from typing import Any

import pytest

from support.chart_values import ALL, BASES, MOUNT, NEAR, PROXY, SETTINGS, SPOT, STORAGE, TENSORRT
from support.charts import Manifest, manifests, merged, only, pod, refusal, triton

NO_GPU = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}


def pods(*values: Manifest) -> dict[str, tuple[Manifest, Manifest]]:
    """Metadata and spec of every pod, by component."""
    found = {}
    for each in manifests(*values):
        inner = each["spec"]["jobTemplate"] if each["kind"] == "CronJob" else each
        template = each if each["kind"] == "Pod" else inner.get("spec", {}).get("template")
        if template:
            component = template["metadata"]["labels"]["app.kubernetes.io/component"]
            found[component] = template["metadata"], template["spec"]
    return found


def containers(spec: Manifest) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}


def test_every_pod_has_the_labels_annotations_secrets_and_nodes_of_the_release():
    found = pods(SETTINGS, ALL)
    assert set(found) == {"server", "ingest", "refresh", "test"}
    for component, (metadata, spec) in found.items():
        assert metadata["labels"]["team"] == "shop", component
        assert metadata["annotations"]["note"] == "1", component
        assert spec["imagePullSecrets"] == [{"name": "pull"}], component
        assert spec["nodeSelector"] == {"pool": "shop"}, component
        assert spec["tolerations"] == [SPOT], component


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_no_name_that_the_chart_gives_can_be_given_again(base: Manifest):
    """Kubernetes takes the last of two variables, and refuses two volumes of one name when the pod is made."""
    found = [spec for _, spec in pods(base).values()]
    variables = {each["name"] for spec in found for of in containers(spec).values() for each in of.get("env", [])}
    for name in variables - {PROXY["name"]}:
        assert f"extraEnv: {name} is set by the chart" in refusal(base, {"extraEnv": [{"name": name, "value": "x"}]})
    volumes = {volume["name"] for spec in found for volume in spec["volumes"]}
    for name in volumes - {MOUNT["name"]}:
        assert f"has a volume {name}" in refusal(base, {"extraVolumes": [{"name": name}], "extraVolumeMounts": []})
    mounted = {mount["mountPath"] for spec in found for of in containers(spec).values() for mount in of["volumeMounts"]}
    for path in mounted - {MOUNT["mountPath"], "/config", "/kafka-tls", "/test"}:
        again = {"extraVolumes": [{"name": "again"}], "extraVolumeMounts": [{"name": "again", "mountPath": path}]}
        assert f"found the path {path}, which" in refusal(base, again)


def test_servers_alone_have_the_runtime_and_an_affinity_beside_that_of_the_chart():
    found = pods(SETTINGS, ALL)
    assert {component for component, (_, spec) in found.items() if "runtimeClassName" in spec} == {"server"}
    affinity = pod(SETTINGS)["affinity"]
    assert affinity["nodeAffinity"] == NEAR
    assert "podAntiAffinity" in affinity
    alone = pod(SETTINGS, {"scheduling": {"antiAffinity": "none"}})["affinity"]
    assert set(alone) == {"nodeAffinity"}


@pytest.mark.parametrize("more", [ALL, STORAGE, TENSORRT], ids=["a claim", "object storage", "engines"])
def test_variables_and_volumes_are_in_every_container_of_a_server_and_of_the_refresh(more: Manifest):
    for component, (_, spec) in pods(SETTINGS, more).items():
        if component in ("server", "refresh"):
            assert {"name": "ca", "configMap": {"name": "ca"}} in spec["volumes"]
            for container in containers(spec).values():
                assert PROXY in container["env"], container["name"]
                assert MOUNT in container["volumeMounts"], container["name"]


@pytest.mark.parametrize(
    ("values", "with_gpu"),
    [
        (ALL, set()),
        (merged(ALL, {"profile": "ensemble_cuda", "gpu": {"count": 1}}), {"triton"}),
        (TENSORRT, {"engines", "verify", "triton"}),
        ({"profile": "ensemble_tensorrt", "gpu": {"claimTemplateName": "l4"}}, {"verify", "triton"}),
    ],
    ids=["CPU", "CUDA", "TensorRT", "a claim"],
)
def test_a_container_sees_the_gpu_that_it_was_given_and_else_none(values: Manifest, with_gpu: set[str]):
    """NVIDIA's images ask for every GPU of a node whose default runtime is NVIDIA's."""
    seen = set()
    for component, (_, spec) in pods(values).items():
        if component != "ingest":  # its image is not NVIDIA's
            for name, container in containers(spec).items():
                given = {"nvidia.com/gpu"} & container["resources"]["limits"].keys() or container["resources"].get(
                    "claims"
                )
                assert bool(given) == (NO_GPU not in container.get("env", [])), name
                seen |= {name} if given else set()
    assert seen == with_gpu


def test_a_gpu_can_be_claimed():
    spec = pod({"profile": "ensemble_cuda", "gpu": {"claimTemplateName": "l4"}})
    assert spec["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "l4"}]
    assert containers(spec)["triton"]["resources"]["claims"] == [{"name": "gpu"}]
    assert "claims" not in containers(spec)["verify"]["resources"]
    assert "resourceClaims" not in pod()


@pytest.mark.parametrize(
    "resource", ["nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb.me", "nvidia.com/mig-1c.3g.20gb", "nvidia.com/gpu"]
)
def test_slices_of_a_gpu_go_by_the_names_that_nvidia_gives_them(resource: str):
    limits = triton({"profile": "ensemble_cuda", "gpu": {"count": 1, "resource": resource}})["resources"]["limits"]
    assert limits[resource] == 1


def test_what_uses_cuda_keeps_the_entry_point_of_nvidias_image():
    for name, first in (("triton", "tritonserver"), ("engines", "python3")):
        container = containers(pod(TENSORRT))[name]
        assert "command" not in container
        assert container["args"][0] == first


def test_helm_test_waits_for_a_pull_and_prefers_the_node_that_has_the_image():
    spec = only("Pod", SETTINGS, TENSORRT, name="shop-test")["spec"]
    assert spec["activeDeadlineSeconds"] == 900
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    (near,) = spec["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = near["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert labels.items() <= pods()["server"][0]["labels"].items()
    small = {"test": {"image": "registry.example/fuserank-ingest:1", "deadlineSeconds": 60}}
    assert only("Pod", small, name="shop-test")["spec"]["containers"][0]["image"] == small["test"]["image"]


@pytest.mark.parametrize(
    "name", ["shop", "a" * 53, "shop.next", "x" + "-1" * 26], ids=["short", "long", "with a point", "cut at a dash"]
)
def test_names_are_short_enough_for_every_object(name: str):
    values = {"fullnameOverride": ""}
    for each in manifests(values, ALL, release=name):
        length = {"CronJob": 52, "Service": 63}.get(each["kind"], 253)
        assert len(each["metadata"]["name"]) <= length
        assert "." not in each["metadata"]["name"]
        if each["kind"] == "Deployment" and not each["metadata"]["name"].endswith("-ingest"):
            # Kubernetes cuts a pod's name before hash and suffix are told apart: the autoscaler's query would miss it.
            assert len(each["metadata"]["name"]) + len("-1234567890-") <= 58


def test_a_release_whose_name_begins_with_a_digit_is_refused():
    with pytest.raises(AssertionError, match="was rendered"):
        refusal({"fullnameOverride": "shop"}, release="20261128")
    assert "fullnameOverride: the name of a Service begins with a letter, and the release's is 20261128" in refusal(
        {}, release="20261128"
    )
