"""All users' events by item as of one moment: how many and how strong, how lately, where and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.arrays import map_array
from fuserank_ensemble.interactions.blocks import BLOCK_EVENTS, user_blocks
from fuserank_ensemble.interactions.events import NegativeEvents
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS, SECONDS_PER_DAY
from fuserank_ensemble.interactions.popularity_order import order_by_popularity

Places = tuple[NDArray[np.int32], Sequence[str]]  # the code of each event, -1 where unknown, and the codes' names
# Positions of events, the code of each of these, and the codes' names: an event may have several codes, or none.
Groups = tuple[NDArray[np.int64], NDArray[np.int32], Sequence[str]]
_COUNTED = ("counts", "events", "trend", "lately", "reach")
_ITEM_ARRAYS = (*_COUNTED, "cycle", "latest", "arrived")
_CONTEXT_ARRAYS = ("offsets", "rows", "weights", "totals")
DEVICE = "device"  # what a request is made on: a kind of context like a store, which the channel `trending` passes over
LATELY_HALF_LIFE_DAYS = 7.0
LEAST_RETURNS = 3  # pairs of events that an item's cycle is believed from
LONGEST_CONTEXT = 4_096  # items kept of one context, most events first: bounds memory and a request's work


@dataclass(frozen=True)
class Contexts:
    """Events by item within each context, such as `store=330`, `hour=18` or `weekday=5`.

    Attributes:
        position: Each context's place in `offsets`.
        offsets: Where each context's items begin, int64 `[contexts + 1]`.
        rows: Item rows, increasing within a context, int32 `[pairs]`.
        weights: Strengths of the events there, each halved for every 28 days of age, float32 `[pairs]`.
        totals: The sum of these weights over all items, float64 `[contexts]`.
    """

    position: Mapping[str, int] = field(default_factory=dict)
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    weights: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    totals: NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))

    def get(self, name: str) -> tuple[NDArray[np.int32], NDArray[np.float32], float] | None:
        """Rows, weights and the total of one context; None for one that the log does not know."""
        position = self.position.get(name)
        if position is None:
            return None
        part = slice(int(self.offsets[position]), int(self.offsets[position + 1]))
        return self.rows[part], self.weights[part], float(self.totals[position])


@dataclass(frozen=True)
class Popularity:
    """The log's events, summed up by item. An event counts as much as its strength, see `EventTable`.

    Attributes:
        counts: Strengths of the events, less those of returns and the like, float32 `[items]`.
        events: How many events say that it was wanted, whatever their strength: how much is known of it, float32
            `[items]`.
        trend: Strengths as in `counts`, each halved for every 28 days of its age, float32 `[items]`.
        lately: Strengths as in `counts`, each halved for every 7 days of its age, float32 `[items]`.
        reach: Distinct users, each counted as much as their strongest event with it, float32 `[items]`.
        cycle: Mean days between two events of one user with the item on different days, NaN where fewer than
            three such pairs are known, float32 `[items]`.
        latest: The newest event, epoch seconds, NaN where there is none, float64 `[items]`.
        arrived: When the item came, epoch seconds: its `created_at`, else its first event; NaN where neither is
            known, float64 `[items]`.
        contexts: Events by item within each place, hour, weekday and group of users.
    """

    counts: NDArray[np.float32]
    events: NDArray[np.float32]
    trend: NDArray[np.float32]
    lately: NDArray[np.float32]
    reach: NDArray[np.float32]
    cycle: NDArray[np.float32]
    latest: NDArray[np.float64]
    arrived: NDArray[np.float64]
    contexts: Contexts = field(default_factory=Contexts)

    @cached_property
    def context_share(self) -> NDArray[np.float32]:
        """Each item's share in all events that `contexts` has, float32 `[items]`."""
        share: NDArray[np.float32] = self.trend / max(float(self.trend.sum(dtype=np.float64)), 1e-9)
        return share

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Item rows, most popular first."""
        return order_by_popularity(self.trend, self.counts)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Each item's position in `order`, int64 `[items]`."""
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(len(place))
        return place

    @cached_property
    def level(self) -> NDArray[np.int32]:
        """Each item's position among the distinct values of `order`; equally popular ones share it, int32 `[items]`."""
        trend, counts = self.trend[self.order], self.counts[self.order]
        level = np.empty(len(self.order), np.int32)
        level[self.order] = np.cumsum((np.diff(trend, prepend=0) != 0) | (np.diff(counts, prepend=0) != 0))
        return level

    def grown(self, arrived: NDArray[np.float64]) -> Popularity:
        """Returns the popularity of the same items and of more behind them, of which nobody had any.

        Args:
            arrived: When each of those came, epoch seconds, float64 `[more]`.
        """
        count, rows = len(arrived), np.arange(len(self.counts), len(self.counts) + len(arrived))
        none = np.zeros(count, np.float32)
        unknown = np.full(count, np.nan)
        other = Popularity(
            **{name: np.append(getattr(self, name), none) for name in _COUNTED},
            cycle=np.append(self.cycle, unknown.astype(np.float32)),
            latest=np.append(self.latest, unknown),
            arrived=np.append(self.arrived, arrived),
            contexts=self.contexts,
        )
        known = vars(self)  # what was computed of these is not computed anew
        computed = {"context_share": np.append(self.context_share, none)}
        # They stand behind all others, as sorting anew would put them.
        if "order" in known:
            computed["order"] = np.append(self.order, rows.astype(np.int32))
        if "place" in known:
            computed["place"] = np.append(self.place, rows)
        if "level" in known:
            last = self.order[-1:]
            above = bool((self.trend[last] != 0).any() or (self.counts[last] != 0).any())
            level = self.level[last[0]] + above if len(last) else 0
            computed["level"] = np.append(self.level, np.full(count, level, np.int32))
        vars(other).update(computed)
        return other

    def with_events(self, order: NDArray[np.int32], **arrays: Any) -> Popularity:
        """Returns the same after more events; what tells of contexts stays.

        Args:
            order: What `order` is by the other arrays.
            arrays: Those that are others, by name, `[items]`.
        """
        other = replace(self, **arrays)
        vars(other).update(order=order, context_share=self.context_share)
        return other

    @classmethod
    def empty(cls, items: int) -> Popularity:
        """The popularity in a shop without a log: no events, nothing known."""
        zeros = np.zeros(items, np.float32)
        unknown = np.full(items, np.nan)
        return cls(zeros, zeros, zeros, zeros, zeros, unknown.astype(np.float32), unknown, unknown)

    @classmethod
    def from_log(
        cls,
        user: NDArray[np.int32],
        rows: NDArray[np.int32],
        times: NDArray[np.int64],
        items: int,
        now: float,
        created: NDArray[np.float64] | None = None,
        places: Mapping[str, Places] | None = None,
        groups: Mapping[str, Groups] | None = None,
        weights: NDArray[np.float32] | None = None,
        negatives: NegativeEvents | None = None,
    ) -> Popularity:
        """Sums a log up.

        Args:
            user: Number of each event's user `[events]`.
            rows: Item row of each event `[events]`.
            times: Epoch seconds of each event `[events]`.
            items: Size of the catalogue.
            now: The moment that ages are measured from, epoch seconds.
            created: When each item was created, epoch seconds, NaN where unknown, float64 `[items]`.
            places: For each kind of place (`store`, `region`, `device`) its codes by event and its names.
            groups: For each kind of group of users their events.
            weights: Strength of each event, float32 `[events]`; None counts each as 1.
            negatives: Events that take strength away from their items.
        """
        strengths = np.ones(len(rows), np.float32) if weights is None else weights
        lowered = NegativeEvents.empty() if negatives is None else negatives
        first, latest = np.full(items, np.nan), np.full(items, np.nan)
        np.fmin.at(first, rows, times)
        np.fmax.at(latest, rows, times)
        arrived = first if created is None else np.where(np.isnan(created), first, created)
        raised_by, decayed = _sum_by_age(rows, strengths, times, items, now)

        def sum_up(half_life: float) -> NDArray[np.float64]:
            """What events and the negative ones leave of each item, float64 `[items]`."""
            raised = raised_by[half_life]
            if not len(lowered):
                return raised
            lost = np.exp2(-np.maximum(now - lowered.timestamp, 0) / (half_life * SECONDS_PER_DAY)) * lowered.weight
            net: NDArray[np.float64] = np.maximum(raised - np.bincount(lowered.item, lost, minlength=items), 0.0)
            return net

        trend = sum_up(HALF_LIFE_DAYS)
        if len(lowered):  # what an item lost it lost in every context
            raised = np.bincount(rows, weights=decayed, minlength=items)
            decayed = (decayed * (trend / np.where(raised > 0, raised, 1.0))[rows]).astype(np.float32)
        return cls(
            sum_up(np.inf).astype(np.float32),
            np.bincount(rows, minlength=items).astype(np.float32),
            trend.astype(np.float32),
            sum_up(LATELY_HALF_LIFE_DAYS).astype(np.float32),
            *_by_user(user, rows, times, strengths, items),
            latest,
            arrived,
            _contexts(rows, decayed, chain(_events_with_place(places or {}, times), (groups or {}).items())),
        )

    def save(self, folder: Path) -> None:
        """Writes one `.npy` an array, and the contexts' names."""
        folder.mkdir(parents=True)
        for name in _ITEM_ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        for name in _CONTEXT_ARRAYS:
            np.save(folder / f"contexts.{name}.npy", getattr(self.contexts, name))
        (folder / "contexts.json").write_text(json.dumps(list(self.contexts.position), ensure_ascii=False), "utf-8")

    @classmethod
    def open(cls, folder: Path) -> Popularity:
        """Maps what `save` wrote."""
        names = json.loads((folder / "contexts.json").read_text("utf-8"))
        contexts = Contexts(
            {name: position for position, name in enumerate(names)},
            *(map_array(folder / f"contexts.{name}.npy") for name in _CONTEXT_ARRAYS),
        )
        return cls(**{name: map_array(folder / f"{name}.npy") for name in _ITEM_ARRAYS}, contexts=contexts)


def _by_user(
    user: NDArray[np.int32],
    rows: NDArray[np.int32],
    times: NDArray[np.int64],
    strengths: NDArray[np.float32],
    items: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distinct users of each item by their strongest event, and the mean days until one of them has it again.

    Returns:
        Both float32 `[items]`.
    """
    reach, count, total = np.zeros(items), np.zeros(items), np.zeros(items)
    for events in user_blocks(user):
        day = times[events] // SECONDS_PER_DAY
        order = np.lexsort((day, rows[events], user[events]))
        of_block, block_rows, day = user[events][order], rows[events][order], day[order]
        of_event = strengths[events][order]
        again = (of_block[1:] == of_block[:-1]) & (block_rows[1:] == block_rows[:-1])
        first = np.flatnonzero(np.concatenate([[True], ~again]))
        reach += np.bincount(block_rows[first], weights=np.maximum.reduceat(of_event, first), minlength=items)
        gaps = day[1:] - day[:-1]
        returns = again & (gaps > 0)
        later, weights = block_rows[1:][returns], of_event[1:][returns]
        count += np.bincount(later, weights=weights, minlength=items)
        total += np.bincount(later, weights=weights * gaps[returns], minlength=items)
    cycle = np.where(count >= LEAST_RETURNS, total / np.maximum(count, 1), np.nan)
    return reach.astype(np.float32), cycle.astype(np.float32)


def _sum_by_age(
    rows: NDArray[np.int32], strengths: NDArray[np.float32], times: NDArray[np.int64], items: int, now: float
) -> tuple[dict[float, NDArray[np.float64]], NDArray[np.float32]]:
    """Sums strengths up by item, each halved for every so many days of age.

    Returns:
        The sums by half-life in days, infinity among them, float64 `[items]`; and the strengths as they are after
        `HALF_LIFE_DAYS`, float32 `[events]`.
    """
    sums = {half_life: np.zeros(items) for half_life in (np.inf, HALF_LIFE_DAYS, LATELY_HALF_LIFE_DAYS)}
    decayed = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK_EVENTS):
        block = slice(start, start + BLOCK_EVENTS)
        row, strength = rows[block].astype(np.intp), strengths[block]
        days = np.maximum(now - times[block], 0) / SECONDS_PER_DAY
        decayed[block] = strength * np.exp2(-days / HALF_LIFE_DAYS).astype(np.float32)
        np.add.at(sums[np.inf], row, strength.astype(np.float64))
        np.add.at(sums[HALF_LIFE_DAYS], row, decayed[block].astype(np.float64))
        np.add.at(sums[LATELY_HALF_LIFE_DAYS], row, strength * np.exp2(-days / LATELY_HALF_LIFE_DAYS))
    return sums, decayed


def hour_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hour of the day in UTC, 0 to 23."""
    hours: NDArray[np.int64] = times // 3_600 % 24
    return hours


def weekday_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Day of the week in UTC, Monday 0: the first of January 1970 was a Thursday."""
    days: NDArray[np.int64] = (times // SECONDS_PER_DAY + 3) % 7
    return days


def context_names(now: float, context: Mapping[str, str] | None) -> list[str]:
    """The contexts of a request: its place, as far as known, its hour and its weekday; as `Contexts` names them."""
    moment = datetime.fromtimestamp(now, UTC)
    named = [f"{kind}={value}" for kind, value in (context or {}).items()]
    return [*named, f"hour={moment.hour}", f"weekday={moment.weekday()}"]


def _events_with_place(places: Mapping[str, Places], times: NDArray[np.int64]) -> Iterator[tuple[str, Groups]]:
    """The events of each kind of place that have one, then all by the hour and by the day of the week."""
    for kind, (codes, names) in places.items():
        events = np.flatnonzero(codes >= 0)
        yield kind, (events, codes[events], names)
    if len(times):
        events = np.arange(len(times))
        yield "hour", (events, hour_of(times).astype(np.int32), [str(hour) for hour in range(24)])
        yield "weekday", (events, weekday_of(times).astype(np.int32), [str(day) for day in range(7)])


def _contexts(rows: NDArray[np.int32], weights: NDArray[np.float32], groups: Iterable[tuple[str, Groups]]) -> Contexts:
    """Sums up by (context, item), and keeps of each context the items with the most."""
    position: dict[str, int] = {}
    offsets, kept_rows, kept_weights, totals = [0], [], [], []
    for kind, (events, codes, names) in groups:
        by_code = np.argsort(codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))])
        for code, name in enumerate(names):
            of_context = events[by_code[starts[code] : starts[code + 1]]]
            distinct, where = np.unique(rows[of_context], return_inverse=True)
            sums = np.bincount(where, weights=weights[of_context], minlength=len(distinct)).astype(np.float32)
            best = np.sort(np.argsort(-sums, kind="stable")[:LONGEST_CONTEXT])
            position[f"{kind}={name}"] = len(position)
            kept_rows.append(distinct[best].astype(np.int32))
            kept_weights.append(sums[best])
            totals.append(float(sums.sum(dtype=np.float64)))
            offsets.append(offsets[-1] + len(best))
    return Contexts(
        position,
        np.asarray(offsets, np.int64),
        np.concatenate([*kept_rows, np.empty(0, np.int32)]),
        np.concatenate([*kept_weights, np.empty(0, np.float32)]),
        np.asarray(totals, np.float64),
    )
