"""The product's own metrics, beside Triton's: each declared once, and counted here until they are handed on.

Handing a number to Triton is a message between processes (16 µs on an idle core, several times that on a busy one), and
a search changes some thirty of them: they are summed up here, and what changed is handed on once a second at most.
Triton's own histograms take one value at a time, so ours are written as Prometheus defines one: the three counters
`_bucket`, `_sum` and `_count` (https://prometheus.io/docs/concepts/metric_types/#histogram).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

Labels = tuple[tuple[str, str], ...]
FLUSH_SECONDS = 1.0


@dataclass(frozen=True, eq=False)  # each is declared once, and a hash of its identity is quick
class Metric:
    """One metric: `name` as Prometheus has it, its labels, and what a number of it means."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds of a histogram, without infinity

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which it is scraped."""
        return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count")) if self.buckets else (self.name,)


SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

REQUESTS = Metric("fuserank_requests_total", "counter", "requests", "searches answered, by what they held", ("kind",))
STAGE_SECONDS = Metric(
    "fuserank_stage_seconds",
    "histogram",
    "seconds",
    "time of one search in each stage (`total` in all, from the first stage's start); an engine's includes its queue",
    ("stage",),
    SECONDS,
)
CANDIDATES = Metric(
    "fuserank_candidates_total",
    "counter",
    "items",
    "candidates found by each channel, and `fused`; over the requests it is the mean of a search",
    ("channel",),
)
RANKER_CANDIDATES = Metric(
    "fuserank_ranker_candidates",
    "histogram",
    "items",
    "candidates that the ranker got for one search",
    (),
    (32.0, 64.0, 128.0, 256.0),
)
DEGRADED = Metric(
    "fuserank_degraded_replies_total",
    "counter",
    "replies",
    "replies that were cut short, by the reason in `STATUS.degraded`; a channel that could not be asked has its name",
    ("reason",),
)
EMPTY = Metric("fuserank_empty_replies_total", "counter", "replies", "replies without any item")
UNKNOWN_USERS = Metric(
    "fuserank_unknown_users_total",
    "counter",
    "requests",
    "searches of a user, or of nobody, whom the log does not know",
)
INVALID = Metric(
    "fuserank_invalid_requests_total", "counter", "requests", "requests refused as INVALID_ARGUMENT", ("model",)
)
ERRORS = Metric(
    "fuserank_internal_errors_total", "counter", "requests", "requests that a stage failed on (INTERNAL)", ("model",)
)
REFUSED = Metric(
    "fuserank_refused_requests_total",
    "counter",
    "requests",
    "requests refused as UNAVAILABLE by a stage itself, beside those that a full queue refuses",
    ("model",),
)
CACHE = Metric(
    "fuserank_cache_requests_total",
    "counter",
    "look-ups",
    "look-ups in a cache (`filter`: the items that a request's filter lets through; `embedding`: of queries; "
    "`pair_score`: of pairs that a text tower reads), by `result`: hit or miss",
    ("cache", "result"),
)
BUNDLE = Metric(
    "fuserank_bundle_info",
    "gauge",
    "1",
    "1 of the served bundle, which the label names; 0 of one that was served before",
    ("bundle",),
)
CREATED = Metric(
    "fuserank_bundle_created_timestamp_seconds",
    "gauge",
    "seconds since 1970",
    "when the bundle was exported; the index's age is the time since",
)
LOG_END = Metric(
    "fuserank_log_end_timestamp_seconds", "gauge", "seconds since 1970", "the last event that the bundle learned from"
)
DRIFT = Metric(
    "fuserank_feature_drift",
    "gauge",
    "population stability index",
    "how far a feature has moved from what the ranker learned from, over 64 searches of a kind",
    ("feature", "kind"),
)
METRICS = (
    REQUESTS,
    STAGE_SECONDS,
    CANDIDATES,
    RANKER_CANDIDATES,
    DEGRADED,
    EMPTY,
    UNKNOWN_USERS,
    INVALID,
    ERRORS,
    REFUSED,
    CACHE,
    BUNDLE,
    CREATED,
    LOG_END,
    DRIFT,
)


class Sink(Protocol):
    """Where numbers go, such as Triton's metrics endpoint."""

    def add(self, name: str, kind: Literal["counter", "gauge"], meaning: str, labels: Labels, value: float) -> None:
        """Adds to a counter, or sets a gauge."""
        ...


class Registry:
    """Sums up what a process counts, and hands it on."""

    def __init__(self, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink, self._clock = sink, clock
        self._pending: dict[tuple[Metric, Labels], float] = {}
        # Of each histogram the counts of its buckets, the last that of what is above all of them, and the values.
        self._observed: dict[tuple[Metric, Labels], tuple[list[int], list[float]]] = {}
        self._flushed = float("-inf")
        self.served_bundle = ""  # whose gauges stand

    def add(self, metric: Metric, value: float = 1.0, **labels: str) -> None:
        """Adds to a counter; adding 0 makes it be scraped, so that its first event is seen as a rise."""
        key = metric, _checked(metric, labels)
        self._pending[key] = self._pending.get(key, 0.0) + value

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Sets a gauge."""
        self._pending[metric, _checked(metric, labels)] = value

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Adds one value to a histogram."""
        key = metric, _checked(metric, labels)
        if key not in self._observed:
            self._observed[key] = [0] * (len(metric.buckets) + 1), []
        counts, values = self._observed[key]
        counts[bisect_left(metric.buckets, value)] += 1
        values.append(value)

    def flush(self, force: bool = False) -> None:
        """Hands on what has changed, unless that was done within the last second.

        After a pause the first request is handed on at once; the last ones before a pause go with the next, such as
        that of the liveness probe.
        """
        now = self._clock()
        if not (self._pending or self._observed) or (now - self._flushed < FLUSH_SECONDS and not force):
            return
        pending, observed, self._flushed = self._pending, self._observed, now
        self._pending, self._observed = {}, {}
        for (metric, labels), value in pending.items():
            self._sink.add(metric.name, "gauge" if metric.kind == "gauge" else "counter", metric.meaning, labels, value)
        for (metric, labels), (counts, values) in observed.items():
            bucket, total, count = metric.series
            bounds = (*(f"{bound:g}" for bound in metric.buckets), "+Inf")
            for bound, below in zip(bounds, accumulate(counts), strict=True):
                self._sink.add(bucket, "counter", metric.meaning, (*labels, ("le", bound)), below)
            self._sink.add(total, "counter", metric.meaning, labels, sum(values))
            self._sink.add(count, "counter", metric.meaning, labels, len(values))


def _checked(metric: Metric, labels: dict[str, str]) -> Labels:
    if tuple(labels) != metric.labels:
        raise ValueError(f"{metric.name}: found the labels {tuple(labels)}; declared: {metric.labels}")
    return tuple(labels.items())
