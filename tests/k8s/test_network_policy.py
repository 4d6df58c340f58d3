"""Who may reach whom: nothing is open that is not named, and what a feature needs opens with it."""

from __future__ import annotations

from typing import Any

import pytest

from support.charts import Manifest, kinds, only

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
    ],
    ids=["Milvus", "tracing", "object storage"],
)
def test_a_feature_opens_its_own_way_out(values: Manifest, port: int):
    assert ports(policy()["egress"]) == {53, "grpc"}
    assert ports(policy(values)["egress"]) == {53, "grpc", port}


def test_more_ways_out_can_be_named():
    own = {"ports": [{"port": 5432}], "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}
    assert own in policy({"networkPolicy": {"egress": [own]}})["egress"]


def test_it_can_be_left_to_others():
    assert "NetworkPolicy" not in kinds({"networkPolicy": {"enabled": False}})
