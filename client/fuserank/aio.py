"""The asyncio client: the methods of `Client` as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from fuserank import frames, wire, wire_changes, wire_events, wire_status, wire_texts
from fuserank.changes import CatalogResult
from fuserank.connection import DEFAULT_RETRIES, DEFAULT_TIMEOUT, DEFAULT_URL, TLS, Connection
from fuserank.errors import ClientClosedError, FuseRankError, translate_errors
from fuserank.events import Event, Profile, ProfileChange, RecordResult
from fuserank.types import (
    Embeddings,
    Request,
    RerankResult,
    SearchOptions,
    SearchResult,
    ServerStatus,
    SimilarOptions,
    Suggestion,
    TextKind,
)

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoDataFrameT


class AsyncClient:
    """Searches and recommends from asyncio. Belongs to the event loop that makes its first call.

    Arguments and errors are those of `Client`. A cancelled task cancels its call.

    Examples:
        >>> async with AsyncClient("127.0.0.1:8001") as client:
        ...     milk, bread = await asyncio.gather(client.search("milk"), client.search("bread"))
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = DEFAULT_RETRIES,
        hedge_after: float | None = None,
        background: bool = False,
    ) -> None:
        # Loads gRPC, here and not in the loop, which would stand still.
        from tritonclient.grpc.aio import InferenceServerClient

        self._connection = Connection(url, timeout, tls, headers, retries, hedge_after, background)
        self._open = InferenceServerClient
        self._arguments = self._connection.triton_arguments()
        self._triton: Any = None
        self._closed = False

    async def search(self, query: str = "", user: str = "", **options: Unpack[SearchOptions]) -> SearchResult:
        """Ranks items for a query, a user, or both; see `Client.search`."""
        return (await self.search_batch([Request(query, user, **options)]))[0]

    async def recommend(self, user: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Ranks items for a user without a query; see `Client.recommend`."""
        return await self.search("", user, **options)

    async def search_batch(self, requests: Sequence[Request]) -> list[SearchResult]:
        """Answers several requests with as few calls as the server takes; see `Client.search_batch`."""
        results: list[SearchResult] = []
        for call in wire.split_calls(requests):
            results += wire.decode_results(await self._ask(wire.encode_search(call)), rows=len(call))
        return results

    async def search_frame(
        self,
        requests: IntoDataFrameT,
        *,
        keep: Sequence[str] = (),
        batch: int = wire.REQUESTS_A_CALL,
        **options: Unpack[SearchOptions],
    ) -> IntoDataFrameT:
        """Answers the requests of a frame, one a row, with a frame of ranked items; see `Client.search_frame`."""
        return await frames.run_async(frames.search(requests, keep, batch, options), self.search_batch)

    async def similar(self, item_id: str = "", *, text: str = "", **options: Unpack[SimilarOptions]) -> SearchResult:
        """Finds items like an item, or like a free text; see `Client.similar`."""
        response = await self._ask(wire.encode_similar(item_id, text, options))
        return wire.decode_results(response, rows=1)[0]

    async def suggest(self, prefix: str, count: int | None = None, user: str | None = None) -> list[Suggestion]:
        """Completes a query while it is typed; see `Client.suggest`."""
        return wire.decode_suggestions(await self._ask(wire.encode_suggest(prefix, count, user)))

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Embeddings:
        """Returns the vectors of texts; see `Client.embed`."""
        return wire_texts.decode_embeddings(await self._ask(wire_texts.encode_embed(texts, kind)), len(texts))

    async def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None, raw_scores: bool = False
    ) -> RerankResult:
        """Orders documents by how well each answers a query; see `Client.rerank`."""
        wire_texts.check_top_n(top_n)
        response = await self._ask(wire_texts.encode_rerank(query, documents, raw_scores=raw_scores))
        return wire_texts.decode_ranking(response, documents, top_n)

    async def record(self, events: Sequence[Event]) -> RecordResult:
        """Records what shoppers did; see `Client.record`."""
        return wire_events.decode_record(await self._call("infer", **wire_events.encode_record(events)))

    async def record_frame(self, events: IntoDataFrame) -> RecordResult:
        """Records the events of a frame, one a row; see `Client.record_frame`."""
        return await frames.run_async(frames.record(events), self.record)

    async def upsert(self, items: Sequence[Mapping[str, Any]]) -> CatalogResult:
        """Changes items of the catalogue, or adds new ones; see `Client.upsert`."""
        return wire_changes.decode_catalog(await self._call("infer", **wire_changes.encode_upserts(items)))

    async def upsert_frame(self, items: IntoDataFrame, *, clear_empty: bool = False) -> CatalogResult:
        """Changes items of the catalogue, or adds new ones, by a frame, one a row; see `Client.upsert_frame`."""
        return await frames.run_async(frames.upsert(items, clear_empty), self.upsert)

    async def delete(self, item_ids: Sequence[str]) -> CatalogResult:
        """Takes items out of the catalogue; see `Client.delete`."""
        return wire_changes.decode_catalog(await self._call("infer", **wire_changes.encode_deletes(item_ids)))

    async def change(self, changes: Sequence[Mapping[str, Any]]) -> CatalogResult:
        """Changes and deletes items in the order given; see `Client.change`."""
        return wire_changes.decode_catalog(await self._call("infer", **wire_changes.encode_changes(changes)))

    async def profile(self, user: str) -> Profile:
        """Returns what the server knows of a user; see `Client.profile`."""
        return wire_events.decode_profile(await self._call("infer", **wire_events.encode_profile(user, "get")))

    async def forget(self, user: str) -> ProfileChange:
        """Erases what the log holds of a user, who counts as new from then on; see `Client.forget`."""
        return await self._change(user, "forget")

    async def merge(self, user: str, *, from_session: str = "", from_user: str = "") -> ProfileChange:
        """Makes what an anonymous visitor did so far a user's; one of the two is given; see `Client.merge`."""
        sources = {"from_session": from_session, "from_user": from_user}
        return await self._change(user, "merge", {name: value for name, value in sources.items() if value})

    async def opt_out(self, user: str) -> ProfileChange:
        """Lets a user be answered without anything personal; see `Client.opt_out`."""
        return await self._change(user, "opt_out")

    async def opt_in(self, user: str) -> ProfileChange:
        """Lets a user be answered personally again; see `Client.opt_in`."""
        return await self._change(user, "opt_in")

    async def status(self) -> ServerStatus:
        """Returns the state of the server; see `Client.status`."""
        replies: dict[str, Any] = {}
        for name, call in wire_status.list_status_calls().items():
            with suppress(*() if call.required else (FuseRankError,)):
                replies[name] = await self._call(call.method, **call.arguments)
        return wire_status.decode_status(replies)

    async def close(self) -> None:
        """Closes the channel; further calls raise `ClientClosedError`. May be called twice."""
        self._closed = True
        if self._triton is not None:
            await self._triton.close()

    async def _change(self, user: str, action: str, options: Mapping[str, str] | None = None) -> ProfileChange:
        return wire_events.decode_change(await self._call("infer", **wire_events.encode_profile(user, action, options)))

    async def _ask(self, arguments: Mapping[str, Any]) -> Any:
        """Calls a model that changes nothing; where that takes long, and hedging is wished, twice."""
        arguments = {**arguments, **self._connection.question_arguments()}
        if self._connection.hedge_after is None:
            return await self._call("infer", **arguments)
        calls = {asyncio.ensure_future(self._call("infer", **arguments))}
        try:
            answered, waiting = await asyncio.wait(calls, timeout=self._connection.hedge_after)
            if waiting:
                calls.add(asyncio.ensure_future(self._call("infer", **arguments)))
                answered, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                if waiting and all(one.exception() for one in answered):  # the other may still succeed
                    answered, _ = await asyncio.wait(waiting)
            return min(answered, key=lambda one: one.exception() is not None).result()
        finally:
            for one in calls:
                one.cancel()

    async def _call(self, method: str, **arguments: Any) -> Any:
        if self._closed:
            raise ClientClosedError("the client was closed")
        # gRPC ties an asyncio channel to the running loop: the first call opens it, not the constructor.
        self._triton = self._triton or self._open(**self._arguments)
        with translate_errors(self._connection.timeout):
            return await getattr(self._triton, method)(**arguments, **self._connection.call_arguments())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
