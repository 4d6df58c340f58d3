"""Events and profiles as immutable values: what `record` and `profile` take and return.

Only the server validates an event: values are sent as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

EVENT_KINDS = (
    "view", "click", "cart", "purchase", "rating", "impression", "favourite", "share", "return", "dislike", "hide",
)  # fmt: skip


class Event(TypedDict, total=False):
    """Something that a shopper did with an item, or was shown.

    `item_id`, `event`, and one of `user_id` and `session_id` are required.

    Attributes:
        event_id: Names the event: sent again, the same one counts once. The client makes one up where it is missing.
        item_id: The item.
        event: `view`, `click`, `cart`, `purchase`, `rating`, `impression`, `favourite`, `share`, `return`, `dislike`
            or `hide`.
        timestamp: Epoch seconds or ISO 8601; the server's clock where it is missing.
        user_id: Who did it.
        session_id: In which session; of somebody who is not logged in it is all that is known.
        value: Of a rating.
        query: What had been asked.
        position: The item's place in the list, from 1.
        propensity: With what probability it stood there, as `Item.propensity` says.
        bundle: Which bundle had answered, as `Status.bundle` says.
        arm: Which arm of an experiment had, as `Status.arm` says.
    """

    event_id: str
    item_id: str
    event: str
    timestamp: float | str
    user_id: str
    session_id: str
    value: float
    query: str
    position: int
    propensity: float
    bundle: str
    arm: str


@dataclass(frozen=True)
class FieldError:
    """Why an event or a change was not taken.

    Attributes:
        field: The field at fault.
        found: What it held.
        allowed: What it may hold.
    """

    field: str
    found: str = ""
    allowed: str = ""


@dataclass(frozen=True)
class EventOutcome:
    """What became of one event.

    Attributes:
        position: Its place in the log; None where it has none.
        duplicate: Whether it had been there before.
        spooled: Whether it waits on the server's disk for a log that is away; it has no position yet.
        error: Why it was not taken.
    """

    position: int | None = None
    duplicate: bool = False
    spooled: bool = False
    error: FieldError | None = None


@dataclass(frozen=True)
class RecordResult:
    """What became of a batch of events. They are durable: they survive the end of any process.

    Attributes:
        events: The outcome of each, in their order.
        position: Of the last one in the log; `search` with this `min_position` knows them all. 0 where none was taken.
        recorded: How many are new.
        duplicates: How many had been there before.
        spooled: How many wait on the server's disk for a log that is away.
        rejected: How many have an `error`.
        unknown_items: How many of those taken name an item that the bundle has not.
    """

    events: tuple[EventOutcome, ...]
    position: int = 0
    recorded: int = 0
    duplicates: int = 0
    spooled: int = 0
    rejected: int = 0
    unknown_items: int = 0


@dataclass(frozen=True)
class Profile:
    """What is known of a user.

    Attributes:
        events: The events that the log holds, oldest first: `item_id`, `event`, `timestamp`, and `value` of ratings.
        personalised: False for one who opted out.
        forgotten: Whether the user was forgotten: what the bundle holds counts no more.
        merged: How many sessions and users were merged into this one.
        position: The user's newest entry in the log, 0 where there is none.
        bundles: Ids of the served bundles that hold the user.
    """

    events: Sequence[Mapping[str, Any]] = ()
    personalised: bool = True
    forgotten: bool = False
    merged: int = 0
    position: int = 0
    bundles: Sequence[str] = ()


@dataclass(frozen=True)
class ProfileChange:
    """What a change of a profile did.

    Attributes:
        position: Of the change in the log; `search` with this `min_position` knows it.
        erased: Entries that were erased.
        merged: Events that were merged.
        bundles: Ids of the served bundles that hold the user until the next export.
    """

    position: int
    erased: int = 0
    merged: int = 0
    bundles: Sequence[str] = ()
