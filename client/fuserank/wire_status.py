"""What is asked for the state of a server, and what the responses say; see `fuserank.wire`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuserank.types import ModelStatus, Request, ServerStatus
from fuserank.wire import MODEL, decode_results, encode_search


@dataclass(frozen=True)
class StatusCall:
    """One of the calls that `status` makes: a method of tritonclient's client and its arguments.

    Attributes:
        method: Name of the method.
        arguments: Its keyword arguments.
        required: Whether its failure fails `status`; a server may keep the other calls private, or fail to answer them.
    """

    method: str
    arguments: Mapping[str, Any]
    required: bool = False


def list_status_calls() -> dict[str, StatusCall]:
    """Returns the calls whose responses make up a `ServerStatus`, by the names that `decode_status` reads."""
    return {
        "live": StatusCall("is_server_live", {}, required=True),
        "ready": StatusCall("is_server_ready", {}, required=True),
        "metadata": StatusCall("get_server_metadata", {}),
        "model_ready": StatusCall("is_model_ready", {"model_name": MODEL}),
        "index": StatusCall("get_model_repository_index", {}),
        # Where the index is closed, as `fuserank serve` closes it, this names the models that are loaded.
        "statistics": StatusCall("get_inference_statistics", {}),
        # Only a search names the bundle, and only a search proves that all stages work together.
        "search": StatusCall("infer", encode_search([Request(user="status", k=1)])),
    }


def decode_status(replies: Mapping[str, Any]) -> ServerStatus:
    """Builds the status from the responses to `list_status_calls` by name; those that failed are left out."""
    metadata, search = replies.get("metadata"), replies.get("search")
    return ServerStatus(
        live=bool(replies["live"]),
        ready=bool(replies["ready"]),
        version=metadata.version if metadata else "",
        model=MODEL,
        model_ready=bool(replies.get("model_ready", False)),
        models=_decode_models(replies.get("index"), replies.get("statistics")),
        bundle=decode_results(search, rows=1)[0].status.bundle if search else None,
    )


def _decode_models(index: Any, statistics: Any) -> tuple[ModelStatus, ...]:
    """Returns the models of the repository's index, else those that have statistics, which are loaded."""
    if index is not None:
        return tuple(ModelStatus(model.name, model.version, model.state, model.reason) for model in index.models)
    if statistics is not None:
        return tuple(ModelStatus(model.name, model.version, "READY") for model in statistics.model_stats)
    return ()
