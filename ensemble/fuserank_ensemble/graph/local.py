"""The graph without Triton: for tests, warm-up and offline measuring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.experiment import Experiment
from fuserank_ensemble.graph.engine import OnnxEngine, Session, open_session
from fuserank_ensemble.graph.executor import GraphExecutor
from fuserank_ensemble.graph.live.state import LiveState
from fuserank_ensemble.graph.stages import SEARCH_OUTPUTS, engine_stages, search_stages
from fuserank_ensemble.graph.step import SearchObserver, Step
from fuserank_ensemble.graph.steps.embed import Embed
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.rerank import Rerank
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.graph.steps.suggest import Suggest
from fuserank_ensemble.graph.tensors import Tensors, string_tensor
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.keys import read_key_beside
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import State, StateSettings, choose_key

FP32_FILE = "model.onnx"


class LocalGraph:
    """Answers requests with a bundle's steps and its FP32 engines, without caches around these.

    Each step gets what Triton would give it.

    It is the `Host` of its own steps.
    """

    def __init__(
        self,
        bundle: Bundle,
        engines: Mapping[str, Session] = MappingProxyType({}),
        state: StateSettings | None = None,
        experiment: Experiment | None = None,
        key: IdentityKey | None = None,
    ) -> None:
        """Opens a bundle.

        Args:
            bundle: The bundle.
            engines: What runs an engine, by stage; FP32 in ONNX Runtime where it is not named.
            state: Where events are kept; None keeps none.
            experiment: The experiment whose arms users are in; None runs none.
            key: The key under which the bundle names users, which a new state takes over; None takes what lies beside
                the bundle. Without one, users are known by the bundle's names for them alone.

        Raises:
            BundleError: Where the key is not the bundle's.
        """
        self.bundle, self._state, self._experiment, self._key = bundle, state, experiment, key
        self._closing = ExitStack()
        if state is not None:
            with suppress(StateUnavailableError):
                State.open(state, key or read_key_beside(bundle.root)).log.close()
        named_by = self.user_key(bundle)
        if named_by is not None:
            bundle.check_user_key(named_by)
        self.live = LiveState.open(bundle, state, has_words=True, search_on="cpu") if state else None
        if self.live:
            self._closing.callback(self.live.close)
        opened = {
            stage.name: OnnxEngine(
                engines.get(stage.name) or open_session(bundle.repository / stage.name / "1" / FP32_FILE, {}),
                [tensor.name for tensor in stage.outputs],
            )
            for stage in engine_stages(bundle.spec)
        }
        steps: dict[str, Step] = {
            "preprocess": Preprocess(bundle, self.live, experiment, named_by, takes_names=True),
            "retrieve": Retrieve(bundle, "cpu", self.live),
            "finalize": Finalize(bundle, live=self.live),
        }
        self._steps: dict[str, Step] = {**steps, **opened}
        self._graph = GraphExecutor(search_stages(bundle.spec), steps, opened)

    def over(self, spec: GraphSpec) -> LocalGraph:
        """Returns the same with another specification of its bundle, such as longer lists."""
        bundle = replace(self.bundle, spec=spec)
        return LocalGraph(bundle, state=self._state, experiment=self._experiment, key=self._key)

    def close(self) -> None:
        """Ends what follows the log, where there is one, and what the models beside it opened."""
        self._closing.close()

    def trace(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> Iterator[tuple[str, Tensors]]:
        """Answers requests as one call with a row each, and returns what went in and out.

        Args:
            requests: Query, user and options of each row.

        Yields:
            Each stage's name and its inputs, then `search` and the graph's outputs.

        Raises:
            InvalidRequestError: Where a step refuses the requests.
        """
        inputs: Tensors = {
            "QUERY": string_tensor([[query.encode()] for query, _, _ in requests]),
            "USER_ID": string_tensor([[user.encode()] for _, user, _ in requests]),
            "OPTIONS": string_tensor([[json.dumps(options).encode()] for _, _, options in requests]),
        }
        watched: list[tuple[str, Tensors]] = []
        (answer,) = self._graph.execute([inputs], lambda stage, batch: watched.append((stage, batch[0])))
        if isinstance(answer, InvalidRequestError):
            raise answer
        yield from watched
        yield "search", {tensor.name: answer[tensor.name] for tensor in SEARCH_OUTPUTS}

    def search(self, query: str = "", user: str = "", **options: Any) -> Tensors:
        """Answers one request; returns the graph's outputs by name."""
        return dict(self.trace([(query, user, options)]))["search"]

    def similar(self, item_id: str = "", text: str = "", **options: Any) -> Tensors:
        """Answers one request of `similar`; returns its outputs by name.

        Raises:
            InvalidRequestError: Where the step refuses it.
        """
        return _answer(self._similar, _row(ITEM_ID=item_id, TEXT=text, OPTIONS=json.dumps(options)))

    def suggest(self, prefix: str, **options: Any) -> Tensors:
        """Answers one request of `suggest`; returns its outputs by name.

        Raises:
            InvalidRequestError: Where the step refuses it.
        """
        return _answer(self._suggest, _row(PREFIX=prefix, OPTIONS=json.dumps(options)))

    def embed(self, texts: Sequence[str], **options: Any) -> Tensors:
        """Answers one request of `embed`; returns its outputs by name.

        Raises:
            InvalidRequestError: Where the step refuses it.
        """
        given = {"TEXT": string_tensor([[text.encode() for text in texts]])}
        return _answer(Embed(self.bundle, self.call), {**_row(OPTIONS=json.dumps(options)), **given})

    def rerank(self, query: str, documents: Sequence[str], **options: Any) -> Tensors:
        """Answers one request of `rerank`; returns its outputs by name.

        Raises:
            InvalidRequestError: Where the step refuses it.
        """
        given = {"DOCUMENT": string_tensor([[text.encode() for text in documents]])}
        row = _row(QUERY=query, OPTIONS=json.dumps(options))
        return _answer(Rerank(self.bundle, self), {**row, **given})

    def call(self, model: str, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
        """See `Host`."""
        answer = _answer(self._steps[model], inputs)
        return {name: answer[name] for name in outputs}

    def serves(self, model: str) -> bool:
        """See `Host`."""
        return model in self._steps

    def search_observer(self, bundle: Bundle) -> SearchObserver | None:
        """See `Host`; nobody is told."""
        del bundle
        return None

    def state(self) -> StateSettings | None:
        """See `Host`."""
        return self._state

    def user_key(self, bundle: Bundle) -> IdentityKey | None:
        """See `Host`."""
        return self._key or choose_key(self._state, bundle.root)

    def experiment(self) -> Experiment | None:
        """See `Host`."""
        return self._experiment

    def at_close(self, release: Callable[[], None]) -> None:
        """See `Host`."""
        self._closing.callback(release)

    @cached_property
    def _similar(self) -> Similar:
        return Similar(self.bundle, self.call, self.live, self.user_key(self.bundle), takes_names=True)

    @cached_property
    def _suggest(self) -> Suggest:
        return Suggest.open(Path(self.bundle.root), "cpu", self)


def _row(**values: str) -> Tensors:
    """Returns the inputs of a request of one row."""
    return {name: string_tensor([[value.encode()]]) for name, value in values.items()}


def _answer(step: Step, inputs: Tensors) -> Tensors:
    answer = step.execute([inputs])[0]
    if isinstance(answer, InvalidRequestError):
        raise answer
    return answer
