"""All users' events by item as of one moment: how many, how lately, where and when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.mapped import mapped
from ensemble.retrieval.items import HALF_LIFE_DAYS

Places = tuple[NDArray[np.int32], Sequence[str]]  # the code of each event, -1 where unknown, and the codes' names
_CONTEXT_ARRAYS = ("offsets", "rows", "weights", "totals")
LONGEST_CONTEXT = 4_096  # items kept of one context, most events first: bounds memory and a request's work


@dataclass(frozen=True)
class Contexts:
    """Events by item within each context, such as `store=330`, `hour=18` or `weekday=5`.

    Attributes:
        position: Each context's place in `offsets`.
        offsets: Where each context's items begin, int64 `[contexts + 1]`.
        rows: Item rows, increasing within a context, int32 `[pairs]`.
        weights: Events there, each halved for every 28 days of age, float32 `[pairs]`.
        totals: The same of all items, float64 `[contexts]`.
    """

    position: Mapping[str, int] = field(default_factory=dict)
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    totals: NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))

    def of(self, name: str) -> tuple[NDArray[np.int32], NDArray[np.float32], float] | None:
        """Rows, weights and the total of one context; None for one that the log does not know."""
        at = self.position.get(name)
        if at is None:
            return None
        part = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
        return self.rows[part], self.weights[part], float(self.totals[at])


@dataclass(frozen=True)
class Popularity:
    """The log, counted.

    Attributes:
        counts: Events, float32 `[items]`.
        trend: Events, each halved for every 28 days of its age, float32 `[items]`.
        arrived: When the item came, epoch seconds: its `created_at`, else its first event; NaN where neither is
            known, float64 `[items]`.
        contexts: The same by place and time of day.
    """

    counts: NDArray[np.float32]
    trend: NDArray[np.float32]
    arrived: NDArray[np.float64]
    contexts: Contexts = field(default_factory=Contexts)

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Item rows, most popular first."""
        order: NDArray[np.int32] = np.lexsort((-self.counts, -self.trend)).astype(np.int32)
        return order

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Each item's position in `order`, int64 `[items]`."""
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(len(place))
        return place

    @cached_property
    def total(self) -> float:
        """All items' trend."""
        return float(self.trend.sum(dtype=np.float64))

    @classmethod
    def none(cls, items: int) -> Popularity:
        """That of a shop without a log."""
        zeros = np.zeros(items, np.float32)
        return cls(zeros, zeros, np.full(items, np.nan))

    @classmethod
    def of_log(
        cls,
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
        items: int,
        now: float,
        created: NDArray[np.float64] | None = None,
        places: Mapping[str, Places] | None = None,
    ) -> Popularity:
        """Counts a log.

        Args:
            rows: Item row of each event `[events]`.
            times: Epoch seconds of each event `[events]`.
            items: Size of the catalogue.
            now: The moment that ages are measured from, epoch seconds.
            created: When each item was created, epoch seconds, NaN where unknown, float64 `[items]`.
            places: For each kind of place (`store`, `region`) its codes by event and its names.
        """
        decay = np.exp2(-np.maximum(now - times, 0) / (HALF_LIFE_DAYS * 86_400)).astype(np.float32)
        first = np.full(items, np.inf)
        np.minimum.at(first, rows, times)
        first[np.isinf(first)] = np.nan
        arrived = first if created is None else np.where(np.isnan(created), first, created)
        all_places = dict(places or {})
        if len(rows):
            all_places["hour"] = (hour_of(times).astype(np.int32), [str(hour) for hour in range(24)])
            all_places["weekday"] = (weekday_of(times).astype(np.int32), [str(day) for day in range(7)])
        return cls(
            np.bincount(rows, minlength=items).astype(np.float32),
            np.bincount(rows, weights=decay, minlength=items).astype(np.float32),
            arrived,
            _contexts(rows, decay, items, all_places),
        )

    def save(self, folder: Path) -> None:
        """Writes one `.npy` an array, and the contexts' names."""
        folder.mkdir(parents=True)
        for name in ("counts", "trend", "arrived"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        for name in _CONTEXT_ARRAYS:
            np.save(folder / f"contexts.{name}.npy", getattr(self.contexts, name))
        (folder / "contexts.json").write_text(json.dumps(list(self.contexts.position), ensure_ascii=False), "utf-8")

    @classmethod
    def open(cls, folder: Path) -> Popularity:
        """Maps what `save` wrote."""
        names = json.loads((folder / "contexts.json").read_text("utf-8"))
        contexts = Contexts(
            {name: at for at, name in enumerate(names)},
            *(mapped(folder / f"contexts.{name}.npy") for name in _CONTEXT_ARRAYS),
        )
        counts, trend, arrived = (mapped(folder / f"{name}.npy") for name in ("counts", "trend", "arrived"))
        return cls(counts, trend, arrived, contexts)


def hour_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hour of the day in UTC, 0 to 23."""
    hours: NDArray[np.int64] = times // 3_600 % 24
    return hours


def weekday_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Day of the week in UTC, Monday 0: the first of January 1970 was a Thursday."""
    days: NDArray[np.int64] = (times // 86_400 + 3) % 7
    return days


def context_names(now: float, context: Mapping[str, str] | None) -> list[str]:
    """The contexts that a request is asked in: its place, as far as known, and its time."""
    moment = datetime.fromtimestamp(now, UTC)
    named = [f"{kind}={value}" for kind, value in (context or {}).items()]
    return [*named, f"hour={moment.hour}", f"weekday={moment.weekday()}"]


def _contexts(
    rows: NDArray[np.int32], weights: NDArray[np.float32], items: int, places: Mapping[str, Places]
) -> Contexts:
    """Sums up by (context, item), and keeps of each context the items with the most."""
    position: dict[str, int] = {}
    offsets, kept_rows, kept_weights, totals = [0], [], [], []
    for kind, (codes, names) in places.items():
        known = np.flatnonzero(codes >= 0)
        pairs, where = np.unique(codes[known].astype(np.int64) * items + rows[known], return_inverse=True)
        sums = np.bincount(where, weights=weights[known]).astype(np.float32)
        starts = np.searchsorted(pairs, np.arange(len(names) + 1, dtype=np.int64) * items)
        for code, name in enumerate(names):
            part = slice(starts[code], starts[code + 1])
            best = np.sort(np.argsort(-sums[part], kind="stable")[:LONGEST_CONTEXT])
            position[f"{kind}={name}"] = len(position)
            kept_rows.append((pairs[part][best] % items).astype(np.int32))
            kept_weights.append(sums[part][best])
            totals.append(float(sums[part].sum(dtype=np.float64)))
            offsets.append(offsets[-1] + len(best))
    return Contexts(
        position,
        np.asarray(offsets, np.int64),
        np.concatenate([*kept_rows, np.empty(0, np.int32)]),
        np.concatenate([*kept_weights, np.empty(0, np.float32)]),
        np.asarray(totals, np.float64),
    )
