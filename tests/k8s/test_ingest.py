"""What reads Kafka beside the servers: its configuration, its pods, and where the state is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fuserank.ingest.config import NATIVE, SHIPPED, IngestConfig
from fuserank_ensemble.state.settings import StateSettings
from support.charts import LEAST, Manifest, kinds, manifests, merged, only, pod, refusal, triton

REDIS = {"state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0?name=shop"}}}
SQLITE = {"state": {"kind": "sqlite", "sqlite": {"claimName": "log"}}, "rollout": {"maxSurge": 0}}
INGEST: Manifest = {
    "ingest": {
        "enabled": True,
        "bootstrapServers": "kafka:9092",
        "topics": {"shop.events": "events", "erp": "own"},
        "deadLetterTopic": "dead",
        "kafka": {"security.protocol": "SASL_SSL"},
        "secretName": "kafka",
        "tlsSecretName": "kafka-ca",
        "formats": {
            "own": {"extends": "segment", "ignored": ["<none>"], "first_position": 0, "kinds": {"A b": "view"}}
        },
    }
}
TLS = {"tls": {"enabled": True, "mutual": True, "secretName": "cert", "clientSecretName": "client"}}
NAME = "shop-ingest"


def container(*values: Manifest) -> dict[str, Any]:
    (found,) = only("Deployment", *values, name=NAME)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def config(tmp_path: Path, *values: Manifest, **variables: str) -> IngestConfig:
    """The rendered configuration, as the container reads it."""
    path = tmp_path / "ingest.toml"
    path.write_text(only("ConfigMap", *values, name=NAME)["data"]["ingest.toml"], "utf-8")
    return IngestConfig.read(path, variables)


def test_there_is_none_unless_it_is_asked_for():
    with pytest.raises(ValueError, match="not enough values"):
        only("Deployment", REDIS, name=NAME)


def test_the_configuration_is_what_the_values_say(tmp_path: Path):
    found = config(tmp_path, REDIS, INGEST, FUSERANK_KAFKA_SASL_PASSWORD="secret")
    assert found.topics == {"shop.events": "events", "erp": "own"}
    assert (found.dead_letter_topic, found.group, found.max_messages) == ("dead", "shop", 500)
    assert found.kafka == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": "/kafka-tls/ca.crt",
        "sasl.password": "secret",
    }
    assert found.open_formats().keys() == found.topics.keys()
    assert found.formats["own"] == INGEST["ingest"]["formats"]["own"]
    assert container(REDIS, INGEST)["envFrom"] == [{"secretRef": {"name": "kafka"}}]


def test_the_chart_knows_every_format_that_comes_along():
    for name in (*NATIVE, *SHIPPED):
        assert container(REDIS, merged(INGEST, {"ingest": {"topics": {"x": name}}}))


def test_it_asks_every_replica_by_a_name_that_the_certificate_has(tmp_path: Path):
    found = config(tmp_path, REDIS, INGEST, TLS).server
    (port,) = (port["containerPort"] for port in triton()["ports"] if port["name"] == "grpc")
    assert found.url == f"shop-headless.shops.svc:{port}"
    mounted = {mount["name"]: mount["mountPath"] for mount in container(REDIS, INGEST, TLS)["volumeMounts"]}
    assert [found.root_ca, found.client_cert, found.client_key] == [
        f"{mounted['tls']}/{name}" for name in ("ca.crt", "tls.crt", "tls.key")
    ]
    volumes = only("Deployment", REDIS, INGEST, TLS, name=NAME)["spec"]["template"]["spec"]["volumes"]
    assert [v["secret"]["secretName"] for v in volumes if v["name"] == "tls"] == ["client"]
    assert config(tmp_path, REDIS, INGEST).server.root_ca is None


def test_probes_and_prometheus_reach_the_port_that_it_opens():
    found = container(REDIS, INGEST)
    (port,) = found["ports"]
    assert f"--metrics-port={port['containerPort']}" in found["command"]
    assert found["livenessProbe"]["httpGet"] == {"path": "/live", "port": port["name"]}
    assert found["readinessProbe"]["httpGet"] == {"path": "/ready", "port": port["name"]}
    monitored = {"monitoring": {"podMonitor": True}}
    spec = only("PodMonitor", REDIS, INGEST, monitored, name=NAME)["spec"]
    assert spec["podMetricsEndpoints"][0]["port"] == port["name"]
    labels = only("Deployment", REDIS, INGEST, name=NAME)["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()


def test_another_configuration_is_another_pod_and_none_stands_behind_the_service():
    def template(*values: Manifest) -> dict[str, Any]:
        return dict(only("Deployment", REDIS, INGEST, *values, name=NAME)["spec"]["template"]["metadata"])

    assert template()["annotations"] == template()["annotations"]
    assert template()["annotations"] != template({"ingest": {"group": "other"}})["annotations"]
    for name in ("shop", "shop-headless"):
        assert not only("Service", name=name)["spec"]["selector"].items() <= template()["labels"].items()


def test_its_image_is_the_servers_beside_it_unless_another_is_named():
    image = {"image": {"repository": "registry.example/fuserank", "tag": "7"}}
    assert container(REDIS, INGEST, image)["image"] == "registry.example/fuserank-ingest:7"
    assert container(REDIS, INGEST, {"ingest": {"image": "mine:1"}})["image"] == "mine:1"


def variables(*values: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in triton(*values)["env"]}


def mounts(*values: Manifest) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in triton(*values)["volumeMounts"]}


def test_without_a_state_nothing_changes():
    assert "FUSERANK_STATE" not in variables()
    assert [each["name"] for each in pod()["initContainers"][-1]["env"]] == ["NVIDIA_VISIBLE_DEVICES"]
    assert not {"state", "state-key"} & mounts().keys()


def test_redis_by_its_address_or_by_a_secret_and_events_wait_on_the_node():
    assert variables(REDIS)["FUSERANK_STATE"] == "redis://redis:6379/0?name=shop"
    secret = {"state": {"kind": "redis", "redis": {"secretName": "redis"}}}
    assert variables(secret)["FUSERANK_STATE"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert variables(REDIS)["FUSERANK_STATE_SPOOL"].startswith(mounts(REDIS)["state"])
    (volume,) = [v for v in pod(REDIS)["volumes"] if v["name"] == "state"]
    assert volume["emptyDir"] == {"sizeLimit": "256Mi"}


def test_sqlite_on_its_claim():
    assert variables(SQLITE)["FUSERANK_STATE"] == f"sqlite:{mounts(SQLITE)['state']}/log.sqlite"
    assert "FUSERANK_STATE_SPOOL" not in variables(SQLITE)
    (volume,) = [v for v in pod(SQLITE)["volumes"] if v["name"] == "state"]
    assert volume["persistentVolumeClaim"] == {"claimName": "log"}


def test_what_verifies_knows_of_the_state_and_the_key_is_a_file():
    keyed = {"state": {"keySecretName": "people"}}
    (verify,) = pod(REDIS)["initContainers"]
    assert "FUSERANK_STATE" in {each["name"] for each in verify["env"]}
    assert variables(REDIS, keyed)["FUSERANK_STATE_KEY_FILE"] == f"{mounts(REDIS, keyed)['state-key']}/key"
    (verify,) = pod(REDIS, keyed)["initContainers"]
    assert mounts(REDIS, keyed)["state-key"] in {mount["mountPath"] for mount in verify["volumeMounts"]}
    assert kinds(REDIS, keyed) == kinds()


@pytest.mark.parametrize("share", [1, 0.25, 0.00001])
def test_the_server_keeps_the_share_of_what_the_ranker_read_and_no_other_container_does(share: float):
    values = {"state": {"featureShare": share}}
    assert StateSettings.from_environment(variables(REDIS, values)) == StateSettings(
        "redis://redis:6379/0?name=shop", spool=Path("/state/spool.sqlite"), feature_share=share
    )
    everything = manifests(REDIS, values, INGEST)
    assert json.dumps(everything).count("FUSERANK_STATE_FEATURE_SHARE") == 1
    assert "FUSERANK_STATE_FEATURE_SHARE" not in variables(REDIS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": {"featureShare": 0.5}}, "state.featureShare: 0.5, and state.kind is none"),
        ({"state": {"kind": "redis"}}, "state.redis.url: empty, and state.kind is redis; set the address"),
        (
            {"state": {"kind": "redis", "redis": {"url": "redis://r", "secretName": "r"}}},
            "state.redis.secretName: set beside state.redis.url",
        ),
        ({"state": {"kind": "sqlite"}}, "state.sqlite.claimName: empty, and state.kind is sqlite"),
        (merged(SQLITE, {"replicas": 2}), "state.kind: sqlite cannot be shared by 2 replicas; set it to redis"),
        (merged(SQLITE, {"rollout": {"maxSurge": 1}}), "rollout.maxSurge: 1 would put a second replica beside"),
        ({"state": {"keySecretName": "k"}}, "state.keySecretName: names a key, and state.kind is none"),
        (INGEST, "ingest.enabled: true, and state.kind is none; set state.kind to redis or sqlite"),
        (merged(REDIS, INGEST, {"ingest": {"bootstrapServers": ""}}), "ingest.bootstrapServers: empty"),
        (merged(REDIS, INGEST, {"ingest": {"deadLetterTopic": "erp"}}), "ingest.deadLetterTopic: erp is read, too"),
        (
            merged(REDIS, INGEST, {"ingest": {"topics": {"x": "ga5"}}}),
            'ingest.topics.x: found "ga5"; set it to one of events, items, ga4, ga4_bigquery, segment, own',
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(values: Manifest, words: str):
    assert words in refusal(merged(LEAST, values))
