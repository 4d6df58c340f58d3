"""What stands behind the REST API in place of a server."""

from __future__ import annotations

from fuserank.events import EventOutcome, Profile, ProfileChange, RecordResult
from fuserank.types import Item, SearchResult, Status, Suggestion

RESULT = SearchResult((Item("1", 0.5, {"title": "牛奶"}),), Status("b-1"), "r-1")
RECORDED = RecordResult((EventOutcome(7),), 7, 1)


class FakeClient:
    """Stands in for `AsyncClient`: keeps what it was called with, and raises the error that it holds."""

    def __init__(self):
        self.calls, self.error, self.closed = [], None, False

    def _answer(self, answer, *call):
        self.calls.append(call)
        if self.error:
            raise self.error
        return answer

    async def search(self, query="", user="", **options):
        return self._answer(RESULT, "search", query, user, options)

    async def similar(self, item_id="", *, text="", **options):
        return self._answer(RESULT, "similar", item_id, text, options)

    async def suggest(self, prefix, count=None, user=None):
        return self._answer([Suggestion("milk", 2.0)], "suggest", prefix, count, user)

    async def record(self, events):
        return self._answer(RECORDED, "record", events)

    async def profile(self, user):
        return self._answer(Profile(0, 0, True), "profile", user)

    async def forget(self, user):
        return self._answer(ProfileChange(9, 3), "forget", user)

    async def merge(self, user, **sources):
        return self._answer(ProfileChange(9, merged=2), "merge", user, sources)

    async def close(self):
        self.closed = True
