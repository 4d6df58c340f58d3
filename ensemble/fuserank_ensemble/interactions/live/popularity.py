"""What all users' events since the bundle say of the items: popularity, trend, and how often what was shown is clicked.

One thread writes; readers take a whole snapshot without a lock. What a snapshot says follows from the log up to its
position alone, in whatever batches it was read.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.interactions.events import MOST_A_DAY, EventTable
from fuserank_ensemble.interactions.history import HALF_LIFE_DAYS, SECONDS_PER_DAY
from fuserank_ensemble.interactions.live.person import ItemRows
from fuserank_ensemble.interactions.popularity import LATELY_HALF_LIFE_DAYS, Popularity
from fuserank_ensemble.interactions.popularity_order import order_by_popularity, popularity_keys, reorder
from fuserank_ensemble.state.entries import Interaction, Logged
from fuserank_ensemble.state.identity import Subject
from fuserank_ensemble.state.settings import State

# Between two snapshots, each of which costs what grows with the catalogue: 10 s for a million items.
LEAST_SECONDS, SECONDS_PER_ITEM = 1.0, 1e-5
FAR_DAYS = 90.0
MAX_WAITING = 50_000  # impressions that a click may come of, latest kept
MAX_REPEATED = 100_000  # of (user, item, kind, day), latest kept: what each of them counted so far
IMPRESSION, CLICK = "impression", "click"


@dataclass(frozen=True, eq=False)
class PopularitySnapshot:
    """What is known of the items up to a position of the log.

    Attributes:
        popularity: All users' events, the bundle's and those since. What needs to know who had an item before (`reach`,
            `cycle`) and the contexts are the bundle's.
        impressions: How often each item was shown since the bundle, float32 `[items]`.
        clicks: How many of these were clicked, float32 `[items]`.
        position: The newest entry that counts, 0 where none does.
    """

    popularity: Popularity
    impressions: NDArray[np.float32]
    clicks: NDArray[np.float32]
    position: int = 0

    @classmethod
    def of_bundle(cls, popularity: Popularity) -> PopularitySnapshot:
        """Returns what a bundle alone says."""
        nothing = np.zeros(len(popularity.counts), np.float32)
        return cls(popularity, nothing, nothing)


class LivePopularity:
    """A `Consumer` of the log that counts all users' events by item.

    An event counts as much as its strength, see `EventTable`; a rating is measured from the mean of all. Ages are
    measured from the last whole day since the end of the bundle's log that the newest event has reached: what nobody
    touches keeps its value within a day. Events with items that the bundle has not are passed over.
    """

    def __init__(
        self,
        items: ItemRows,
        popularity: Popularity,
        table: EventTable,
        log_end: float,
        follows_clock: bool = True,
        most_a_day: int = MOST_A_DAY,
    ) -> None:
        """Takes what the bundle knows.

        Args:
            items: The catalogue, which may come to have items behind the bundle's.
            popularity: The bundle's.
            table: What one event of each kind counts.
            log_end: When the bundle's log ended, epoch seconds.
            follows_clock: False where requests are answered as of the end of the bundle's log, whatever the time: an
                event of `FAR_DAYS` later then counts as one of that moment, since all else would seem to be long ago.
            most_a_day: How many events of one kind with one item count of one user within a day (UTC); 0 counts all.
                A session stands for who is unknown.
        """
        self._items, self._bundled, self._table = items, popularity, table
        self._log_end, self._follows_clock, self._most_a_day = log_end, follows_clock, most_a_day
        self.current = PopularitySnapshot.of_bundle(popularity)
        self._sums: _Sums | None = None  # nothing is copied before something happens
        # Impressions that were not clicked yet: under user and item, and under session and item, both keys.
        self._waiting: OrderedDict[tuple[Subject, int], tuple[tuple[Subject, int], ...]] = OrderedDict()
        self._repeats: LRUCache[tuple[Subject, int, str, float], int] = LRUCache(MAX_REPEATED)
        self._position, self._newest = 0, log_end
        self._rows = len(popularity.counts)  # items that anything is known of
        self._order: NDArray[np.int32] | None = None  # of the latest snapshot: the items by popularity
        self._days = 0.0  # from the end of the bundle's log to that snapshot
        self._changed: set[int] = set()  # rows of the items whose popularity is another since
        self._published = -np.inf
        self.seconds = max(LEAST_SECONDS, SECONDS_PER_ITEM * len(popularity.counts))

    def attach(self, state: State, held: int) -> None:
        """See `Consumer`; it needs nothing of the state but the entries."""
        del state, held

    def apply(self, batch: Sequence[Logged]) -> None:
        """See `Consumer`. An empty batch says that there is no more for now."""
        for position, entry in batch:
            if position > self._position:
                self._position = position
                if isinstance(entry, Interaction):
                    row = self._items.row_at(entry.item_id, position)
                    if row >= 0 and not self._is_beyond_a_day(entry, row):
                        self._count(entry, row)
        if self._sums is not None and self._position > self.current.position:
            now = time.monotonic()
            if now - self._published >= self.seconds:
                self.publish()
                self._published = now

    def publish(self) -> None:
        """Makes a snapshot of all that was read."""
        if self._sums is None:
            return
        sums, bundled = self._sums.part(self._rows), self._bundled
        if self._rows > len(bundled.counts):
            bundled = bundled.grown(np.full(self._rows - len(bundled.counts), np.nan))
        days = (self._newest - self._log_end) // SECONDS_PER_DAY
        counts, trend = _net(sums.counts), _net(sums.trend * np.exp2(-days / HALF_LIFE_DAYS))
        popularity = bundled.with_events(
            self._reorder(trend, counts, days),
            counts=counts,
            events=sums.events,
            trend=trend,
            lately=_net(sums.lately * np.exp2(-days / LATELY_HALF_LIFE_DAYS)),
            latest=sums.latest,
            arrived=sums.arrived,
        )
        self.current = PopularitySnapshot(popularity, sums.impressions, sums.clicks, self._position)

    def _reorder(self, trend: NDArray[np.float32], counts: NDArray[np.float32], days: float) -> NDArray[np.int32]:
        """The items by popularity, most popular first: the last snapshot's, but for those whose popularity changed."""
        order = self._bundled.order if self._order is None else self._order
        if days != self._days or len(order) < len(counts):  # all are others, or there are more
            order = order_by_popularity(trend, counts)
        else:
            changed = np.fromiter(self._changed, np.int32, len(self._changed))
            order = reorder(order, popularity_keys(trend, counts), changed)
        self._order, self._days, self._changed = order, days, set()
        return order

    def _is_beyond_a_day(self, entry: Interaction, row: int) -> bool:
        """Whether the user did the same with the item so often that day that it says no more."""
        if not entry.subjects or not self._most_a_day:
            return False
        key = (entry.subjects[0], row, entry.event, entry.timestamp // SECONDS_PER_DAY)
        self._repeats[key] = count = self._repeats.get(key, 0) + 1
        return count > self._most_a_day

    def _count(self, entry: Interaction, row: int) -> None:
        sums = self._sums or _Sums.of(self._bundled)
        self._rows = max(self._rows, row + 1)
        if row >= len(sums.counts):
            sums = sums.grown(row + 1 + row // 8)  # with room, so that not each new item copies all
        self._sums = sums
        keys = tuple((subject, row) for subject in entry.subjects)
        if entry.event == IMPRESSION:
            sums.impressions[row] += 1
            self._waiting.update(dict.fromkeys(keys, keys))
            while len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            return
        if entry.event == CLICK:
            of_impression = next((self._waiting[key] for key in keys if key in self._waiting), ())
            sums.clicks[row] += bool(of_impression)
            for key in of_impression:
                self._waiting.pop(key, None)
        value = np.nan if entry.value is None else entry.value
        self._add(entry.timestamp, row, self._table.strength(entry.event, value))

    def _add(self, moment: float, row: int, strength: float) -> None:
        sums = self._sums
        assert sums is not None
        days = (moment - self._log_end) / SECONDS_PER_DAY
        if self._follows_clock or days < FAR_DAYS:
            self._newest = max(self._newest, moment)
        else:
            days = 0.0
        self._changed.add(row)
        sums.counts[row] += strength
        sums.trend[row] += strength * math.exp2(days / HALF_LIFE_DAYS)
        sums.lately[row] += strength * math.exp2(days / LATELY_HALF_LIFE_DAYS)
        if strength > 0:
            sums.events[row] += 1
            latest = sums.latest[row]
            if not latest >= moment:  # nor where it is not known
                sums.latest[row] = moment
            if math.isnan(sums.arrived[row]):
                sums.arrived[row] = moment


@dataclass(frozen=True)
class _Sums:
    """What the writer adds to; those of strengths as of the end of the bundle's log, all `[items]`."""

    counts: NDArray[np.float64]
    trend: NDArray[np.float64]
    lately: NDArray[np.float64]
    events: NDArray[np.float32]
    latest: NDArray[np.float64]
    arrived: NDArray[np.float64]
    impressions: NDArray[np.float32]
    clicks: NDArray[np.float32]

    @classmethod
    def of(cls, bundled: Popularity) -> _Sums:
        """Begins with what the bundle knows."""
        counts, trend, lately = (np.array(each, np.float64) for each in (bundled.counts, bundled.trend, bundled.lately))
        nothing = np.zeros(len(counts), np.float32)
        latest, arrived = (np.array(each, np.float64) for each in (bundled.latest, bundled.arrived))
        events = np.array(bundled.events, np.float32)
        return cls(counts, trend, lately, events, latest, arrived, nothing, nothing.copy())

    def part(self, items: int) -> _Sums:
        """Returns a copy of what is known of the first items."""
        return _Sums(**{name: array[:items].copy() for name, array in vars(self).items()})

    def grown(self, items: int) -> _Sums:
        """Returns the same with places for more items, of which nothing is known."""
        more = items - len(self.counts)
        unknown = {"latest", "arrived"}
        values = {
            name: np.append(array, np.full(more, np.nan if name in unknown else 0.0, array.dtype))
            for name, array in vars(self).items()
        }
        return _Sums(**values)


def _net(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is left where more was taken away than there was: nothing."""
    return np.maximum(sums, 0.0).astype(np.float32)
