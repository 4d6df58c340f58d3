"""Hits and misses of a stage's caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fuserank_ensemble.graph.caches import CacheCounts
from fuserank_ensemble.serving.observability import metrics
from fuserank_ensemble.serving.observability.metrics import Registry


class CacheMetrics:
    """Counts what has been looked up since it was last asked.

    Args:
        registry: Where it counts.
        caches: Each cache's `cache_info`, by name.
    """

    def __init__(self, registry: Registry, caches: Mapping[str, Callable[[], CacheCounts]]) -> None:
        self._registry, self._caches = registry, caches
        self._counted = {(name, result): 0 for name in caches for result in ("hit", "miss")}
        for cache, result in self._counted:
            registry.add(metrics.CACHE, 0.0, cache=cache, result=result)

    def count(self) -> None:
        """Adds the look-ups since the last call."""
        for name, info in self._caches.items():
            now = info()
            for result, total in (("hit", now.hits), ("miss", now.misses)):
                if total != self._counted[name, result]:
                    self._registry.add(
                        metrics.CACHE, float(total - self._counted[name, result]), cache=name, result=result
                    )
                    self._counted[name, result] = total
