"""The state of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelStatus:
    """One version of one model in the server's repository; `state` is Triton's word, such as `READY`."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ServerStatus:
    """The state of a server.

    Attributes:
        live: Whether the process answers.
        ready: Whether all its models are loaded.
        version: Triton's version, empty where the server does not state it.
        model: The model that answers searches.
        model_ready: Whether that model takes requests.
        models: The repository's models; those that are loaded where the server keeps its index private, and none where
            it keeps its statistics private, too.
        bundle: Id of the bundle that is served, `None` where the search for one item failed.
    """

    live: bool
    ready: bool
    version: str
    model: str
    model_ready: bool
    models: tuple[ModelStatus, ...]
    bundle: str | None
