"""Autoscaling. What its query says of a server under load: `test_k8s_prometheus.py`."""

from __future__ import annotations

import yaml

from support.charts import CHART, kinds, only

HPA = {"autoscaling": {"kind": "hpa", "minReplicas": 2, "maxReplicas": 5, "queueMilliseconds": 15}}
KEDA = {"autoscaling": {**HPA["autoscaling"], "kind": "keda"}}
WAITING = ["encoder", "retrieve", "ranker"]


def test_the_hpa_follows_the_queues_of_the_models_that_work():
    spec = only("HorizontalPodAutoscaler", HPA)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert [m["pods"]["metric"]["selector"]["matchLabels"]["model"] for m in spec["metrics"]] == WAITING
    assert {m["pods"]["target"]["averageValue"] for m in spec["metrics"]} == {"15"}


def test_prometheus_adapter_is_told_of_the_metric_that_the_hpa_asks_for():
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text("utf-8"))
    asked = {m["pods"]["metric"]["name"] for m in only("HorizontalPodAutoscaler", HPA)["spec"]["metrics"]}
    assert asked == {rule["name"]["as"]}


def test_keda_asks_prometheus_itself_and_falls_back():
    spec = only("ScaledObject", KEDA)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 5)
    assert spec["fallback"]["replicas"] == 4
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    assert len(queries) == 3
    for model, query in zip(WAITING, queries, strict=True):
        assert f'model="{model}",namespace="shops",pod=~"shop-.*"' in query
    assert {trigger["metadata"]["threshold"] for trigger in spec["triggers"]} == {"15"}


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
