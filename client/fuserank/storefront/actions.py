"""What a visitor does: events, the basket, and the choices that a cookie keeps."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fuserank.events import Event
from fuserank.storefront.preferences import Knobs, Preferences, start_preferences
from fuserank.storefront.shop import Shop, list_refusals, read_place
from fuserank.storefront.visit import MAX_NOTE_VALUE, Note, Renderer, Visit, go

RECORDED = ("cart", "purchase", "hide")
TAKEN_OUT = "uncart"  # no event of the log: only this basket loses the item
MAX_FORM_FIELDS = 20


class Actions:
    """Answers what is sent with POST: it goes back to where the visitor came from.

    Args:
        shop: Records events.
        renderer: Knows the visitor.
    """

    def __init__(self, shop: Shop, renderer: Renderer) -> None:
        self._shop = shop
        self._renderer = renderer

    async def record(self, request: Request) -> Response:
        """Records that an item was put into the basket, bought or hidden; the next page knows it."""
        visit, form = await self._read(request)
        preferences, kind, item_id = visit.preferences, _text(form, "event"), _text(form, "item")
        if not item_id or kind not in (*RECORDED, TAKEN_OUT):
            raise HTTPException(404)
        if kind == TAKEN_OUT:
            return go(visit, visit.back(), preferences.take_out(item_id))
        items = await self._shop.look_up([item_id])
        if not items:
            return go(visit, visit.back(), preferences, Note("unknown", {"item": item_id[:MAX_NOTE_VALUE]}))
        after = preferences.put_in(item_id) if kind == "cart" else preferences.take_out(item_id)
        if after is None:
            return go(visit, visit.back(), preferences, Note("full"))
        event: Event = {"item_id": item_id, "event": kind}
        event.update(read_place(_text(form, "place"), _text(form, "query")))
        recorded = await self._shop.record([event], preferences)
        if reasons := list_refusals(recorded):
            return go(visit, visit.back(), preferences, Note("refused", {"reason": reasons[0][:MAX_NOTE_VALUE]}))
        title = str(items[0].fields.get("title") or item_id)[:MAX_NOTE_VALUE]
        note = Note(kind, {"title": title}) if recorded or kind == "cart" else Note("stateless")
        # The page of a hidden item would offer it again.
        back = "/" if kind == "hide" and visit.back().startswith("/item/") else visit.back()
        return go(visit, back, after.advance(recorded), note)

    async def check_out(self, request: Request) -> Response:
        """Records that all of the basket was bought, and empties it of what was."""
        visit, _ = await self._read(request)
        preferences = visit.preferences
        basket = preferences.basket
        if len(await self._shop.look_up(basket)) < len(basket) or not basket:
            return go(visit, "/basket", preferences)  # it says what is not there any more
        events: list[Event] = [{"item_id": item_id, "event": "purchase"} for item_id in basket]
        recorded = await self._shop.record(events, preferences)
        if reasons := list_refusals(recorded):
            assert recorded is not None
            bought = [item for item, outcome in zip(basket, recorded.events, strict=True) if outcome.error is None]
            after = preferences.take_out(*bought).advance(recorded)
            return go(visit, "/basket", after, Note("refused", {"reason": reasons[0][:MAX_NOTE_VALUE]}))
        note = Note("purchase_all", {"count": str(len(events))}) if recorded else Note("stateless")
        return go(visit, "/", preferences.take_out(*basket).advance(recorded), note)

    async def change_preferences(self, request: Request) -> Response:
        """Keeps what the visitor chose; what cannot be chosen is passed over."""
        visit, form = await self._read(request)
        preferences = _choose(visit.preferences, form)
        note = None
        user = form.get("user")
        if isinstance(user, str) and (not user or user in self._renderer.shoppers):
            preferences = _become(preferences, user)
            words = visit.words
            name = words("page.household", user=user) if user else words("page.new_shopper")
            note = Note("user", {"name": name})
        return go(visit, visit.back(), preferences, note)

    async def _read(self, request: Request) -> tuple[Visit, FormData]:
        """Returns who acts and what with.

        Raises:
            HTTPException: Where another site sent it.
        """
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(404)
        return self._renderer.visit(request), await request.form(max_files=0, max_fields=MAX_FORM_FIELDS)


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _choose(preferences: Preferences, form: FormData) -> Preferences:
    """Returns preferences with the choices of a form that are allowed."""
    knobs = {name: _share(form, name, getattr(preferences.knobs, name)) for name in Knobs.__struct_fields__}
    chosen: dict[str, Any] = {"knobs": knobs}
    chosen |= {name: _text(form, name) for name in ("language", "theme", "arm") if name in form}
    if "graph" in form:
        chosen["graph"] = _text(form, "graph") == "1"
    try:
        return msgspec.convert({**msgspec.structs.asdict(preferences), **chosen}, Preferences)
    except msgspec.ValidationError:
        return preferences


def _share(form: FormData, name: str, before: float) -> float:
    """Returns a slider's value, sent in percent, from 0 to 1."""
    percent = _text(form, name)
    return min(int(percent), 100) / 100 if percent.isdecimal() and len(percent) < 4 else before


def _become(preferences: Preferences, user: str) -> Preferences:
    """Returns the preferences of somebody else with the same looks: another session and an empty basket."""
    session = start_preferences().session
    return msgspec.structs.replace(preferences, user=user, session=session, basket=())
