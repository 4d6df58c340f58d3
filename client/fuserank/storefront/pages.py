"""The pages of the shop."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from fuserank.errors import FuseRankError, InvalidRequestError
from fuserank.events import Event
from fuserank.storefront.preferences import Preferences
from fuserank.storefront.render.facets import make_facets
from fuserank.storefront.render.graph import make_panel
from fuserank.storefront.render.tiles import make_tiles
from fuserank.storefront.shop import Shop, list_refusals, read_place
from fuserank.storefront.view import LAST_PAGE, MAX_QUERY, PAGE_SIZE, SORTS, View, read_view
from fuserank.storefront.visit import Note, Renderer, Visit
from fuserank.types import Item, SearchResult

RETRY_SECONDS = "2"
CLICK = re.compile("[0-9a-f]{12}")  # as `_new_click` makes them
_LOG = logging.getLogger(__name__)


class Pages:
    """Answers each page's request.

    Args:
        shop: Asks the graph.
        renderer: Makes pages.
    """

    def __init__(self, shop: Shop, renderer: Renderer) -> None:
        self._shop = shop
        self._renderer = renderer

    async def show_home(self, request: Request) -> Response:
        """Returns the visitor's feed."""
        visit = self._renderer.visit(request)
        feed, unseen = await self._shop.home(visit.preferences, visit.language)
        known = feed.status.user_known
        tiles = make_tiles(feed, visit.words, signals=visit.preferences.graph)
        context = {
            "feed": tiles,
            # What somebody of whom nothing is known has not had is all there is.
            "unseen": make_tiles(unseen, visit.words, signals=visit.preferences.graph) if known else [],
            "known": known,
            "habits": self._habits(visit.preferences),
            "examples": [tile.kind for tile in tiles if tile.kind],
        }
        return self._page(visit, "home.html", context, feed, "")

    async def show_results(self, request: Request) -> Response:
        """Returns a page of results, with facets beside it."""
        visit = self._renderer.visit(request)
        view = await self._view(request)
        found = await self._shop.search(view, visit.preferences, visit.language)
        result = found.result
        status, total = result.status, result.status.total
        last_page = min(LAST_PAGE, max(1, -(-total.value // PAGE_SIZE))) if total else 1
        if not result.items and view.page > last_page:
            return RedirectResponse(view.at(last_page).url())
        context = {
            "view": view,
            "query": view.query,
            "tiles": make_tiles(result, visit.words, view.offset + 1, found.plain, visit.preferences.graph),
            "facets": make_facets(status.facets, view, visit.words),
            "total": total,
            "last_page": last_page,
            "sorts": SORTS,
            "did_you_mean": status.did_you_mean,
            "relaxed": status.relaxed,
            "without": status.without,
        }
        return self._page(visit, "results.html", context, result, view.query, view.offset)

    async def show_item(self, request: Request) -> Response:
        """Returns an item with what stands in for it and what goes with it; a click that led here is recorded."""
        visit = self._renderer.visit(request)
        item_id = request.path_params["item_id"]
        items = await self._shop.look_up([item_id])
        if not items:
            missing = {"heading": "item.missing", "lead": visit.words("item.missing_lead")}
            return self._renderer.page(visit, "problem.html", missing, status=404)
        visit, note = await self._record_click(visit, item_id)
        substitutes, complements = await asyncio.gather(
            self._shop.relate(item_id, visit.preferences, visit.language),
            self._shop.complete([item_id], visit.preferences, visit.language),
        )
        graph = visit.preferences.graph
        context = {
            "item": make_tiles(SearchResult(tuple(items), substitutes.status), visit.words)[0],
            "substitutes": make_tiles(substitutes, visit.words, signals=graph),
            "complements": make_tiles(complements, visit.words, signals=graph),
            "panel": make_panel(complements.status, visit.words, ranked=False) if graph else None,
            "click": _new_click(),
        }
        return self._renderer.page(visit, "item.html", context, note=note)

    async def show_basket(self, request: Request) -> Response:
        """Returns the basket with what goes well with it; what the catalogue has no more is taken out, and said."""
        visit = self._renderer.visit(request)
        items = await self._shop.look_up(visit.preferences.basket)
        known = [item.id for item in items]
        gone = [item_id for item_id in visit.preferences.basket if item_id not in known]
        visit = replace(visit, preferences=visit.preferences.take_out(*gone))
        result = await self._shop.complete(known, visit.preferences, visit.language) if items else None
        # That nothing goes with it is an answer, too, whose length is 0.
        status = None if result is None else result.status
        tiles = make_tiles(SearchResult(tuple(items), status), visit.words) if status else []
        graph = visit.preferences.graph
        context = {
            "basket": tiles,
            "sum": sum(tile.price or 0 for tile in tiles),
            "complements": make_tiles(result, visit.words, signals=graph) if result else [],
            "panel": make_panel(status, visit.words, ranked=False) if status and graph else None,
            "click": _new_click(),
        }
        note = Note("gone", {"count": str(len(gone))}) if gone else None
        return self._renderer.page(visit, "basket.html", context, note=note)

    async def show_comparison(self, request: Request) -> Response:
        """Returns the lists of the query alone, of the shopper alone and of both, side by side."""
        visit = self._renderer.visit(request)
        view = await self._view(request)
        context: dict[str, Any] = {"query": view.query, "columns": []}
        if not view.query:
            return self._renderer.page(visit, "compare.html", context)
        lists = await self._shop.compare(view.query, visit.preferences, visit.language)
        names = ("search", "recommend", "fused")
        graph = visit.preferences.graph
        context["columns"] = [
            (name, make_tiles(result, visit.words, signals=graph)) for name, result in zip(names, lists, strict=True)
        ]
        context["places"] = {
            name: {item_id: place for place, item in enumerate(result, 1) for item_id in _list_sizes(item)}
            for name, result in zip(names[:2], lists, strict=False)
        }
        return self._page(visit, "compare.html", context, lists[-1], view.query, impressions=False)

    async def list_suggestions(self, request: Request) -> Response:
        """Returns completions as the options of a list box."""
        visit = self._renderer.visit(request)
        prefix = request.query_params.get("q", "")[:MAX_QUERY]
        completions = await self._shop.suggest(prefix, visit.preferences)
        return self._renderer.fragment(visit, "_suggestions.html", completions=completions, prefix=prefix)

    async def say_ready(self, request: Request) -> Response:
        """Returns 200 where the server answers; the page of a break asks until it does."""
        return JSONResponse({"ready": await self._shop.ready()})

    async def show_break(self, request: Request, error: Exception) -> Response:
        """Returns the page of a server that does not answer; it goes on by itself."""
        visit = self._renderer.visit(request)
        response = self._renderer.page(visit, "break.html", status=503)
        response.headers["Retry-After"] = RETRY_SECONDS
        return response

    async def show_problem(self, request: Request, error: Exception) -> Response:
        """Returns the page of a request that the server refused, in the server's words."""
        visit = self._renderer.visit(request)
        message = error.message if isinstance(error, FuseRankError) else ""
        status = 400 if isinstance(error, InvalidRequestError) else 502
        return self._renderer.page(
            visit, "problem.html", {"heading": "problem.heading", "lead": message}, status=status
        )

    async def show_missing(self, request: Request, error: Exception) -> Response:
        """Returns the page of an address that there is not."""
        visit = self._renderer.visit(request)
        return self._renderer.page(visit, "problem.html", {"heading": "problem.missing", "lead": ""}, status=404)

    async def _view(self, request: Request) -> View:
        return read_view(request.query_params.multi_items(), await self._shop.facets())

    def _habits(self, preferences: Preferences) -> tuple[str, ...]:
        shopper = self._renderer.shoppers.get(preferences.user)
        return shopper.habits if shopper else ()

    async def _record_click(self, visit: Visit, item_id: str) -> tuple[Visit, Note | None]:
        """Records the click of the address: the same address counts once, however often it is opened."""
        parameters = visit.request.query_params
        token = parameters.get("click", "")
        if not CLICK.fullmatch(token):
            return visit, None
        # An item's id may be longer than an event's.
        short = hashlib.blake2b(item_id.encode(), digest_size=8).hexdigest()
        event: Event = {"event_id": f"{token}-{short}", "item_id": item_id, "event": "click"}
        event.update(read_place(parameters.get("place", ""), parameters.get("q", "")))
        recorded = await self._shop.record([event], visit.preferences)
        reasons = list_refusals(recorded)
        note = Note("refused", {"reason": reasons[0]}) if reasons else None
        return replace(visit, preferences=visit.preferences.advance(recorded)), note

    def _page(
        self,
        visit: Visit,
        template: str,
        context: dict[str, Any],
        result: SearchResult,
        query: str,
        offset: int = 0,
        *,
        impressions: bool = True,
    ) -> Response:
        """Returns the page of a list; that it was shown is recorded when the page has been sent."""
        context["panel"] = make_panel(result.status, visit.words) if visit.preferences.graph else None
        context["click"] = _new_click()
        shown = _list_impressions(result, query, offset)
        task = BackgroundTask(self._record_quietly, shown, visit.preferences) if shown and impressions else None
        return self._renderer.page(visit, template, context, background=task)

    async def _record_quietly(self, events: Sequence[Event], preferences: Preferences) -> None:
        try:
            recorded = await self._shop.record(events, preferences)
        except FuseRankError as error:  # the page was answered
            _LOG.warning("%d impressions are lost: %s", len(events), error)
            return
        if reasons := list_refusals(recorded):
            _LOG.warning("%d of %d impressions were refused: %s", len(reasons), len(events), reasons[0])


def _list_sizes(item: Item) -> list[str]:
    """Returns the ids of a tile's item and of those beneath it: another list may show the product by one of these."""
    return [item.id, *(variant.id for variant in item.variants)]


def _list_impressions(result: SearchResult, query: str, offset: int) -> list[Event]:
    """Returns what an A/B test or an off-policy evaluation needs to know of a list."""
    common: Event = {"event": "impression", "bundle": result.status.bundle}
    if query:
        common["query"] = query
    if result.status.arm:
        common["arm"] = result.status.arm
    events: list[Event] = []
    for place, item in enumerate(result, offset + 1):
        event: Event = {**common, "item_id": item.id, "position": place}
        if item.propensity is not None:
            event["propensity"] = item.propensity
        events.append(event)
    return events


def _new_click() -> str:
    return secrets.token_hex(6)
