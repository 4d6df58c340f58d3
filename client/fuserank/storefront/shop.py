"""The questions that the pages put to the graph."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fuserank.aio import AsyncClient
from fuserank.errors import IncompatibleServerError
from fuserank.events import Event, RecordResult
from fuserank.storefront.preferences import Preferences
from fuserank.storefront.view import MAX_QUERY, PAGE_SIZE, View
from fuserank.types import Facet, Item, Language, Request, SearchResult, SimilarOptions, Suggestion

RAIL_SIZE = 12
COMPARED = 12
SUGGESTIONS = 8
FACETS = ("category", "brand", "price")
PRICE_RANGES = 5
LOOKED_AT = 50
MAX_PLACE = 10_000  # the last that an event may name
# Whoever looks up items by their ids is nobody.
LOOKUP_SESSION = "storefront-lookup"


@dataclass(frozen=True)
class Found:
    """A page of results.

    Attributes:
        result: The list, as the arm that the visitor chose orders it.
        plain: The list of arm `a`, where the visitor chose `b`; else None.
    """

    result: SearchResult
    plain: SearchResult | None


class Shop:
    """Asks the graph for what each page shows.

    Args:
        client: Its calls go to the server.
        facets: Fields that lists can be narrowed by; by default those of `FACETS` that the catalogue has.
        images: Whether to ask for `image_url`.
    """

    def __init__(self, client: AsyncClient, facets: Sequence[str] = (), images: bool = False) -> None:
        self._client = client
        self._facets = tuple(facets)
        self._images = images
        self._fields: tuple[str, ...] = ()

    async def facets(self) -> tuple[str, ...]:
        """Returns the fields that lists can be narrowed by."""
        if not self._facets:
            fields = await self._known_fields()
            self._facets = tuple(name for name in FACETS if name in fields)
        return self._facets

    async def search(self, view: View, preferences: Preferences, language: Language) -> Found:
        """Returns a page of results with facets; with arm `b` also the list of arm `a`, from one call."""
        plain = replace(
            await self._explained(preferences.ask(view.query), language),
            k=PAGE_SIZE,
            filter=view.to_filter(),
            facets=[Facet(field=n, ranges=PRICE_RANGES) if n == "price" else n for n in await self.facets()],
            offset=view.offset,
            sort=view.sort,
            collapse=True,
            highlight=True,
        )
        # A list that is sorted by a field has one order, whatever the sliders say.
        if preferences.arm == "a" or view.sort != "relevance":
            return Found((await self._client.search_batch([plain]))[0], None)
        first, second = await self._client.search_batch([preferences.rank(plain), plain])
        return Found(first, second)

    async def home(self, preferences: Preferences, language: Language) -> tuple[SearchResult, SearchResult]:
        """Returns what the visitor is recommended, and what of it would be new to the visitor, from one call."""
        request = await self._explained(preferences.ask(), language)
        feed = preferences.rank(replace(request, k=RAIL_SIZE, collapse=True))
        first, second = await self._client.search_batch([feed, replace(feed, exclude_seen=True)])
        return first, second

    async def compare(self, query: str, preferences: Preferences, language: Language) -> list[SearchResult]:
        """Returns the same moment asked three ways, from one call: the query alone, the user alone, both."""
        both = replace(await self._explained(preferences.ask(query), language), k=COMPARED, collapse=True)
        ways = [replace(both, user="", session_id=None), replace(both, query=""), both]
        # Places are compared, so that no item takes one by chance.
        return await self._client.search_batch([replace(preferences.rank(way), explore=None) for way in ways])

    async def relate(self, item_id: str, preferences: Preferences, language: Language) -> SearchResult:
        """Returns what stands in for an item."""
        return await self._client.similar(item_id, **await self._related(preferences, language))

    async def complete(self, item_ids: Sequence[str], preferences: Preferences, language: Language) -> SearchResult:
        """Returns what people who have these items have beside them."""
        options = await self._related(preferences, language)
        options["basket"], options["relation"] = item_ids, "complement"
        return await self._client.similar(**options)

    async def look_up(self, item_ids: Sequence[str]) -> list[Item]:
        """Returns items by their ids, in their order; those that the catalogue has not are left out."""
        if not item_ids:
            return []
        result = await self._client.recommend(
            "",
            session_id=LOOKUP_SESSION,
            k=len(item_ids),
            rules=[{"pin": 1, "item_ids": list(item_ids)}],
            fields=await self._returned(),
        )
        items = {item.id: item for item in result if item.placed == "pin"}
        return [items[item_id] for item_id in item_ids if item_id in items]

    async def suggest(self, prefix: str, preferences: Preferences) -> list[Suggestion]:
        """Completes a query while it is typed; what the visitor has had comes first."""
        return await self._client.suggest(prefix, SUGGESTIONS, preferences.user or None)

    async def record(self, events: Sequence[Event], preferences: Preferences) -> RecordResult | None:
        """Records what the visitor did; returns None where the server keeps no state."""
        who: Event = {"user_id": preferences.user} if preferences.user else {"session_id": preferences.session}
        named: list[Event] = [{"event_id": uuid.uuid4().hex, **event, **who} for event in events]
        try:
            return await self._client.record(named)
        except IncompatibleServerError:
            return None

    async def ready(self) -> bool:
        """Returns whether the server answers searches; raises the client's errors where it does not."""
        await self._client.suggest("", 1)
        return True

    async def _related(self, preferences: Preferences, language: Language) -> SimilarOptions:
        return SimilarOptions(
            k=RAIL_SIZE,
            explain=True,
            language=language,
            user=preferences.user or None,
            session_id=None if preferences.user else preferences.session,
            min_position=preferences.position or None,
            fields=await self._returned(),
        )

    async def _explained(self, request: Request, language: Language) -> Request:
        return replace(request, explain=True, language=language, fields=await self._returned())

    async def _returned(self) -> list[str]:
        """Returns the fields that tiles show."""
        fields = await self._known_fields()
        return [*fields, "image_url"] if self._images else list(fields)

    async def _known_fields(self) -> tuple[str, ...]:
        """Returns those of the fields that a reply has by default that the catalogue has."""
        if not self._fields:
            # An item without a value leaves the field out.
            result = await self._client.recommend("", session_id=LOOKUP_SESSION, k=LOOKED_AT)
            self._fields = tuple(dict.fromkeys(name for item in result for name in item.fields))
        return self._fields


def list_refusals(recorded: RecordResult | None) -> list[str]:
    """Returns why events were not taken, in the server's words."""
    errors = [outcome.error for outcome in recorded.events if outcome.error] if recorded else []
    return [f"{error.field}: found {error.found}; allowed: {error.allowed}" for error in errors]


def read_place(place: str, query: str) -> Event:
    """Returns where in which list an item stood, as far as a form or an address says it."""
    event: Event = {}
    if place.isdecimal() and len(place) < 6 and 0 < int(place) <= MAX_PLACE:
        event["position"] = int(place)
    if query:
        event["query"] = query[:MAX_QUERY]
    return event
