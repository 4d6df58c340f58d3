"""`/v1/embeddings` and `/rerank` in the shapes of embedding servers, over the client's `embed` and `rerank`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from starlette.requests import Request

from fuserank.aio import AsyncClient
from fuserank.errors import InvalidRequestError
from fuserank.rest import bodies, text_bodies
from fuserank.types import TextStatus

RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")  # of Infinity and TEI, of Jina, of Cohere
PATHS = ("/v1/embeddings", *RERANK_PATHS)
QUERY_CUT = "query_truncated"  # in `TextStatus.degraded`
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}


class TextApi:
    """Answers each operation with a call of the client.

    Args:
        client: Its calls go to the server.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def embeddings(self, request: Request) -> text_bodies.EmbeddingsReply:
        """Returns the vectors of texts."""
        body = bodies.decode_body(text_bodies.EmbeddingsRequest, await bodies.read_content(request))
        texts = [body.input] if isinstance(body.input, str) else body.input
        with renamed(TEXT="BODY.input"):
            found = await self._client.embed(texts, "query" if body.task == "retrieval.query" else "document")
        if body.dimensions not in (None, found.vectors.shape[1]):
            raise InvalidRequestError(
                f"BODY.dimensions: found {body.dimensions}; allowed: {found.vectors.shape[1]}, all that the encoder has"
            )
        _check_whole(found.status, "BODY.input", wanted=body.truncate is False)
        vectors = found.vectors.astype("<f4")
        as_text = body.encoding_format == "base64"
        data = [
            text_bodies.Embedding(
                place, _to_base64(vector) if as_text else vector.tolist(), "embedding", place in found.status.truncated
            )
            for place, vector in enumerate(vectors)
        ]
        return text_bodies.EmbeddingsReply("list", data, found.status.model, _usage(found.status))

    async def rerank(self, request: Request) -> text_bodies.RerankReply | list[text_bodies.Rank]:
        """Orders documents, in the shape in which they are sent."""
        body = text_bodies.read_rerank(await bodies.read_content(request))
        if isinstance(body, text_bodies.TextsRequest):
            return await self._rank_texts(body)
        documents = text_bodies.list_texts(body.documents)
        with renamed(DOCUMENT="BODY.documents", QUERY="BODY.query"):
            found = await self._client.rerank(body.query, documents, top_n=body.top_n, raw_scores=bool(body.raw_scores))
        _check_whole(found.status, "BODY.documents", wanted=body.truncation is False)
        query_cut = QUERY_CUT in found.status.degraded
        results = [
            text_bodies.RerankResult(
                one.index,
                one.score,
                text_bodies.Document(one.text) if body.return_documents else None,
                one.truncated or query_cut,
            )
            for one in found
        ]
        return text_bodies.RerankReply(found.request_id, found.status.model, results, _usage(found.status))

    async def _rank_texts(self, body: text_bodies.TextsRequest) -> list[text_bodies.Rank]:
        with renamed(DOCUMENT="BODY.texts", QUERY="BODY.query"):
            found = await self._client.rerank(body.query, body.texts, raw_scores=bool(body.raw_scores))
        _check_whole(found.status, "BODY.texts", wanted=body.truncate is False)
        query_cut = QUERY_CUT in found.status.degraded
        return [
            text_bodies.Rank(one.index, one.score, one.text if body.return_text else None, one.truncated or query_cut)
            for one in found
        ]


def describe_fault(message: str, field: str | None, status: int) -> text_bodies.FaultReply:
    """Returns an error as OpenAI's clients read it.

    Args:
        message: What is wrong.
        field: The part of the request at fault; None where there is none.
        status: HTTP's code.
    """
    return text_bodies.FaultReply(text_bodies.Fault(message, _TYPES.get(status, "server_error"), field))


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Has an error name the body's field where the server names its own.

    Args:
        **names: The body's field by the server's.
    """
    try:
        yield
    except InvalidRequestError as error:
        for theirs, ours in names.items():
            if (error.field or "").partition("[")[0] == theirs:
                raise InvalidRequestError(ours + error.message.removeprefix(theirs), code=error.code) from None
        raise


def _check_whole(status: TextStatus, field: str, *, wanted: bool) -> None:
    """Refuses a text that was cut where the caller forbids it."""
    if not wanted or not status.degraded:
        return
    cut = "BODY.query" if QUERY_CUT in status.degraded else f"{field}[{status.truncated[0]}]"
    raise InvalidRequestError(
        f"{cut}: found more than {status.model} reads; allowed: a shorter text, or to have it cut"
    )


def _usage(status: TextStatus) -> text_bodies.Usage:
    return text_bodies.Usage(status.tokens, status.tokens)


def _to_base64(vector: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(vector).tobytes()).decode()
