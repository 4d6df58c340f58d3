"""Where replicas run, and what may be taken away at once."""

from __future__ import annotations

import pytest

from support.charts import Manifest, kinds, only, pod, triton

SERVER = {
    "app.kubernetes.io/name": "fuserank",
    "app.kubernetes.io/instance": "shop",
    "app.kubernetes.io/component": "server",
}


def test_replicas_are_spread_over_zones():
    (constraint,) = pod()["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
    assert constraint["labelSelector"]["matchLabels"] == SERVER
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    assert "topologySpreadConstraints" not in pod({"scheduling": {"topologyKey": ""}})


@pytest.mark.parametrize("kind", ["preferred", "required"])
def test_no_two_replicas_share_a_node(kind: str):
    rules = pod({"scheduling": {"antiAffinity": kind}})["affinity"]["podAntiAffinity"]
    ((name, (rule,)),) = rules.items()
    assert name.startswith(kind)
    term = rule.get("podAffinityTerm", rule)
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == SERVER
    assert "affinity" not in pod({"scheduling": {"antiAffinity": "none"}})


@pytest.mark.parametrize(
    ("gpu", "limit"),
    [({"count": 1}, {"nvidia.com/gpu": 1}), ({"count": 2, "resource": "nvidia.com/mig-3g.20gb"}, None)],
    ids=["whole GPU", "MIG"],
)
def test_a_gpu_replica_asks_for_gpus_and_tolerates_their_nodes(gpu: Manifest, limit: Manifest | None):
    values = {"profile": "ensemble_cuda", "gpu": {**gpu, "product": "NVIDIA-L4"}}
    limits = triton(values)["resources"]["limits"]
    assert limits.items() >= (limit or {"nvidia.com/mig-3g.20gb": 2}).items()
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(values)["tolerations"]
    assert pod(values)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert "--model-config-name=ensemble_cuda" in triton(values)["args"]


def test_a_cpu_replica_asks_for_none():
    assert set(triton()["resources"]["limits"]) == {"cpu", "memory"}
    assert "tolerations" not in pod()
    assert "--model-config-name=single_process" in triton()["args"]


def test_nodes_tolerations_and_priority_of_ones_own_come_on_top():
    own = {"key": "spot", "operator": "Exists"}
    scheduling = {"nodeSelector": {"pool": "serving"}, "tolerations": [own], "priorityClassName": "high"}
    spec = pod({"profile": "ensemble_cuda", "gpu": {"count": 1, "product": "NVIDIA-L4"}, "scheduling": scheduling})
    assert spec["nodeSelector"] == {"pool": "serving", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert len(spec["tolerations"]) == 2
    assert own in spec["tolerations"]
    assert spec["priorityClassName"] == "high"


def test_a_budget_holds_for_servers_alone():
    budget = only("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == SERVER
    assert budget["maxUnavailable"] == 1
    assert "PodDisruptionBudget" not in kinds({"podDisruptionBudget": {"enabled": False}})


@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1)])
def test_a_rollout_keeps_the_replicas_where_there_is_room(surge: int, unavailable: int):
    strategy = only("Deployment", {"rollout": {"maxSurge": surge}})["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": surge, "maxUnavailable": unavailable}
