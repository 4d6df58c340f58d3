"""How long the ranker takes on the machine that measured a bundle's engines; deadlines and threads follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A text tower below this is not worth handing half of it to another thread, and gains by taking more requests at once.
HEAVY_MS = 3.0
RESERVE_MS = 2.0  # an allowance for finalize (0.3 ms in docs/reports/demo.json) and the hops around it


@dataclass(frozen=True)
class RankerCost:
    """The ranker's milliseconds for one request.

    Attributes:
        candidates: By bucket of candidates, without pairs.
        pairs: What `full` pairs add to that, by bucket of their length; empty without a text tower.
        full: How many pairs a request may have.
    """

    candidates: Mapping[int, float]
    pairs: Mapping[int, float]
    full: int

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], full: int) -> RankerCost:
        """Reads a bundle's manifest."""
        alone, pairs = (
            {int(bucket): float(ms) for bucket, ms in manifest.get(name, {}).items()}
            for name in ("ranker_ms", "text_tower_ms")
        )
        return cls(alone, pairs, full)

    def candidates_ms(self, bucket: int) -> float:
        """Milliseconds of a bucket of candidates; 0 where it was not measured."""
        return self.candidates.get(bucket, 0.0)

    def pairs_ms(self, count: int, length: int) -> float:
        """Milliseconds that `count` pairs of `length` tokens add."""
        fits = [bucket for bucket in self.pairs if bucket >= length]
        return self.pairs[min(fits)] * count / self.full if fits and count else 0.0

    @property
    def heavy(self) -> bool:
        """Whether a request's pairs are a heavy load for one core, if they are as short as texts are."""
        return self.pairs_ms(self.full, 1) >= HEAVY_MS
