"""Encodes requests of `search`, `similar` and `suggest` as tensors, and decodes the tensors of their responses.

Nothing is sent here. Every input is BYTES `[B, 1]`; `OPTIONS` is a JSON object.

`search`: `QUERY`, `USER_ID`, `OPTIONS`; `similar`: `ITEM_ID`, `TEXT`, `OPTIONS`. Both answer with `ITEM_ID` BYTES,
`SCORE` FP32 and `ITEM` BYTES (JSON), each `[B, k]`, and `STATUS` BYTES `[B, 1]` (JSON).
`suggest`: `PREFIX`, `OPTIONS`; it answers with `SUGGESTION` BYTES and `SCORE` FP32, each `[B, count]`.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.types import (
    ExploreOutcome,
    ExposureOutcome,
    FacetValue,
    Item,
    Request,
    RuleOutcome,
    SearchOptions,
    SearchResult,
    Signal,
    SimilarOptions,
    SponsoredOutcome,
    Status,
    Suggestion,
    Total,
    Variant,
)

if TYPE_CHECKING:  # loaded with the first client
    import numpy as np
    from numpy.typing import NDArray

MODEL = "search"
INPUTS = ("QUERY", "USER_ID", "OPTIONS")
OUTPUTS = ("ITEM_ID", "SCORE", "ITEM", "STATUS")
SUGGEST_OUTPUTS = ("SUGGESTION", "SCORE")
REQUESTS_A_CALL = 32  # the server's largest batch

Record = TypeVar("Record")  # a dataclass


class Response(Protocol):
    """The part of tritonclient's `InferResult` that decoding needs."""

    def as_numpy(self, name: str) -> NDArray[Any] | None:
        """Returns the named output, or `None` where the response lacks it."""

    def get_response(self) -> Any:
        """Returns the protobuf message, whose `id` is that of the call."""


# ---------------------------------------------------------------- requests

# Milliseconds that a request may wait in the server's queue: at least, however short its deadline, since it is answered
# with less work; and at most.
LEAST_QUEUE_MS, MOST_QUEUE_MS = 20.0, 60_000.0
QUEUE_SHARE = 0.5  # of the deadline


def encode_requests(requests: Sequence[Request]) -> dict[str, NDArray[np.object_]]:
    """Encodes requests as the model's inputs.

    Args:
        requests: B requests; B is at least 1.

    Returns:
        For each of `INPUTS` an object array of bytes, `[B, 1]`.

    Raises:
        InvalidRequestError: Where a value cannot be encoded: a query that is not a string, an option that JSON
            cannot hold. The server checks all else.
    """
    rows = [
        (encode_text("QUERY", r.query), encode_text("USER_ID", r.user), encode_options(_options_of(r)))
        for r in requests
    ]
    table = bytes_array(rows)
    return {name: table[:, column : column + 1] for column, name in enumerate(INPUTS)}


def split_calls(requests: Sequence[Request]) -> list[Sequence[Request]]:
    """Returns the requests in their order, in parts that the server takes as one call each."""
    return [requests[start : start + REQUESTS_A_CALL] for start in range(0, len(requests), REQUESTS_A_CALL)]


def encode_search(requests: Sequence[Request]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for searches and recommendations.

    Where each request has a deadline, a server whose queue holds them for half of it drops them before they cost
    anything: the other half is for the work.

    Raises:
        InvalidRequestError: Where a value cannot be encoded; see `encode_requests`.
    """
    arguments = infer_arguments(MODEL, encode_requests(requests), OUTPUTS)
    deadlines = [deadline for r in requests if isinstance(deadline := _options_of(r).get("deadline_ms"), int | float)]
    if len(deadlines) == len(requests) and math.isfinite(longest := max(deadlines)):
        milliseconds = min(max(longest * QUEUE_SHARE, LEAST_QUEUE_MS), MOST_QUEUE_MS)
        arguments["timeout"] = round(milliseconds * 1_000)  # Triton counts microseconds
    return arguments


def encode_similar(item_id: str, text: str, options: SimilarOptions) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for items like an item or a text.

    Raises:
        InvalidRequestError: Where a value cannot be encoded; see `encode_requests`.
    """
    row = {
        "ITEM_ID": encode_text("ITEM_ID", item_id),
        "TEXT": encode_text("TEXT", text),
        "OPTIONS": encode_options(options),
    }
    return infer_arguments("similar", one_row(row), OUTPUTS)


def encode_suggest(prefix: str, count: int | None, user: str | None = None) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for completions of a prefix.

    Raises:
        InvalidRequestError: Where a value cannot be encoded; see `encode_requests`.
    """
    row = {"PREFIX": encode_text("PREFIX", prefix), "OPTIONS": encode_options({"count": count, "user": user})}
    return infer_arguments("suggest", one_row(row), SUGGEST_OUTPUTS)


def infer_arguments(model: str, values: Mapping[str, NDArray[np.object_]], outputs: Sequence[str]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for inputs of BYTES and the outputs that are wanted."""
    from tritonclient.grpc import InferInput, InferRequestedOutput

    return {
        "model_name": model,
        # In the server's traces and log, and sent back with the response.
        "request_id": uuid.uuid4().hex,
        "inputs": [InferInput(name, list(v.shape), "BYTES").set_data_from_numpy(v) for name, v in values.items()],
        # Named, so that a newer server does not send outputs that this client cannot read.
        "outputs": [InferRequestedOutput(name) for name in outputs],
    }


def one_row(values: Mapping[str, bytes]) -> dict[str, NDArray[np.object_]]:
    """Returns inputs `[1, 1]`."""
    return {name: bytes_array([[value]]) for name, value in values.items()}


def bytes_array(rows: Sequence[Sequence[bytes]]) -> NDArray[np.object_]:
    """Returns the array that becomes a tensor of BYTES, in as many rows and columns as are given."""
    import numpy as np

    return np.array(rows, np.object_)


def _options_of(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in SearchOptions.__annotations__}


def encode_options(options: Mapping[str, Any]) -> bytes:
    """Returns `OPTIONS` without those that are None.

    Raises:
        InvalidRequestError: Where a value has no JSON form.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        # NaN passes as it is: the server's error names the option that holds it.
        text = json.dumps(given, ensure_ascii=False, separators=(",", ":"), default=numpy_to_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"OPTIONS: found a value without a JSON form ({error})") from None
    return encode_text("OPTIONS", text)


def numpy_to_json(value: object) -> Any:
    """Returns numpy's values as JSON's own, as `json.dumps` takes it for `default`."""
    if (to_list := getattr(value, "tolist", None)) is not None:
        return to_list()
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def encode_text(name: str, text: str) -> bytes:
    """Returns an input's bytes.

    Raises:
        InvalidRequestError: Where it is no string.
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"{name}: found {text!r}, of type {type(text).__name__}; allowed: a string")
    # A lone surrogate has no UTF-8 form. It is sent as it is, and the server's error says where it stands.
    return text.encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- results


def decode_results(response: Response, rows: int) -> list[SearchResult]:
    """Decodes the response to `search` or `similar`.

    Args:
        response: Holds the arrays of `OUTPUTS`.
        rows: B, the number of requests that it answers.

    Returns:
        One result for each request, in their order, without the padding of rows that have fewer than k items.

    Raises:
        IncompatibleServerError: Where an output is missing, misshapen or not JSON.
    """
    ids, scores, items, statuses = (output(response, name, rows) for name in OUTPUTS)
    if not ids.shape == scores.shape == items.shape:
        raise IncompatibleServerError(
            f"ITEM_ID, SCORE and ITEM differ in shape: {ids.shape}, {scores.shape}, {items.shape}"
        )
    return [
        SearchResult(
            tuple(_decode_item(*cell) for cell in zip(ids[row], scores[row], items[row], strict=True) if cell[0]),
            _decode_status(statuses[row, 0]),
            str(response.get_response().id),
        )
        for row in range(rows)
    ]


def decode_suggestions(response: Response) -> list[Suggestion]:
    """Decodes the completions of one prefix, best first.

    Raises:
        IncompatibleServerError: Where an output is missing or misshapen.
    """
    texts, scores = (output(response, name, rows=1) for name in SUGGEST_OUTPUTS)
    if texts.shape != scores.shape:
        raise IncompatibleServerError(f"SUGGESTION and SCORE differ in shape: {texts.shape}, {scores.shape}")
    return [
        Suggestion(text.decode("utf-8", "replace"), float(score))
        for text, score in zip(texts[0], scores[0], strict=True)
        if text
    ]


def output(response: Response, name: str, rows: int, rank: int = 2) -> NDArray[Any]:
    """Returns an output `[rows, …]` of `rank` dimensions.

    Raises:
        IncompatibleServerError: Where it is missing or misshapen.
    """
    values = response.as_numpy(name)
    if values is None:
        raise IncompatibleServerError(f"the response lacks {name}")
    if values.ndim != rank or len(values) != rows:
        raise IncompatibleServerError(f"{name} has shape {list(values.shape)}, expected [{rows}, …]")
    return values


def _decode_item(item_id: bytes, score: np.float32, encoded: bytes) -> Item:
    item = decode_json("ITEM", encoded)
    return Item(
        id=item_id.decode("utf-8", "replace"),
        score=float(score),
        fields=dict(item.get("fields") or {}),
        signals=tuple(from_known_keys(Signal, signal) for signal in item.get("signals") or ()),
        heads=dict(item.get("heads") or {}),
        placed=str(item.get("placed") or ""),
        scored=bool(item.get("scored", True)),
        propensity=item.get("propensity"),
        highlights=dict(item.get("highlights") or {}),
        variants=tuple(
            Variant(str(variant.get("item_id")), dict(variant.get("fields") or {}))
            for variant in item.get("variants") or ()
        ),
        variant_count=int(item.get("variant_count") or 0),
        probability=item.get("probability"),
        sponsored=str(item.get("sponsored") or ""),
    )


def _decode_status(encoded: bytes) -> Status:
    status = decode_json("STATUS", encoded)
    outcomes: dict[str, type[Any]] = {
        "explore": ExploreOutcome,
        "total": Total,
        "exposure": ExposureOutcome,
        "sponsored": SponsoredOutcome,
    }
    return from_known_keys(
        Status,
        {
            **status,
            "degraded": tuple(status.get("degraded") or ()),
            "rules": tuple(from_known_keys(RuleOutcome, outcome) for outcome in status.get("rules") or ()),
            **{name: from_known_keys(kind, status[name]) for name, kind in outcomes.items() if status.get(name)},
            "facets": {
                name: tuple(map(_decode_facet_value, values)) for name, values in (status.get("facets") or {}).items()
            },
            "relaxed": tuple(status.get("relaxed") or ()),
        },
    )


def _decode_facet_value(value: Mapping[str, Any]) -> FacetValue:
    children = tuple(map(_decode_facet_value, value.get("children") or ()))
    bounds = {"low": value.get("from"), "high": value.get("to"), "children": children}
    return from_known_keys(FacetValue, {**value, **bounds})


def decode_json(name: str, text: bytes, kind: type[Any] = dict) -> Any:
    """Returns the JSON value that an output holds, a `list` or a `dict`.

    Raises:
        IncompatibleServerError: Where it is something else.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise IncompatibleServerError(f"{name} is not JSON ({error})") from None
    if not isinstance(value, kind):
        raise IncompatibleServerError(f"{name} is not a JSON {'list' if kind is list else 'object'}")
    return value


def decode_output(response: Response, name: str, kind: type[Any] = dict) -> Any:
    """Returns the JSON value, a `list` or a `dict`, of an output of one row; errors as of `decode_json`."""
    return decode_json(name, output(response, name, rows=1)[0, 0], kind)


def from_known_keys(record: type[Record], values: Mapping[str, Any]) -> Record:
    """Builds a record from the keys that this client knows: a newer server sends more, an older one fewer.

    Raises:
        IncompatibleServerError: Where one is missing that it needs.
    """
    try:
        return record(**{f.name: values[f.name] for f in fields(cast(Any, record)) if f.name in values})
    except (TypeError, KeyError) as error:
        raise IncompatibleServerError(f"a {record.__name__.lower()} is incomplete ({error})") from None


def encode_values(model: str, name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Returns the arguments of tritonclient's `infer` for a list of JSON values in one row.

    Raises:
        InvalidRequestError: Where a value has no JSON form. The server checks all else.
    """
    try:
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=numpy_to_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{name}: found a value without a JSON form ({error})") from None
    return infer_arguments(model, one_row({name: encode_text(name, text)}), ("RESULT", "STATUS"))
