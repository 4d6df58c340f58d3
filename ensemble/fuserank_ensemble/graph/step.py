"""What a step of the graph is, and what it may ask of the process that hosts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.request import ResolvedRequest, Status
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.experiment import Experiment
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.settings import StateSettings

Answer = Tensors | InvalidRequestError


class UnavailableError(RuntimeError):
    """Another model of this server takes no calls at present, such as one whose queue is full."""


class UnsupportedError(RuntimeError):
    """This server was started without what the request needs; the message says how to start it with that."""


class SearchObserver(Protocol):
    """Sees every search that has been answered."""

    def observe(self, resolved: ResolvedRequest, status: Status, depth: int, features: NDArray[np.float32]) -> None:
        """Takes note of one search.

        Args:
            resolved: The request.
            status: The `STATUS` of its reply.
            depth: How many candidates the ranker got, padding included.
            features: Of the real candidates, float32 `[candidates, F]`.
        """
        ...


class Host(Protocol):
    """The process that a step runs in: Triton's Python backend, or a plain Python process."""

    def call(self, model: str, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
        """Runs another model of the same server and returns the outputs that are named.

        Raises:
            UnavailableError: Where that model takes no calls at present.
            RuntimeError: Where it failed.
        """
        ...

    def serves(self, model: str) -> bool:
        """Whether the same server has a model of that name, which `call` may run."""
        ...

    def search_observer(self, bundle: Bundle) -> SearchObserver | None:
        """Returns who is told of every search, if anybody is."""
        ...

    def state(self) -> StateSettings | None:
        """Returns where events are kept; None where no state is."""
        ...

    def user_key(self, bundle: Bundle) -> IdentityKey | None:
        """Returns the key of a bundle's users where it lies in a file; None where the state keeps it, or has none."""
        ...

    def experiment(self) -> Experiment | None:
        """Returns the experiment whose arms users are in; None where none is run."""
        ...

    def at_close(self, release: Callable[[], None]) -> None:
        """Has something called when the step is closed, such as what ends a thread of it."""
        ...


class Step(Protocol):
    """One step of the graph: arrays in, arrays out, nothing of Triton."""

    def execute(self, requests: Sequence[Tensors]) -> Sequence[Answer]:
        """Answers a batch of requests.

        Args:
            requests: Each request's inputs by name, `[rows, …]`.

        Returns:
            For each request its outputs, or the error that this request alone gets.
        """
        ...


@runtime_checkable
class Dealing(Protocol):
    """A first step of the graph where the arms of an experiment may have bundles of their own."""

    def deal(self, tensors: Tensors) -> list[str]:
        """Returns the id of the bundle that answers each row of a request; empty for the served one."""
        ...


class Model(Step, Protocol):
    """A step that is a Triton model of its own."""

    name: str

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> Model:
        """Loads what the step needs from the bundle.

        Args:
            bundle_root: The bundle's folder.
            device: `cpu` or `cuda:N`.
            host: The process that it runs in.
        """
        ...
