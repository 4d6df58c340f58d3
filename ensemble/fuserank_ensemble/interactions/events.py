"""What an event says of a user and an item: the kinds, and the table of their strengths that a bundle carries.

A strength of 1 is that of taking an item: a purchase where the log has them. One below 0 says that the item is not
wanted. The export learns the table from the shop's own log and writes it into the bundle's manifest (`events`), from
which serving reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
# What each kind counts where a log teaches nothing of it, in purchases. Impressions are no events of a user.
PRIORS: Mapping[str, float] = {
    "view": 0.05,
    "click": 0.1,
    "cart": 0.3,
    "purchase": 1.0,
    "rating": 1.0,  # of one that is far above the user's mean, see `RatingScale`
    "favourite": 0.3,
    "share": 0.2,
    "return": -1.0,
    "dislike": -1.0,
    "hide": -1.0,
}
EVENTS = tuple(PRIORS)  # by code
CODES: Mapping[str, int] = {name: code for code, name in enumerate(EVENTS)}
IMPRESSION = len(EVENTS)  # code of an impression: an item that was shown
EVENT_NAMES = (*EVENTS, "impression")
HIDE = CODES["hide"]
# What may count as taking an item, strongest first.
TAKES = ("purchase", "rating", "cart", "favourite", "share", "click", "view")
POSITIVE = tuple(name for name, prior in PRIORS.items() if prior > 0)
NEGATIVE = tuple(name for name, prior in PRIORS.items() if prior < 0)
# Of a kind that little follows, and of one that no more follows than by chance: 0 would be no event.
LEAST_STRENGTH, NO_STRENGTH = 0.01, 0.001
# Events of one kind that count of one user with one item within a day, in a bundle and live: more say nothing more of
# the item, and nobody alone makes it popular.
MOST_A_DAY = 10
DISLIKED = 0.5  # from this strength below 0 on, an item is not recommended to the user

Source = Literal["taken", "learned", "prior"]


@dataclass(frozen=True)
class RatingScale:
    """What a rating says, measured from the mean of the user who gave it.

    A user's mean is shrunk to that of all ratings by Bühlmann's credibility: it counts `n / (n + damping)` after `n`
    ratings, where `damping` is the variance within users over that between them (Bühlmann, Experience rating and
    credibility, ASTIN Bulletin 4, 1967).

    Attributes:
        mean: Of all ratings.
        damping: How many ratings of a user count as much as the mean of all.
        spread: Root of the mean square of ratings less their user's mean; 0 where all ratings are alike.
        least_liked: On the scale of the ratings, the least that may say that an item is liked; None where unknown.
    """

    mean: float
    damping: float
    spread: float
    least_liked: float | None

    def centres(self, totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns users' shrunken means, float64 `[ratings]`.

        Args:
            totals: Sums of each user's ratings up to then, the rating itself included, float64 `[ratings]`.
            counts: How many these are, int64 `[ratings]`.
        """
        means: NDArray[np.float64] = (totals + self.damping * self.mean) / (counts + self.damping)
        return means

    def strengths(self, values: NDArray[np.float64], centres: NDArray[np.float64]) -> FloatArray:
        """Returns what ratings count, float32 `[ratings]`: 0.5 to 1 from the user's mean on, -1 to 0 below it.

        A rating in the lower half of the scale that is below the user's mean is -0.5 at most. One without a value, and
        all where every rating is alike, counts 1.

        Args:
            values: The ratings, NaN where missing, float64 `[ratings]`.
            centres: See `centres`, float64 `[ratings]`.
        """
        if not self.spread > 0:
            return np.ones(len(values), np.float32)
        above = np.clip((values - centres) / self.spread, -1.0, 1.0)
        strengths = np.where(above >= 0, 0.5 + 0.5 * above, above)
        if self.least_liked is not None:
            low = (values < self.least_liked) & (above < 0)
            strengths = np.where(low, np.minimum(strengths, -DISLIKED), strengths)
        return np.where(np.isnan(values), 1.0, strengths).astype(np.float32)


@dataclass(frozen=True)
class KindStrength:
    """What one kind of event counts.

    Attributes:
        strength: In events of the kind that counts as taking an item; below 0 it lowers.
        source: `taken` where the kind is that kind, `learned` from the log, or the `prior`.
        events: How many events of the log it was learned from.
        followed: The share of them after which the user took the item in time.
        base: That share by chance: how often other users take the same items in as much time; of a kind below 0, how
            often an item is taken again.
    """

    strength: float
    source: Source
    events: int = 0
    followed: float = 0.0
    base: float = 0.0


@dataclass(frozen=True)
class EventTable:
    """The strength of each kind of event.

    Attributes:
        kinds: By name, in the order of `EVENTS`.
        taking: The kind that counts as taking an item.
        days: How long after an event a taking counts as following it.
        ratings: What a rating's value says; None where the log has no values.
    """

    kinds: Mapping[str, KindStrength] = field(
        default_factory=lambda: {name: KindStrength(prior, "prior") for name, prior in PRIORS.items()}
    )
    taking: str = TAKES[0]
    days: float = 28.0
    ratings: RatingScale | None = None

    def __post_init__(self) -> None:
        if missing := [name for name in EVENTS if name not in self.kinds]:
            raise ValueError(f"events.kinds: has no {', '.join(missing)}")

    @cached_property
    def strengths(self) -> FloatArray:
        """Each kind's strength by its code, float32 `[kinds]`."""
        return np.asarray([self.kinds[name].strength for name in EVENTS], np.float32)

    def strength(self, event: str, value: float = math.nan, total: float = 0.0, count: int = 0) -> float:
        """Returns what one event counts.

        Args:
            event: Its kind.
            value: Of a rating; NaN where it has none.
            total: The sum of the user's ratings before it.
            count: How many these are.
        """
        strength = float(self.strengths[CODES[event]])
        if event == "rating" and self.ratings is not None and not math.isnan(value):
            values = np.asarray([value], np.float64)
            centres = self.ratings.centres(values + total, np.asarray([count + 1], np.int64))
            strength *= float(self.ratings.strengths(values, centres)[0])
        return strength

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, for the manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> EventTable:
        """Reads what `to_dict` wrote.

        Raises:
            ValueError: Where it is something else.
        """
        if missing := [field.name for field in fields(cls) if field.name not in written]:
            raise ValueError(f"events: has no {', '.join(missing)}")
        return msgspec.convert(written, cls)


@dataclass(frozen=True)
class NegativeEvents:
    """Events that say that an item is not wanted, as parallel arrays sorted by timestamp.

    Attributes:
        user: Position in `user_ids`.  # [rows] int32
        item: Row number in the catalogue.  # [rows] int32
        timestamp: Epoch seconds, UTC.  # [rows] int64
        event: Position in `EVENTS`.  # [rows] uint8
        weight: How much each lowers, above 0.  # [rows] float32
        user_ids: The log's users, and behind them those who have no other events.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    event: NDArray[np.uint8]
    weight: FloatArray
    user_ids: list[str]

    @classmethod
    def empty(cls) -> NegativeEvents:
        """Returns no events."""
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.uint8),
            np.empty(0, np.float32),
            [],
        )

    def __len__(self) -> int:
        return len(self.timestamp)

    def part(self, kept: NDArray[np.bool_]) -> NegativeEvents:
        """Returns some of the events, bool `[rows]`."""
        return NegativeEvents(
            self.user[kept],
            self.item[kept],
            self.timestamp[kept],
            self.event[kept],
            self.weight[kept],
            self.user_ids,
        )

    def before(self, moment: float) -> NegativeEvents:
        """Returns the events before a moment, epoch seconds."""
        return self.part(self.timestamp < moment)
