"""Bodies of `/v1/embeddings` and `/rerank`, as clients of OpenAI, Infinity, Jina, Cohere and TEI send and read them.

A field that those clients send and that changes nothing here is taken (`user`, `model`); one that asks for what is not
there is refused in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from fuserank.rest import bodies

TOP_N = Annotated[int, msgspec.Meta(ge=1)]
# More than any engine here reads of a text: what the bundle reads is never more than was allowed.
MAX_TOKENS = Annotated[int, msgspec.Meta(ge=512)]


class EmbeddingsRequest(Struct, forbid_unknown_fields=True):
    """Texts to embed; `task` as Jina has it says whether they are queries, and they are documents without it."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None
    task: Literal["retrieval.query", "retrieval.passage"] | None = None
    truncate: bool | None = None
    modality: Literal["text"] | None = None


class Embedding(Struct, omit_defaults=True):
    """The vector of one text; as base64 it is float32, little-endian."""

    index: int
    embedding: list[float] | str
    object: str | UnsetType = UNSET
    truncated: bool = False


class Usage(Struct):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(Struct):
    """The vectors of texts, in their order."""

    object: str
    data: list[Embedding]
    model: str
    usage: Usage


class Document(Struct, forbid_unknown_fields=True):
    """A document as an object."""

    text: str


class RerankRequest(Struct, forbid_unknown_fields=True):
    """Documents to order, as Jina and Cohere have it."""

    query: str
    documents: list[str | Document]
    model: str | None = None
    top_n: TOP_N | None = None
    return_documents: bool | None = None
    raw_scores: bool | None = None
    truncation: bool | None = None
    max_tokens_per_doc: MAX_TOKENS | None = None


class RerankResult(Struct, omit_defaults=True):
    """One document with its score."""

    index: int
    relevance_score: float
    document: Document | None = None
    truncated: bool = False


class RerankReply(Struct):
    """Documents, best first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage


class TextsRequest(Struct, forbid_unknown_fields=True):
    """Texts to order, as Text Embeddings Inference has it."""

    query: str
    texts: list[str]
    raw_scores: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] | None = None
    model: str | None = None


class Rank(Struct, omit_defaults=True):
    """One text with its score."""

    index: int
    score: float
    text: str | None = None
    truncated: bool = False


class Fault(Struct):
    """What is wrong with a request, as OpenAI says it."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class FaultReply(Struct):
    """The reply to a request that was not answered."""

    error: Fault


class _Shape(Struct):
    texts: Any = UNSET


def read_rerank(content: bytes) -> RerankRequest | TextsRequest:
    """Returns a body of `/rerank`: one with `texts` is of Text Embeddings Inference.

    Raises:
        InvalidRequestError: Names the key, what it held and what is allowed.
    """
    try:
        has_texts = msgspec.json.decode(content, type=_Shape).texts is not UNSET
    except msgspec.DecodeError:
        has_texts = False  # no object at all: reading it says what it is
    return bodies.decode_body(TextsRequest, content) if has_texts else bodies.decode_body(RerankRequest, content)


def list_texts(documents: Sequence[str | Document]) -> list[str]:
    """Returns the documents' texts."""
    return [document.text if isinstance(document, Document) else document for document in documents]
