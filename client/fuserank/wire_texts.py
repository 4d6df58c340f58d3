"""Encodes requests of `embed` and `rerank` as tensors, and decodes the tensors of their responses.

`embed`: `TEXT` BYTES `[1, texts]` and `OPTIONS`; it answers with `EMBEDDING` FP32 `[1, texts, dim]`.
`rerank`: `QUERY`, `DOCUMENT` BYTES `[1, documents]` and `OPTIONS`; it answers with `SCORE` FP32 `[1, documents]`.
Both answer with `STATUS` BYTES `[1, 1]` (JSON), too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.types import Embeddings, RankedDocument, RerankResult, TextKind, TextStatus
from fuserank.wire import (
    Response,
    bytes_array,
    decode_output,
    encode_options,
    encode_text,
    from_known_keys,
    infer_arguments,
    one_row,
    output,
)

if TYPE_CHECKING:  # loaded with the first client
    import numpy as np
    from numpy.typing import NDArray


def encode_embed(texts: Sequence[str], kind: TextKind) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for the vectors of texts.

    Raises:
        InvalidRequestError: Where they are no list of strings. The server checks all else.
    """
    values = {"TEXT": _encode_texts("TEXT", texts), **one_row({"OPTIONS": encode_options({"kind": kind})})}
    return infer_arguments("embed", values, ("EMBEDDING", "STATUS"))


def encode_rerank(query: str, documents: Sequence[str], *, raw_scores: bool) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for the scores of documents; errors as of `encode_embed`."""
    row = {"QUERY": encode_text("QUERY", query), "OPTIONS": encode_options({"raw_scores": raw_scores or None})}
    return infer_arguments(
        "rerank", {**one_row(row), "DOCUMENT": _encode_texts("DOCUMENT", documents)}, ("SCORE", "STATUS")
    )


def decode_embeddings(response: Response, count: int) -> Embeddings:
    """Decodes the vectors of `count` texts.

    Raises:
        IncompatibleServerError: Where an output is missing, misshapen or not JSON.
    """
    vectors = output(response, "EMBEDDING", rows=1, rank=3)[0]
    _check_count("EMBEDDING", vectors, count)
    return Embeddings(vectors, _decode_status(response), str(response.get_response().id))


def decode_ranking(response: Response, documents: Sequence[str], top_n: int | None) -> RerankResult:
    """Decodes the scores of documents, and sorts by them; errors as of `decode_embeddings`.

    Args:
        response: Holds the scores.
        documents: What was sent.
        top_n: How many of the best are kept; all where None.
    """
    scores = output(response, "SCORE", rows=1)[0]
    _check_count("SCORE", scores, len(documents))
    status = _decode_status(response)
    order = (-scores).argsort(kind="stable")[:top_n].tolist()
    ranked = (RankedDocument(i, float(scores[i]), documents[i], i in status.truncated) for i in order)
    return RerankResult(tuple(ranked), status, str(response.get_response().id))


def check_top_n(top_n: int | None) -> None:
    """Checks how many documents are wanted.

    Raises:
        InvalidRequestError: Where that is no whole number above 0.
    """
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1):
        raise InvalidRequestError(f"TOP_N: found {top_n!r}; allowed: a whole number above 0, or None for all")


def _encode_texts(name: str, texts: Sequence[str]) -> NDArray[np.object_]:
    """Returns texts as bytes, `[1, texts]`."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
        raise InvalidRequestError(f"{name}: found a {type(texts).__name__}; allowed: a list of strings")
    return bytes_array([[encode_text(f"{name}[{place}]", text) for place, text in enumerate(texts)]])


def _check_count(name: str, values: NDArray[Any], count: int) -> None:
    if len(values) != count:
        raise IncompatibleServerError(f"{name} is of {len(values)} texts, expected {count}")


def _decode_status(response: Response) -> TextStatus:
    status = decode_output(response, "STATUS")
    lists = {name: tuple(status.get(name) or ()) for name in ("degraded", "truncated")}
    return from_known_keys(TextStatus, {**status, **lists})
