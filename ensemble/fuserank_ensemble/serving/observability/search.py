"""What is counted of each search: its times, candidates and shortcomings, and whose bundle answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.drift import FeatureReference
from fuserank_ensemble.candidates.request import ResolvedRequest, Status
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.observability.drift import FeatureDrift
from fuserank_ensemble.serving.observability.metrics import Registry

# What every bundle can meet. Counted from 0 on: a rate does not see the rise of a series that begins above 0.
REASONS = ("query_truncated", "ranker_depth", "text_tower", "deadline_passed")


class SearchMetrics:
    """Counts what `finalize` sees, which is all of a search.

    Args:
        registry: Where it counts.
        manifest: Of the bundle that answers.
        reference: The features that its ranker learned from; without them no drift is measured.
    """

    def __init__(
        self, registry: Registry, manifest: Mapping[str, Any], reference: FeatureReference | None = None
    ) -> None:
        self._registry, self._opened_ns = registry, time.monotonic_ns()
        self._drift = FeatureDrift(registry, reference, manifest["features"]) if reference else None
        for kind in ("query", "user", "both"):
            registry.add(metrics.REQUESTS, 0.0, kind=kind)
        for channel in (*CHANNELS, "fused"):
            registry.add(metrics.CANDIDATES, 0.0, channel=channel)
        for reason in REASONS:
            registry.add(metrics.DEGRADED, 0.0, reason=reason)
        registry.add(metrics.EMPTY, 0.0)
        registry.add(metrics.UNKNOWN_USERS, 0.0)
        registry.set(metrics.BUNDLE, 1.0, bundle=str(manifest["id"]))
        registry.set(metrics.CREATED, datetime.fromisoformat(manifest["created"]).timestamp())
        registry.set(metrics.LOG_END, float(manifest["log_end"]))

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


def kind_of(resolved: ResolvedRequest) -> str:
    """Whether a search has a query, a user or both; a user without any history counts as none."""
    if not resolved.has_query:
        return "user"
    return "both" if resolved.seen else "query"
