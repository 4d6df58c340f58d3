"""A shop of three products behind the client's methods, for the storefront's pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fuserank.errors import IncompatibleServerError
from fuserank.events import EventOutcome, FieldError, RecordResult
from fuserank.types import Item, SearchResult, Status, Suggestion, Total

PRODUCTS = {
    "1": {"title": "Milk", "category": "Food > Dairy", "price": 2.5},
    "2": {"title": "Lamp", "brand": "Acme", "category": ["Home", "Light"]},
    "3": {"title": "牛奶", "category": "Food > Dairy", "price": 1250.0},
}


class ShopClient:
    """Stands in for `AsyncClient`: keeps what it was asked, and answers from `products`.

    Attributes:
        products: The catalogue: fields by id.
        batches: The requests of each `search_batch`.
        looked_up: The options of each `recommend`.
        related: The options of each `similar`.
        events: What was recorded.
        alike: Ids that `similar` answers with; all of them where it is None.
        refused: Ids of items whose events are not taken.
        stateless: Whether the server keeps no state.
        failure: What every call raises, where it is set.
        pauses: Seconds that the next events `cart` take, one each.
    """

    def __init__(self) -> None:
        self.products: dict[str, dict[str, Any]] = {item_id: dict(fields) for item_id, fields in PRODUCTS.items()}
        self.batches: list[Any] = []
        self.looked_up: list[Any] = []
        self.related: list[Any] = []
        self.events: list[Any] = []
        self.refused: set[str] = set()
        self.stateless = False
        self.failure: Exception | None = None
        self.pauses: list[float] = []
        self.alike: list[str] | None = None

    async def search_batch(self, requests: Sequence[Any]) -> list[SearchResult]:
        self._fail()
        self.batches.append(list(requests))
        found = Status(total=Total(len(self.products)), user_known=True)
        return [SearchResult(self._items(), found) for _ in requests]

    async def recommend(self, user: str, **options: Any) -> SearchResult:
        self._fail()
        self.looked_up.append(options)
        rules = options.get("rules")
        pinned = [item for item in rules[0]["item_ids"] if item in self.products] if rules else []
        return SearchResult(self._items(pinned or None, "pin" if pinned else ""), Status())

    async def similar(self, item_id: str = "", **options: Any) -> SearchResult:
        self._fail()
        self.related.append({"item_id": item_id, **options})
        return SearchResult(self._items(self.alike), Status(bundle="b-1"))

    async def suggest(self, prefix: str, count: int | None = None, user: str | None = None) -> list[Suggestion]:
        self._fail()
        self.related.append({"prefix": prefix, "count": count, "user": user})
        return [Suggestion("milk", 2.0)]

    async def record(self, events: Sequence[Any]) -> RecordResult:
        self._fail()
        if self.pauses and events[0]["event"] == "cart":
            await asyncio.sleep(self.pauses.pop(0))
        if self.stateless:
            raise IncompatibleServerError("no state")
        outcomes = []
        for event in events:
            if event["item_id"] in self.refused:
                outcomes.append(EventOutcome(error=FieldError("item_id", event["item_id"], "another item")))
            else:
                self.events.append(event)
                outcomes.append(EventOutcome(len(self.events)))
        rejected = sum(outcome.error is not None for outcome in outcomes)
        return RecordResult(tuple(outcomes), len(self.events), len(events) - rejected, rejected=rejected)

    async def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.failure:
            raise self.failure

    def _items(self, item_ids: Sequence[str] | None = None, placed: str = "") -> tuple[Item, ...]:
        chosen = self.products if item_ids is None else item_ids
        return tuple(Item(item_id, 1.0, self.products[item_id], placed=placed) for item_id in chosen)
