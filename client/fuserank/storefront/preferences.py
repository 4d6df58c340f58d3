"""What a visitor of the shop has chosen, kept in one cookie."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from fuserank.events import RecordResult
from fuserank.types import Explore, Language, Request

COOKIE = "fuserank-shop"
MAX_BASKET = 30

Theme = Literal["auto", "light", "dark"]
Arm = Literal["a", "b"]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1)]
# A browser drops a cookie of more than 4,096 bytes; what is not the basket may still grow by some.
MAX_COOKIE_BYTES = 3_900


class Knobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sliders: weights of the heads, diversity, and the probability with which the last places explore."""

    relevance: Weight = 0.5
    click: Weight = 0.5
    purchase: Weight = 0.5
    diversity: Weight = 0.3
    explore: Weight = 0.0


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a visitor has chosen.

    Attributes:
        session: The visitor's session; what it does counts for it where no shopper is chosen.
        user: The shopper that is played; empty for a new one, of whom only the session is known.
        language: Of the page and of the reasons; None where the browser's own counts.
        theme: Colours of the page.
        graph: Whether the panel of the graph is open.
        arm: `a` orders as the server does by default, `b` as the sliders say.
        knobs: The sliders.
        position: Of the last recorded event in the log; the next answer knows it.
        basket: Ids of items, oldest first.
    """

    session: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    user: Annotated[str, msgspec.Meta(max_length=256)] = ""
    language: Language | None = None
    theme: Theme = "auto"
    graph: bool = False
    arm: Arm = "a"
    knobs: Knobs = Knobs()
    position: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    basket: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_BASKET)] = ()

    def ask(self, query: str = "") -> Request:
        """Returns a request of the visitor that knows what the visitor did last."""
        session = None if self.user else self.session
        return Request(query, self.user, session_id=session, min_position=self.position or None)

    def weighs(self, query: str) -> bool:
        """Returns whether a slider of a head that counts for the query is above 0; a recommendation has no relevance.

        Where none is, there is no order to send, and the shop's own weights hold.
        """
        knobs = self.knobs
        return knobs.click + knobs.purchase + (knobs.relevance if query else 0) > 0

    def rank(self, request: Request) -> Request:
        """Returns a request ordered as the sliders say; with arm `a` as it is."""
        if self.arm == "a":
            return request
        knobs, last = self.knobs, request.k or 1
        weights = {"relevance": knobs.relevance, "click": knobs.click, "purchase": knobs.purchase}
        explored = Explore(rate=knobs.explore, slots=list(range(max(1, last - 3), last + 1)))
        return replace(
            request,
            diversity=knobs.diversity,
            objective=weights if self.weighs(request.query) else None,
            # Its slots are places of the first page.
            explore=explored if knobs.explore > 0 and not request.offset else None,
        )

    def put_in(self, item_id: str) -> Preferences | None:
        """Returns preferences with an item in the basket; None where it, or the cookie, would be too full."""
        filled = msgspec.structs.replace(self, basket=tuple(dict.fromkeys((*self.basket, item_id))))
        fits = len(filled.basket) <= MAX_BASKET and len(write_preferences(filled)) <= MAX_COOKIE_BYTES
        return filled if fits else None

    def take_out(self, *item_ids: str) -> Preferences:
        """Returns preferences without some items in the basket."""
        return msgspec.structs.replace(self, basket=tuple(kept for kept in self.basket if kept not in item_ids))

    def advance(self, recorded: RecordResult | None) -> Preferences:
        """Returns preferences whose next answer knows what was recorded."""
        return msgspec.structs.replace(self, position=max(self.position, recorded.position if recorded else 0))


def start_preferences() -> Preferences:
    """Returns the preferences of somebody who was never here."""
    return Preferences(session=secrets.token_urlsafe(12))


def read_preferences(cookie: str | None, users: Collection[str]) -> Preferences:
    """Returns what a cookie holds, or new preferences where it holds nothing valid.

    Args:
        cookie: The cookie's value, as `write_preferences` returned it.
        users: The shoppers that may be played; another one counts as new.
    """
    try:
        preferences = msgspec.json.decode(base64.urlsafe_b64decode(cookie or ""), type=Preferences)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return start_preferences()
    return preferences if not preferences.user or preferences.user in users else start_preferences()


def write_preferences(preferences: Preferences) -> str:
    """Returns preferences as the value of a cookie."""
    return base64.urlsafe_b64encode(msgspec.json.encode(preferences)).decode("ascii")
