"""What is counted of each search: its times, candidates and shortcomings, and whose bundle answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.drift import FeatureReference
from fuserank_ensemble.candidates.request import ResolvedRequest, Status
from fuserank_ensemble.graph.load_level import SHED_ORDER
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.observability.drift import FeatureDrift
from fuserank_ensemble.serving.observability.metrics import Registry

# What every bundle can meet. Counted from 0 on: a rate does not see the rise of a series that begins above 0.
REASONS = ("query_truncated", *SHED_ORDER, "deadline_passed")


class SearchMetrics:
    """Counts what `finalize` sees, which is all of a search.

    Args:
        registry: Where it counts.
        manifest: Of the bundle that answers.
        reference: The features that its ranker learned from; without them no drift is measured.
        beside: Whether the bundle answers in an arm of an experiment, beside the served one that metrics name.
    """

    def __init__(
        self,
        registry: Registry,
        manifest: Mapping[str, Any],
        reference: FeatureReference | None = None,
        beside: bool = False,
    ) -> None:
        self._registry, self._beside, self._opened_ns = registry, beside, time.monotonic_ns()
        self._drift = FeatureDrift(registry, reference, manifest["features"]) if reference else None
        for kind in ("query", "user", "both"):
            registry.add(metrics.REQUESTS, 0.0, kind=kind)
        for channel in (*CHANNELS, "fused"):
            registry.add(metrics.CANDIDATES, 0.0, channel=channel)
        for reason in REASONS:
            registry.add(metrics.DEGRADED, 0.0, reason=reason)
        registry.add(metrics.EMPTY, 0.0)
        registry.add(metrics.UNKNOWN_USERS, 0.0)
        self._bundle, self._log_end = str(manifest["id"]), float(manifest["log_end"])
        self._created = datetime.fromisoformat(manifest["created"]).timestamp()
        self._announce()

    def observe(self, resolved: ResolvedRequest, status: Status, depth: int, features: NDArray[np.float32]) -> None:
        """Counts one search; a warm-up is none, and carries the times of the export that kept it.

        Args:
            resolved: What was asked; nothing of it but its kind is kept.
            status: What the reply says of itself.
            depth: How many candidates the ranker got, those that pad the list included.
            features: Of the real ones, float32 `[candidates, F]`.
        """
        if not self._opened_ns <= resolved.started_ns <= time.monotonic_ns():
            return
        self._announce()
        registry = self._registry
        kind = kind_of(resolved)
        registry.add(metrics.REQUESTS, kind=kind)
        if self._drift:
            self._drift.observe(kind, features)
        for stage, microseconds in status.microseconds.items():
            registry.observe(metrics.STAGE_SECONDS, microseconds / 1e6, stage=stage)
        for channel, count in status.candidates.items():
            registry.add(metrics.CANDIDATES, float(count), channel=channel)
        for reason in status.degraded:
            registry.add(metrics.DEGRADED, reason=reason)
        registry.observe(metrics.RANKER_CANDIDATES, float(depth))
        registry.add(metrics.EMPTY, float(not status.returned))
        registry.add(metrics.UNKNOWN_USERS, float(not status.user_known))

    def _announce(self) -> None:
        """Says which bundle answers, where that was another before."""
        registry, before = self._registry, self._registry.served_bundle
        if self._beside or before == self._bundle:
            return
        if before:
            registry.set(metrics.BUNDLE, 0.0, bundle=before)
        registry.served_bundle = self._bundle
        registry.set(metrics.BUNDLE, 1.0, bundle=self._bundle)
        registry.set(metrics.CREATED, self._created)
        registry.set(metrics.LOG_END, self._log_end)


class LateSearchMetrics:
    """Counts the searches of a bundle that is opened beside the served one, from its first answer on.

    It is opened by a thread of its own, while a registry is for the thread that answers alone.
    """

    def __init__(self, open_metrics: Callable[[], SearchMetrics]) -> None:
        """Takes what makes the counter."""
        self._open = open_metrics
        self._metrics: SearchMetrics | None = None

    def observe(self, resolved: ResolvedRequest, status: Status, depth: int, features: NDArray[np.float32]) -> None:
        """See `SearchMetrics`."""
        if self._metrics is None:
            self._metrics = self._open()
        self._metrics.observe(resolved, status, depth, features)


def kind_of(resolved: ResolvedRequest) -> str:
    """Whether a search has a query, a user or both; a user without any history counts as none."""
    if not resolved.has_query:
        return "user"
    return "both" if resolved.seen else "query"
