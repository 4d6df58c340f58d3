"""Autoscaling. What its query says of a server under load: `test_prometheus.py`."""

from __future__ import annotations

import re

import pytest
import yaml

from fuserank_ensemble.graph.stages import models
from fuserank_ensemble.spec import GraphSpec
from support.charts import CHART, kinds, only

HPA = {"autoscaling": {"kind": "hpa", "minReplicas": 2, "maxReplicas": 5, "queueMilliseconds": 15}}
KEDA = {"autoscaling": {**HPA["autoscaling"], "kind": "keda"}}
# Where requests wait, by profile.
WAITING = {
    "single_process": ["search", "encoder", "retrieve"],
    "ensemble_cpu": ["encoder", "retrieve", "ranker"],
}


@pytest.mark.parametrize("profile", WAITING)
def test_the_hpa_follows_the_queues_of_the_models_that_work(profile: str):
    spec = only("HorizontalPodAutoscaler", HPA, {"profile": profile})["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    waiting = [m["pods"]["metric"]["selector"]["matchLabels"]["model"] for m in spec["metrics"]]
    assert waiting == WAITING[profile]
    assert set(waiting) <= {model.name for model in models(GraphSpec(), profile)}
    assert {m["pods"]["target"]["averageValue"] for m in spec["metrics"]} == {"15"}


def test_prometheus_adapter_is_told_of_the_metric_that_the_hpa_asks_for():
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text("utf-8"))
    asked = {m["pods"]["metric"]["name"] for m in only("HorizontalPodAutoscaler", HPA)["spec"]["metrics"]}
    assert asked == {rule["name"]["as"]}


def test_the_models_whose_queues_count_can_be_named():
    own = {"autoscaling": {**HPA["autoscaling"], "models": ["search"]}}
    (metric,) = only("HorizontalPodAutoscaler", own)["spec"]["metrics"]
    assert metric["pods"]["metric"]["selector"]["matchLabels"]["model"] == "search"


@pytest.mark.parametrize("profile", WAITING)
def test_keda_asks_prometheus_itself_and_falls_back(profile: str):
    spec = only("ScaledObject", KEDA, {"profile": profile})["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 5)
    assert spec["fallback"]["replicas"] == 4
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    assert len(queries) == 3
    for model, query in zip(WAITING[profile], queries, strict=True):
        assert f'model="{model}",namespace="shops",pod=~"' in query
    # KEDA falls back for this type of metric alone, and where it is told that no sample is no zero.
    assert {trigger["metricType"] for trigger in spec["triggers"]} == {"AverageValue"}
    assert {trigger["metadata"]["ignoreNullValues"] for trigger in spec["triggers"]} == {"false"}
    assert {trigger["metadata"]["threshold"] for trigger in spec["triggers"]} == {"15"}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("shop-6b4c9d7f58-x2x7k", True),
        ("shop-ingest-6b4c9d7f58-x2x7k", False),
        ("shop-2-6b4c9d7f58-x2x7k", False),
        ("shop-next-6b4c9d7f58-x2x7k", False),
        ("shop-test", False),
        ("my-shop-6b4c9d7f58-x2x7k", False),
    ],
)
def test_the_query_sees_the_pods_of_no_other_release(name: str, own: bool):
    query = only("ScaledObject", KEDA)["spec"]["triggers"][0]["metadata"]["query"]
    (pattern,) = set(re.findall(r'pod=~"([^"]*)"', query))
    # Prometheus matches the whole of a label.
    assert bool(re.fullmatch(pattern, name)) == own


def test_both_scale_the_deployment_and_leave_its_replicas_alone():
    for values, kind in ((HPA, "HorizontalPodAutoscaler"), (KEDA, "ScaledObject")):
        target = only(kind, values)["spec"]["scaleTargetRef"]
        assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
        # A number here would be set anew by every upgrade, against the autoscaler.
        assert "replicas" not in only("Deployment", values)["spec"]
    assert only("Deployment", {"replicas": 3})["spec"]["replicas"] == 3
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & kinds()


def test_both_shrink_slowly():
    slow = {"autoscaling": {"scaleDownSeconds": 900}}
    keda = only("ScaledObject", KEDA, slow)["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    hpa = only("HorizontalPodAutoscaler", HPA, slow)["spec"]["behavior"]
    assert keda == hpa
    assert hpa["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert hpa["scaleUp"]["stabilizationWindowSeconds"] == 0
