"""Who may reach whom: nothing is open that is not named, and what a feature needs opens with it."""

from __future__ import annotations

from typing import Any

import pytest

from support.charts import Manifest, kinds, only

NAME = "kubernetes.io/metadata.name"
RELEASE_PODS = {"app.kubernetes.io/name": "fuserank", "app.kubernetes.io/instance": "shop"}


def policy(*values: Manifest) -> dict[str, Any]:
    return dict(only("NetworkPolicy", *values)["spec"])


def ports(rules: list[Manifest]) -> set[int | str]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_both_directions_are_denied_by_default():
    spec = policy()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["podSelector"]["matchLabels"] == RELEASE_PODS


def test_in_come_searches_and_prometheus_and_nobody_asks_over_http():
    spec = policy()
    assert ports(spec["ingress"]) == {"grpc", "metrics"}
    for rule in spec["ingress"]:
        assert rule["from"], "an empty list would let everybody in"
    assert ports(policy({"networkPolicy": {"prometheus": []}})["ingress"]) == {"grpc"}


def test_clients_are_those_named_and_the_release_itself():
    shop = {"namespaceSelector": {"matchLabels": {"team": "shop"}}}
    rule = next(
        r for r in policy({"networkPolicy": {"clients": [shop]}})["ingress"] if r["ports"] == [{"port": "grpc"}]
    )
    assert rule["from"] == [shop, {"podSelector": {"matchLabels": RELEASE_PODS}}]


@pytest.mark.parametrize(
    ("values", "port"),
    [
        ({"milvus": {"uri": "http://milvus:19530"}}, 19530),
        ({"tracing": {"enabled": True}}, 4318),
        ({"bundle": {"source": "objectStorage", "objectStorage": {"remote": "s3:shop", "port": 9000}}}, 9000),
        ({"state": {"kind": "redis", "redis": {"url": "redis://r:6380/0", "port": 6380}}}, 6380),
    ],
    ids=["Milvus", "tracing", "object storage", "Redis"],
)
def test_a_feature_opens_its_own_way_out(values: Manifest, port: int):
    assert ports(policy()["egress"]) == {53, 5353, "grpc"}
    assert ports(policy(values)["egress"]) == {53, 5353, "grpc", port}


def test_what_reads_kafka_may_reach_the_brokers_and_the_servers():
    state = {"kind": "sqlite", "sqlite": {"claimName": "log"}}
    ingest = {"enabled": True, "bootstrapServers": "kafka:9093", "topics": {"t": "events"}, "deadLetterTopic": "dead"}
    values = {"state": state, "rollout": {"maxSurge": 0}, "ingest": {**ingest, "port": 9093}}
    assert ports(policy(values)["egress"]) == {53, 5353, "grpc", 9093}
    assert (
        RELEASE_PODS.items()
        <= only("Deployment", values, name="shop-ingest")["spec"]["selector"]["matchLabels"].items()
    )


def test_more_ways_out_can_be_named():
    own = {"ports": [{"port": 5432}], "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}
    assert own in policy({"networkPolicy": {"egress": [own]}})["egress"]


def test_it_can_be_left_to_others():
    assert "NetworkPolicy" not in kinds({"networkPolicy": {"enabled": False}})


def test_names_are_asked_of_kube_dns_of_openshift_and_of_the_node():
    (rule,) = [rule for rule in policy()["egress"] if {"port": 53, "protocol": "UDP"} in rule["ports"]]
    assert {"port": 5353, "protocol": "TCP"} in rule["ports"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]
    namespaces = {peer["namespaceSelector"]["matchLabels"][NAME] for peer in rule["to"] if "namespaceSelector" in peer}
    assert namespaces == {"kube-system", "openshift-dns"}
    (open_to_all,) = [r for r in policy({"networkPolicy": {"dns": []}})["egress"] if len(r["ports"]) == 4]
    assert "to" not in open_to_all
