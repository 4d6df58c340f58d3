"""The REST API as a Starlette application."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fuserank.aio import AsyncClient
from fuserank.changes import CatalogResult
from fuserank.errors import (
    AuthenticationError,
    DeadlineExceededError,
    FuseRankError,
    IncompatibleServerError,
    InvalidRequestError,
    OverloadedError,
    ServerUnavailableError,
)
from fuserank.events import Profile, ProfileChange, RecordResult
from fuserank.rest import bodies, text_bodies, texts
from fuserank.rest.faults import explain_unknown
from fuserank.rest.identity import ANYBODY, Caller, UserTokens
from fuserank.rest.openapi import Operation, describe
from fuserank.rest.rates import RateLimit
from fuserank.types import SearchResult

# What a caller must do next, as HTTP says it; every other error is 502.
_STATUS: Mapping[type[FuseRankError], int] = {
    InvalidRequestError: 400,
    AuthenticationError: 401,
    IncompatibleServerError: 404,
    OverloadedError: 429,
    ServerUnavailableError: 503,
    DeadlineExceededError: 504,
}
DEFAULT_HOSTS = ("127.0.0.1", "localhost")
MAX_DIGITS = 9
Handler = Callable[[Request], Awaitable[Any]]


class Api:
    """Answers each operation with a call of the client.

    Args:
        client: Its calls go to the server.
        tokens: What tells who asks; None believes whom a request names.
    """

    def __init__(self, client: AsyncClient, tokens: UserTokens | None = None) -> None:
        self._client, self._tokens = client, tokens

    async def search(self, request: Request) -> Any:
        """Ranks items for a query, a user, or both."""
        caller, body = self._caller(request), await _read(request, bodies.Search)
        return await self._client.search(body.pop("query"), caller.acting_as(body.pop("user")), **body)

    async def similar(self, request: Request) -> Any:
        """Finds items like an item or a text."""
        caller, body = self._caller(request), await _read(request, bodies.Similar)
        if user := caller.acting_as(body.get("user") or ""):
            body["user"] = user
        return await self._client.similar(body.pop("item_id"), text=body.pop("text"), **body)

    async def suggest(self, request: Request) -> Any:
        """Completes a query."""
        count = request.query_params.get("count", "")
        if count and not (count.isdecimal() and len(count) <= MAX_DIGITS):
            raise InvalidRequestError(f"PARAMETERS.count: found {count!r}; allowed: a whole number")
        prefix, user = (request.query_params.get(name, "") for name in ("prefix", "user"))
        user = self._caller(request).acting_as(user)
        return {"suggestions": await self._client.suggest(prefix, int(count) if count else None, user or None)}

    async def record(self, request: Request) -> Any:
        """Records events."""
        caller, body = self._caller(request), await _read(request, bodies.Record)
        return await self._client.record(caller.recording(body["events"]))

    async def change(self, request: Request) -> Any:
        """Changes and deletes items."""
        self._caller(request).check_shop()
        return await self._client.change((await _read(request, bodies.Change))["changes"])

    async def profile(self, request: Request) -> Any:
        """Returns what is known of a user."""
        return await self._client.profile(self._named(request))

    async def forget(self, request: Request) -> Any:
        """Erases a user."""
        return await self._client.forget(self._named(request))

    async def merge(self, request: Request) -> Any:
        """Makes what a session or a visitor did a user's."""
        user, sources = self._named(request), await _read(request, bodies.Merge)
        if sources["from_user"]:  # an anonymous session is anybody's who knows it; another user is the shop's to join
            self._caller(request).acting_as(sources["from_user"])
        return await self._client.merge(user, **sources)

    def _caller(self, request: Request) -> Caller:
        return self._tokens.caller(request) if self._tokens else ANYBODY

    def _named(self, request: Request) -> str:
        """The user of the path, who must be the one who asks."""
        return self._caller(request).acting_as(request.path_params["user"])


def list_operations(api: Api, text_api: texts.TextApi) -> list[tuple[Operation, Handler]]:
    """Returns every operation with what answers it."""
    prefix = {"prefix": "string", "count": "integer", "user": "string"}
    return [
        (_post("/v1/search", "Ranks items for a query, a user, or both", bodies.Search, SearchResult), api.search),
        (_post("/v1/similar", "Finds items like an item or a text", bodies.Similar, SearchResult), api.similar),
        (Operation("get", "/v1/suggest", "Completes a query", (), (bodies.Suggestions,), prefix), api.suggest),
        (_post("/v1/events", "Records what shoppers did", bodies.Record, RecordResult), api.record),
        (_post("/v1/items", "Changes and deletes items", bodies.Change, CatalogResult), api.change),
        (Operation("get", "/v1/users/{user}", "Returns what is known of a user", (), (Profile,)), api.profile),
        (Operation("delete", "/v1/users/{user}", "Erases a user", (), (ProfileChange,)), api.forget),
        (_post("/v1/users/{user}/merge", "Joins a visitor to a user", bodies.Merge, ProfileChange), api.merge),
        (_EMBEDDINGS, text_api.embeddings),
        *((_describe_rerank(path), text_api.rerank) for path in texts.RERANK_PATHS),
    ]


_EMBEDDINGS = Operation(
    *("post", "/v1/embeddings", "Returns the vectors of texts, as OpenAI does"),
    (text_bodies.EmbeddingsRequest,),
    (text_bodies.EmbeddingsReply,),
    problem=text_bodies.FaultReply,
)


def _describe_rerank(path: str) -> Operation:
    return Operation(
        *("post", path, "Orders documents, as Jina and Cohere do, or texts, as Text Embeddings Inference does"),
        (text_bodies.RerankRequest, text_bodies.TextsRequest),
        (text_bodies.RerankReply, list[text_bodies.Rank]),
        problem=text_bodies.FaultReply,
    )


def create_app(
    client: AsyncClient,
    hosts: Sequence[str] = DEFAULT_HOSTS,
    tokens: UserTokens | None = None,
    rate: RateLimit | None = None,
) -> Starlette:
    """Returns the application; it closes the client at its end.

    Args:
        client: Its calls go to the server.
        hosts: Names that the API may be asked for by; `*` for any. A page of another site cannot read an answer by
            pointing a name of its own here (DNS rebinding).
        tokens: What tells who asks; None believes whom a request names.
        rate: How much each tenant may ask; None limits nobody.
    """
    operations = list_operations(Api(client, tokens), texts.TextApi(client))
    document = msgspec.json.encode(describe([operation for operation, _ in operations], has_tokens=tokens is not None))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.close()

    async def show_document(request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def say_ready(request: Request) -> Response:
        await client.suggest("", 1)
        return Response(b'{"ready":true}', media_type="application/json")

    routes = [Route(o.path, _answer(o, handler, rate), methods=[o.method.upper()]) for o, handler in operations]
    return Starlette(
        routes=[*routes, Route("/openapi.json", show_document), Route("/ready", say_ready)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={FuseRankError: _show_error, HTTPException: _show_http_error},
        lifespan=lifespan,
    )


def _post(path: str, summary: str, body: type[msgspec.Struct], reply: type[Any]) -> Operation:
    return Operation("post", path, summary, (body,), (reply,))


async def _read(request: Request, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return bodies.read_body(kind, await bodies.read_content(request))


def _answer(operation: Operation, handler: Handler, rate: RateLimit | None) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        if rate is not None:
            await rate.check(request)
        for name in request.query_params:
            if name not in operation.query:
                raise InvalidRequestError(explain_unknown(f"PARAMETERS.{name}", "parameter", operation.query))
            if len(given := request.query_params.getlist(name)) > 1:
                raise InvalidRequestError(f"PARAMETERS.{name}: found {len(given)} values; allowed: one")
        return Response(msgspec.json.encode(await handler(request)), media_type="application/json")

    return respond


async def _show_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FuseRankError)
    field = error.field if isinstance(error, InvalidRequestError) else None
    # HTTP counts it in whole seconds.
    headers = {"Retry-After": str(math.ceil(error.retry_after))} if isinstance(error, OverloadedError) else None
    return _problem(request, error.message, field, _STATUS.get(type(error), 502), headers)


async def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path}"
    return _problem(request, message, None, error.status_code, error.headers)


def _problem(
    request: Request, message: str, field: str | None, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    in_shape = request.url.path in texts.PATHS
    problem = texts.describe_fault(message, field, status) if in_shape else bodies.Problem(message, field)
    return Response(msgspec.json.encode(problem), status, headers, media_type="application/json")
