"""What the models `embed` and `rerank` share: texts that are no items, within limits, and what their replies say."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.errors import Description, InvalidRequestError
from fuserank_ensemble.contract.options import MAX_ALL_TEXTS_BYTES, MAX_LONG_TEXT_BYTES, MAX_TEXTS, decode_bounded
from fuserank_ensemble.graph.stages import QUERY_ENCODER

ENGINE_ID_LENGTH = 12  # hexadecimal digits: enough to tell a shop's engines apart


class TextStatus(msgspec.Struct):
    """The `STATUS` output of `embed` and `rerank`."""

    bundle: str
    model: str  # what read the texts, such as `encoder-0f3a…`: results of another one mean something else
    degraded: list[str]
    truncated: list[int]  # places of the texts whose end was not read
    tokens: int  # that were read
    microseconds: dict[str, int]


def read_texts(field: str, raw: NDArray[Any], *, may_be_empty: bool = False) -> list[list[str]]:
    """Decodes the texts of a request.

    Args:
        field: The input's name.
        raw: Bytes `[rows, texts]`.
        may_be_empty: Whether a text may have nothing to read.

    Returns:
        Each row's texts, normalised as an item's text is.

    Raises:
        InvalidRequestError: Where there are none or too many, or one is too long, empty or not UTF-8.
    """
    if not 1 <= raw.size <= MAX_TEXTS:
        raise InvalidRequestError(field, Description(f"{raw.size:,} texts"), f"1 to {MAX_TEXTS:,} texts")
    if (size := sum(map(len, raw.flat))) > MAX_ALL_TEXTS_BYTES:
        allowed = f"at most {MAX_ALL_TEXTS_BYTES:,} bytes, all texts together"
        raise InvalidRequestError(field, Description(f"{size:,} bytes"), allowed)

    def read(place: int, text: bytes) -> str:
        read = normalise(decode_bounded(f"{field}[{place}]", text, MAX_LONG_TEXT_BYTES))
        if not (read or may_be_empty):
            raise InvalidRequestError(f"{field}[{place}]", Description("an empty text"), "a text with a word in it")
        return read

    return [[read(place, text) for place, text in enumerate(row)] for row in raw]


def name_encoder(bundle: Bundle) -> str:
    """Returns the name of the encoder in `TextStatus.model`."""
    return f"encoder-{bundle.encoder_id[:ENGINE_ID_LENGTH]}"


def name_query_encoder(bundle: Bundle) -> str:
    """Returns the name of what embeds queries, in `Status.encoder`."""
    if bundle.spec.query_encoder == "full":
        return name_encoder(bundle)
    return f"{QUERY_ENCODER}-{bundle.query_encoder_id[:ENGINE_ID_LENGTH]}"


def name_text_tower(bundle: Bundle) -> str:
    """Returns the name of the text tower in `TextStatus.model`."""
    return f"text_tower-{bundle.text_tower_id[:ENGINE_ID_LENGTH]}"


def encode_status(
    bundle: Bundle, model: str, degraded: list[str], truncated: NDArray[np.bool_], tokens: int, started: int
) -> bytes:
    """Returns `TextStatus` as JSON.

    Args:
        bundle: The bundle.
        model: What read the texts.
        degraded: What else is to be said.
        truncated: Which texts were cut, bool `[texts]`.
        tokens: How many tokens were read.
        started: When the request began to be answered, `time.monotonic_ns`.
    """
    if truncated.any():
        degraded = [*degraded, "text_truncated"]
    microseconds = {"total": (time.monotonic_ns() - started) // 1_000}
    status = TextStatus(bundle.id, model, degraded, np.flatnonzero(truncated).tolist(), tokens, microseconds)
    return msgspec.json.encode(status)
