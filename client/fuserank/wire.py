"""The wire contract of `search`, `similar` and `suggest`: requests to tensors, tensors to results.

Pure: nothing is sent here. Every input is BYTES `[B, 1]`; `OPTIONS` is a JSON object.

`search`: `QUERY`, `USER_ID`, `OPTIONS`; `similar`: `ITEM_ID`, `TEXT`, `OPTIONS`. Both answer with `ITEM_ID` BYTES,
`SCORE` FP32 and `ITEM` BYTES (JSON), each `[B, k]`, and `STATUS` BYTES `[B, 1]` (JSON).
`suggest`: `PREFIX`, `OPTIONS`; it answers with `SUGGESTION` BYTES and `SCORE` FP32, each `[B, count]`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput

from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.types import (
    ExploreOutcome,
    Item,
    ModelStatus,
    Request,
    RuleOutcome,
    SearchOptions,
    SearchResult,
    ServerStatus,
    Signal,
    SimilarOptions,
    Status,
    Suggestion,
)

MODEL = "search"
INPUTS = ("QUERY", "USER_ID", "OPTIONS")
OUTPUTS = ("ITEM_ID", "SCORE", "ITEM", "STATUS")
SUGGEST_OUTPUTS = ("SUGGESTION", "SCORE")

Record = TypeVar("Record", Signal, Status, RuleOutcome, ExploreOutcome)


class Response(Protocol):
    """The part of tritonclient's `InferResult` that decoding needs."""

    def as_numpy(self, name: str) -> NDArray[Any] | None:
        """The named output, or `None` where the response lacks it."""

    def get_response(self) -> Any:
        """The message that came, whose `id` is that of the call."""


# ---------------------------------------------------------------- requests


def tensors(requests: Sequence[Request]) -> dict[str, NDArray[np.object_]]:
    """Encodes requests as the model's inputs.

    Args:
        requests: B requests; B is at least 1.

    Returns:
        For each of `INPUTS` an object array of bytes, `[B, 1]`.

    Raises:
        InvalidRequestError: Where a value has no form on the wire: a query that is not a string, an option
            that JSON cannot hold. All else is the server's to judge.
    """
    rows = [(_utf8("QUERY", r.query), _utf8("USER_ID", r.user), _options(_asked(r))) for r in requests]
    table = np.array(rows, dtype=np.object_).reshape(len(rows), len(INPUTS))
    return {name: table[:, column : column + 1] for column, name in enumerate(INPUTS)}


def infer_arguments(requests: Sequence[Request]) -> dict[str, Any]:
    """The arguments of tritonclient's `infer` for requests; raises what `tensors` raises."""
    return _arguments(MODEL, tensors(requests), OUTPUTS)


def similar_arguments(item_id: str, text: str, options: SimilarOptions) -> dict[str, Any]:
    """The arguments of tritonclient's `infer` for items like an item or a text.

    Raises:
        InvalidRequestError: Where a value has no form on the wire; see `tensors`.
    """
    row = {"ITEM_ID": _utf8("ITEM_ID", item_id), "TEXT": _utf8("TEXT", text), "OPTIONS": _options(options)}
    return _arguments("similar", _one_row(row), OUTPUTS)


def suggest_arguments(prefix: str, count: int | None) -> dict[str, Any]:
    """The arguments of tritonclient's `infer` for completions; raises what `similar_arguments` raises."""
    row = {"PREFIX": _utf8("PREFIX", prefix), "OPTIONS": _options({"count": count})}
    return _arguments("suggest", _one_row(row), SUGGEST_OUTPUTS)


def _arguments(model: str, values: Mapping[str, NDArray[np.object_]], outputs: Sequence[str]) -> dict[str, Any]:
    return {
        "model_name": model,
        # It stands in the server's traces and log, and comes back with the reply.
        "request_id": uuid.uuid4().hex,
        "inputs": [InferInput(name, list(v.shape), "BYTES").set_data_from_numpy(v) for name, v in values.items()],
        # Named, so that outputs which a newer server adds are not sent here for nothing.
        "outputs": [InferRequestedOutput(name) for name in outputs],
    }


def _one_row(values: Mapping[str, bytes]) -> dict[str, NDArray[np.object_]]:
    return {name: np.array([[value]], np.object_) for name, value in values.items()}


def _asked(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in SearchOptions.__annotations__}


def _options(asked: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        # NaN passes as it is: the server's error names the option that holds it.
        text = json.dumps(given, ensure_ascii=False, separators=(",", ":"), default=_from_numpy)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"OPTIONS: found a value without a JSON form ({error})") from None
    return _utf8("OPTIONS", text)


def _from_numpy(value: object) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def _utf8(name: str, text: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidRequestError(f"{name}: found {text!r}, of type {type(text).__name__}; allowed: a string")
    # A lone surrogate has no UTF-8 form. It is sent as it is, and the server says where the text breaks off.
    return text.encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- results


def results(response: Response, rows: int) -> list[SearchResult]:
    """Decodes a response.

    Args:
        response: Holds the arrays of `OUTPUTS`.
        rows: B, the number of requests that it answers.

    Returns:
        One result for each request, in their order, without the padding of rows that have fewer than k items.

    Raises:
        IncompatibleServerError: Where an output is missing, misshapen or not JSON.
    """
    ids, scores, items, statuses = (_output(response, name, rows) for name in OUTPUTS)
    if not ids.shape == scores.shape == items.shape:
        raise IncompatibleServerError(
            f"ITEM_ID, SCORE and ITEM differ in shape: {ids.shape}, {scores.shape}, {items.shape}"
        )
    return [
        SearchResult(
            tuple(_item(*cell) for cell in zip(ids[row], scores[row], items[row], strict=True) if cell[0]),
            _status(statuses[row, 0]),
            str(response.get_response().id),
        )
        for row in range(rows)
    ]


def suggestions(response: Response) -> list[Suggestion]:
    """Decodes the completions of one prefix, best first.

    Raises:
        IncompatibleServerError: Where an output is missing or misshapen.
    """
    texts, scores = (_output(response, name, rows=1) for name in SUGGEST_OUTPUTS)
    if texts.shape != scores.shape:
        raise IncompatibleServerError(f"SUGGESTION and SCORE differ in shape: {texts.shape}, {scores.shape}")
    return [
        Suggestion(text.decode("utf-8", "replace"), float(score))
        for text, score in zip(texts[0], scores[0], strict=True)
        if text
    ]


def _output(response: Response, name: str, rows: int) -> NDArray[Any]:
    values = response.as_numpy(name)
    if values is None:
        raise IncompatibleServerError(f"the response lacks {name}")
    if values.ndim != 2 or len(values) != rows:
        raise IncompatibleServerError(f"{name} has shape {list(values.shape)}, expected [{rows}, …]")
    return values


def _item(item_id: bytes, score: np.float32, described: bytes) -> Item:
    item = _object("ITEM", described)
    return Item(
        id=item_id.decode("utf-8", "replace"),
        score=float(score),
        fields=dict(item.get("fields") or {}),
        signals=tuple(_known(Signal, signal) for signal in item.get("signals") or ()),
        heads=dict(item.get("heads") or {}),
        placed=str(item.get("placed") or ""),
        scored=bool(item.get("scored", True)),
        propensity=item.get("propensity"),
    )


def _status(described: bytes) -> Status:
    status = _object("STATUS", described)
    explore = status.get("explore")
    return _known(
        Status,
        {
            **status,
            "degraded": tuple(status.get("degraded") or ()),
            "rules": tuple(_known(RuleOutcome, outcome) for outcome in status.get("rules") or ()),
            "explore": None if explore is None else _known(ExploreOutcome, explore),
        },
    )


def _object(name: str, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise IncompatibleServerError(f"{name} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise IncompatibleServerError(f"{name} is not a JSON object")
    return value


def _known(record: type[Record], values: Mapping[str, Any]) -> Record:
    """Takes the keys that this client knows: a newer server may say more, an older one less."""
    try:
        return record(**{f.name: values[f.name] for f in fields(record) if f.name in values})
    except (TypeError, KeyError) as error:
        raise IncompatibleServerError(f"a {record.__name__.lower()} is incomplete ({error})") from None


# ---------------------------------------------------------------- status


@dataclass(frozen=True)
class StatusCall:
    """One of the calls that `status` makes: a method of tritonclient's client and its arguments."""

    method: str
    arguments: Mapping[str, Any]
    required: bool = False  # a server may keep the others private, or be too unwell to answer them


def status_calls() -> dict[str, StatusCall]:
    """The calls whose replies make up a `ServerStatus`, by the names that `server_status` knows."""
    return {
        "live": StatusCall("is_server_live", {}, required=True),
        "ready": StatusCall("is_server_ready", {}, required=True),
        "metadata": StatusCall("get_server_metadata", {}),
        "model_ready": StatusCall("is_model_ready", {"model_name": MODEL}),
        "index": StatusCall("get_model_repository_index", {}),
        # Only an answer names the bundle, and only an answer proves that all stages work together.
        "answer": StatusCall("infer", infer_arguments([Request(user="status", k=1)])),
    }


def server_status(replies: Mapping[str, Any]) -> ServerStatus:
    """Puts the replies of `status_calls` together; those that failed are left out of `replies`."""
    metadata, index, answer = replies.get("metadata"), replies.get("index"), replies.get("answer")
    return ServerStatus(
        live=bool(replies["live"]),
        ready=bool(replies["ready"]),
        version=metadata.version if metadata else "",
        model=MODEL,
        model_ready=bool(replies.get("model_ready", False)),
        models=tuple(ModelStatus(m.name, m.version, m.state, m.reason) for m in (index.models if index else ())),
        bundle=results(answer, rows=1)[0].status.bundle if answer else None,
    )
