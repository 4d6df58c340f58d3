"""Metrics, alerts, dashboard and the autoscaler's queries, against a live scrape and a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as grpc_client
import yaml

from fuserank.client import Client
from fuserank.ingest.metrics import IngestMetrics
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.serving.observability.drift import WINDOW
from fuserank_ensemble.serving.observability.metrics import METRICS
from fuserank_ensemble.spec import GraphSpec
from support.busy_machine import PATIENCE, wait_until
from support.callers import load
from support.charts import CHART, NAMESPACE, REPOSITORY, only
from support.monitoring import NAME, POD, prometheus, scraped_names
from support.replica import ADMIN_KEY, Replica, free_endpoints

RULES = CHART / "files" / "rules.yaml"
ALERT_TESTS = Path(__file__).with_name("alerts.yaml")
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not installed (Debian, Ubuntu: apt-get install prometheus)",
)


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return list(group["rules"])


@pytest.fixture(scope="module")
def scrape(replica: Replica) -> set[str]:
    """The names that are scraped after as many searches as the drift of features is taken over."""
    with Client(replica.url, timeout=PATIENCE) as client:
        for _ in range(WINDOW):
            client.search("tea", k=3, filter={"in_stock": True})

        def all_names() -> bool:
            # What is counted is handed on once a second, with a search.
            client.search("tea", k=3)
            return {name for metric in METRICS for name in metric.series} <= scraped_names(replica.metrics())

        wait_until(all_names)
    return scraped_names(replica.metrics())


def ingest_series() -> set[str]:
    """The names of what reads Kafka, which is scraped by itself."""
    kinds = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    metrics = IngestMetrics().registry.collect()
    return {metric.name + suffix for metric in metrics for suffix in kinds[metric.type]}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_declared_metric_is_scraped(scrape: set[str], metric: Any):
    assert set(metric.series) <= scrape


@pytest.mark.parametrize(
    "source",
    [
        RULES,
        CHART / "files" / "dashboard.json",
        CHART / "files" / "prometheus-adapter.yaml",
        REPOSITORY / "docs" / "operations.md",
        REPOSITORY / "k8s" / "README.md",
    ],
    ids=lambda path: path.name,
)
def test_every_metric_that_is_named_anywhere_is_scraped(scrape: set[str], source: Path):
    own = {metric.name for metric in METRICS} | ingest_series()
    # What the adapter itself makes, and the autoscaler asks it for.
    named = set(NAME.findall(source.read_text("utf-8"))) - {"fuserank_queue_milliseconds"}
    assert named - own <= scrape
    assert named or source.name == "README.md"


def test_every_stage_of_the_graph_is_watched_and_can_be_scaled_on():
    specs = [GraphSpec(text_candidates=8, query_encoder=kind) for kind in ("full", "distilled")]
    stages = {stage.name for spec in specs for stage in search_stages(spec)}
    for file in ("rules.yaml", "dashboard.json"):
        text = (CHART / "files" / file).read_text("utf-8")
        watched = set(re.findall(r'model=~\\?"(preprocess\|encoder[a-z_|]*)', text))
        assert {frozenset(models.split("|")) - {"search"} for models in watched} == {frozenset(stages)}, file
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    scalable = schema["properties"]["autoscaling"]["properties"]["models"]["items"]["enum"]
    assert stages | {"search"} <= set(scalable)


def test_kedas_queries_name_metrics_that_are_scraped(scrape: set[str]):
    triggers = only("ScaledObject", {"autoscaling": {"kind": "keda"}})["spec"]["triggers"]
    assert set(NAME.findall(json.dumps(triggers))) <= scrape


def test_every_panel_asks_the_chosen_prometheus_and_namespace():
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'namespace=~"$namespace"' in target["expr"]
    assert only("ConfigMap", {"monitoring": {"dashboard": True}}, name="shop-dashboard")["data"]["fuserank.json"]


@needs_prometheus
@pytest.mark.parametrize("command", [["check", "rules", str(RULES)], ["test", "rules", str(ALERT_TESTS)]], ids=" ".join)
def test_promtool_accepts_the_rules_and_their_tests(command: list[str]):
    done = subprocess.run(["promtool", *command], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_that_fires_it_and_an_entry_in_the_runbook():
    tests = yaml.safe_load(ALERT_TESTS.read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    headings = re.findall(r"^#+ (\w+)$", (REPOSITORY / "k8s" / "README.md").read_text("utf-8"), re.M)
    names = [alert["alert"] for alert in alerts()]
    assert set(names) == fired
    assert fired <= silent
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"k8s/README.md#{alert['alert'].lower()}"
        assert alert["alert"] in headings


def test_the_latency_objective_is_a_bucket_and_comes_from_the_values():
    rule = only("PrometheusRule", {"monitoring": {"rules": True, "latencySeconds": 0.25}})["spec"]["groups"][0]["rules"]
    slow = next(each["expr"] for each in rule if each.get("alert") == "FuseRankSlow")
    assert 'le="0.25"' in slow
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    allowed = schema["properties"]["monitoring"]["properties"]["latencySeconds"]["enum"]
    (buckets,) = (metric.buckets for metric in METRICS if metric.name == "fuserank_stage_seconds")
    assert set(allowed) <= set(buckets)


def waited(client: grpc_client.InferenceServerClient, model: str) -> tuple[float, float]:
    """Nanoseconds of queueing and requests of a model so far, by Triton's own statistics."""
    header = {"triton-grpc-protocol-fuserank-admin": ADMIN_KEY}
    (found,) = client.get_inference_statistics(model, headers=header).model_stats
    return float(found.inference_stats.queue.ns), float(found.inference_stats.success.count)


@needs_prometheus
def test_prometheus_scrapes_and_the_autoscalers_see_the_queue_under_load(replica: Replica, tmp_path: Path):
    model = "search"
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text("utf-8"))
    # As the adapter fills its template in for the HPA's request: https://github.com/kubernetes-sigs/prometheus-adapter.
    matchers = f'namespace="{NAMESPACE}",pod=~"{POD}",model="{model}"'
    hpa = rule["metricsQuery"].replace("<<.LabelMatchers>>", matchers).replace("<<.GroupBy>>", "pod")
    triggers = only("ScaledObject", {"autoscaling": {"kind": "keda"}})["spec"]["triggers"]
    keda = next(t["metadata"]["query"] for t in triggers if f'model="{model}"' in t["metadata"]["query"])
    # `rate` extrapolates a counter to the ends of its window, but not below zero: of counters that have just begun it
    # makes a tenth more or less, of each its own.
    with load(replica.url, callers=12):
        time.sleep(3)
    with (
        prometheus(replica, tmp_path, free_endpoints().http) as server,
        grpc_client.InferenceServerClient(replica.url) as client,
    ):
        server.wait_for("fuserank_bundle_info")
        before = waited(client, model)
        with load(replica.url, callers=12) as found:
            time.sleep(4)
        after = waited(client, model)
        server.wait_for(f'nv_inference_request_success{{model="{model}"}} >= {after[1]:.0f}')
        expected = (after[0] - before[0]) / (after[1] - before[1]) / 1e6
        by_hpa, by_keda = server.query(hpa), server.query(keda)
        seen = server.query("sum(fuserank_requests_total)")
    print(f"{found.answered} answered; {model} {expected:.2f} ms by Triton, HPA {by_hpa}, KEDA {by_keda}")
    assert found.failures == []
    assert expected > 0.1, "there was no queue to see"
    assert by_hpa[POD] == pytest.approx(expected, rel=0.1)
    assert by_keda[""] == pytest.approx(expected, rel=0.1)
    # The stages hand their numbers on once a second, and only with a batch: of the last second some may be missing.
    assert seen[""] > found.answered * 0.5
