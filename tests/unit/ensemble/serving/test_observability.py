"""What a server tells of itself: counted exactly, handed on sparingly, and without what anybody asked."""

from __future__ import annotations

import functools
import io
import json
import logging
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.candidates.drift import FeatureReference
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.serving.observability import drift, metrics, tracing
from fuserank_ensemble.serving.observability.caches import CacheMetrics
from fuserank_ensemble.serving.observability.logs import JsonFormatter
from fuserank_ensemble.serving.observability.metrics import METRICS, Registry
from fuserank_ensemble.serving.observability.search import SearchMetrics, kind_of

MANIFEST = {"id": "b-1", "created": "2026-01-02T00:00:00+00:00", "log_end": 1_700_000_000}
NOTHING = np.zeros((0, len(FEATURES)), np.float32)
DOCS = Path(__file__).parents[4] / "docs" / "operations.md"


class Scrape:
    """A sink that holds what Prometheus would see, and how many messages that took."""

    def __init__(self):
        self.values, self.messages = defaultdict(float), 0

    def add(self, name, kind, meaning, labels, value):
        self.messages += 1
        key = (name, *(value for _, value in labels))
        self.values[key] = value if kind == "gauge" else self.values[key] + value


@pytest.fixture
def scrape():
    return Scrape()


def test_a_histogram_counts_every_bucket_that_holds_a_value(scrape):
    registry = Registry(scrape)
    for seconds in (0.0005, 0.01, 0.02, 9.0):
        registry.observe(metrics.STAGE_SECONDS, seconds, stage="total")
    registry.flush()
    name = "fuserank_stage_seconds"
    found = {
        bound: scrape.values[f"{name}_bucket", "total", bound] for bound in ("0.001", "0.01", "0.025", "2.5", "+Inf")
    }
    assert found == {"0.001": 1, "0.01": 2, "0.025": 3, "2.5": 3, "+Inf": 4}
    assert scrape.values[f"{name}_count", "total"] == 4
    assert scrape.values[f"{name}_sum", "total"] == pytest.approx(9.0305)


def test_many_searches_of_a_second_are_one_message_a_series(scrape):
    now = [100.0]
    registry = Registry(scrape, lambda: now[0])
    for _ in range(50):
        registry.add(metrics.EMPTY)
        registry.flush()
        now[0] += 0.01
    assert (scrape.messages, scrape.values["fuserank_empty_replies_total",]) == (1, 1)
    now[0] += 1
    registry.flush()
    assert (scrape.messages, scrape.values["fuserank_empty_replies_total",]) == (2, 50)
    registry.flush(force=True)
    assert scrape.messages == 2


def test_a_label_that_is_not_declared_is_refused(scrape):
    with pytest.raises(ValueError, match=r"fuserank_degraded_replies_total: found the labels \('user',\)"):
        Registry(scrape).add(metrics.DEGRADED, user="900")


def search(**more):
    """A request and its status, as `finalize` has them."""
    resolved = SimpleNamespace(**{"has_query": True, "seen": b"", "started_ns": time.monotonic_ns(), **more})
    status = SimpleNamespace(
        degraded=["ranker_depth"],
        candidates={"dense": 30, "fused": 40},
        microseconds={"retrieve": 2_000, "total": 9_000},
        returned=more.get("returned", 3),
        user_known=False,
    )
    return resolved, status


def test_a_search_is_counted_by_kind_time_channel_and_shortcoming(scrape):
    registry = Registry(scrape)
    counted = SearchMetrics(registry, MANIFEST)
    counted.observe(*search(), depth=64, features=NOTHING)
    counted.observe(*search(seen=b"x", returned=0), depth=64, features=NOTHING)
    registry.flush()
    values = scrape.values
    assert [values["fuserank_requests_total", kind] for kind in ("query", "user", "both")] == [1, 0, 1]
    assert (values["fuserank_candidates_total", "dense"], values["fuserank_candidates_total", "lexical"]) == (60, 0)
    assert values["fuserank_degraded_replies_total", "ranker_depth"] == 2
    assert (values["fuserank_empty_replies_total",], values["fuserank_unknown_users_total",]) == (1, 2)
    assert values["fuserank_stage_seconds_sum", "total"] == pytest.approx(0.018)
    assert [values["fuserank_ranker_candidates_bucket", bound] for bound in ("32", "64", "+Inf")] == [0, 2, 2]
    assert values["fuserank_bundle_info", "b-1"] == 1
    assert values["fuserank_bundle_created_timestamp_seconds",] == 1_767_312_000


@pytest.mark.parametrize("days", [-3, 3])
def test_a_warm_up_is_no_search(scrape, days: int):
    """It was kept by an export, which may have run on a machine that was started earlier or later than this one."""
    registry = Registry(scrape)
    counted = SearchMetrics(registry, MANIFEST)
    counted.observe(*search(started_ns=time.monotonic_ns() + days * 86_400 * 10**9), depth=64, features=NOTHING)
    registry.flush()
    assert scrape.values["fuserank_requests_total", "query"] == 0
    assert scrape.values["fuserank_stage_seconds_count", "total"] == 0


@pytest.mark.parametrize(
    ("query", "seen", "kind"), [(True, b"", "query"), (True, b"x", "both"), (False, b"x", "user"), (False, b"", "user")]
)
def test_kinds_are_those_that_fusion_tells_apart(query: bool, seen: bytes, kind: str):
    assert kind_of(SimpleNamespace(has_query=query, seen=seen)) == kind


def cases(rng, shift=0.0, count=200):
    """Training cases or live ones: normal values, of which a tenth is missing; the first feature may be moved."""
    features = rng.standard_normal((count, 16, len(FEATURES))).astype(np.float32)
    features[..., 0] += shift
    features[rng.random(features.shape) < 0.1] = np.nan
    return features


@pytest.fixture
def reference():
    rng = np.random.default_rng(1)
    kinds = np.asarray(["query"] * 100 + ["both"] * 90 + ["user"] * 10)
    return FeatureReference.from_cases(kinds, cases(rng), np.ones((200, 16), np.bool_))


def watched(scrape, reference, live, kind="query"):
    """The index of each feature after live searches."""
    registry = Registry(scrape)
    watching = drift.FeatureDrift(registry, reference, [feature.name for feature in FEATURES])
    for features in live:
        watching.observe(kind, features)
    registry.flush(force=True)
    return {name: value for (metric, name, *_), value in scrape.values.items() if metric == metrics.DRIFT.name}


def test_features_as_in_training_have_not_drifted(scrape, reference):
    found = watched(scrape, reference, cases(np.random.default_rng(2), count=drift.WINDOW))
    assert len(found) == len(FEATURES)
    assert max(found.values()) < 0.1


def test_a_feature_that_has_moved_stands_out_and_no_other(scrape, reference):
    found = watched(scrape, reference, cases(np.random.default_rng(2), shift=1.0, count=drift.WINDOW))
    assert found.pop(FEATURES[0].name) > 0.25
    assert max(found.values()) < 0.1


def test_a_feature_that_is_missing_more_often_has_drifted(scrape, reference):
    live = cases(np.random.default_rng(2), count=drift.WINDOW)
    live[:, :8, 3] = np.nan
    assert watched(scrape, reference, live)[FEATURES[3].name] > 0.25


def test_a_kind_with_too_few_cases_is_not_judged(scrape, reference):
    assert watched(scrape, reference, cases(np.random.default_rng(2), count=drift.WINDOW), kind="user") == {}


def test_nothing_is_said_before_a_window_is_full_and_then_one_in_eight_is_looked_at(scrape, reference):
    rng = np.random.default_rng(2)
    assert watched(scrape, reference, cases(rng, count=drift.WINDOW - 1)) == {}
    later = [*cases(rng, count=drift.WINDOW), *cases(rng, shift=2.0, count=drift.WINDOW * drift.EVERY)]
    assert watched(scrape, reference, later[:-1])[FEATURES[0].name] < 0.1
    assert watched(scrape, reference, later)[FEATURES[0].name] > 0.25


def test_a_cache_counts_what_came_since(scrape):
    registry = Registry(scrape)
    looked = functools.lru_cache(lambda key: key)
    counted = CacheMetrics(registry, {"filter": looked.cache_info})
    for key in ("a", "a", "b"):
        looked(key)
    counted.count()
    looked("b")
    counted.count()
    registry.flush()
    assert scrape.values["fuserank_cache_requests_total", "filter", "hit"] == 2
    assert scrape.values["fuserank_cache_requests_total", "filter", "miss"] == 2


@pytest.fixture
def logged():
    """A logger that writes as the server does, and what it wrote."""
    stream = io.StringIO()
    logger = logging.getLogger("test-of-logs")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield logger, stream
    logger.removeHandler(handler)


def test_an_error_is_logged_with_its_place_and_without_what_was_asked(logged):
    logger, stream = logged
    try:
        {}["the query of user 900"]
    except KeyError:
        logger.exception(
            "a stage failed on %s", "the query of user 900", extra={"stage": "retrieve", "request_id": "r-1"}
        )
    line = json.loads(stream.getvalue())
    assert (line["level"], line["error"], line["stage"], line["request_id"]) == ("error", "KeyError", "retrieve", "r-1")
    assert any(Path(__file__).name in frame for frame in line["frames"])
    assert "900" not in stream.getvalue()
    assert line["time"].endswith("+00:00")


def test_what_is_attached_to_a_record_is_not_logged_unless_it_is_ours(logged):
    logger, stream = logged
    logger.info("done", extra={"query": "milk", "user": "900", "seconds": 0.1})
    line = json.loads(stream.getvalue())
    assert set(line) == {"time", "level", "event", "seconds"}


def test_without_a_collector_nothing_of_opentelemetry_is_loaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    tracing.tracer.cache_clear()
    before = set(sys.modules)
    tracing.record("finalize", {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}, 1, 2, {})
    assert tracing.tracer() is None
    assert not any(name.startswith("opentelemetry") for name in set(sys.modules) - before)


def test_a_span_tells_what_the_reply_says_and_nothing_of_the_items():
    status = (
        b'{"bundle":"b-1","degraded":["x"],"candidates":{"dense":3},"microseconds":{},"returned":2,"user_known":true}'
    )
    assert tracing.status_attributes(status) == {
        "fuserank.bundle": "b-1",
        "fuserank.degraded": ["x"],
        "fuserank.returned": 2,
        "fuserank.candidates.dense": 3,
    }
    assert tracing.status_attributes(b"not json") == {}


def test_every_metric_is_documented_with_its_unit_and_meaning():
    rows = re.findall(
        r"^\| `(fuserank_\w+)` \| (\w+) \| ([^|]+) \| ([^|]*) \| ([^|]+) \|$", DOCS.read_text("utf-8"), re.M
    )
    documented = {name: (kind, unit, labels, meaning) for name, kind, unit, labels, meaning in rows}
    assert documented == {
        m.name: (m.kind, m.unit, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS
    }
