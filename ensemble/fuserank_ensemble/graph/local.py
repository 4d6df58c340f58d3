"""The same graph in one process, without Triton: for tests, warm-up and offline measuring."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.session import open_session
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.graph.steps.suggest import Suggest
from fuserank_ensemble.serving.triton import Stage, Tensors, strings


class Session(Protocol):
    """What runs an engine; an ONNX Runtime session is one."""

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Any]) -> Sequence[Any]:
        """The named outputs by their order."""
        ...


class LocalGraph:
    """Runs a bundle's stages one after the other, each on the tensors that the graph would hand it."""

    def __init__(self, bundle: Bundle, engines: Mapping[str, Session] = MappingProxyType({})) -> None:
        """Opens a bundle.

        Args:
            bundle: The bundle.
            engines: What runs the encoder or the ranker, by stage; FP32 in ONNX Runtime where it is not named.
        """
        self.bundle = bundle
        known = {
            stage.name: engines.get(stage.name) or open_session(bundle.repository / stage.name / "1" / "model.onnx", {})
            for stage in bundle.spec.stages()
            if stage.kind == "engine"
        }
        self._stages: dict[str, Stage | _Engine] = {
            "preprocess": Preprocess(bundle),
            "encoder": _Engine(known["encoder"], ["EMBEDDING"]),
            "retrieve": Retrieve(bundle, "cpu"),
            "ranker": _Engine(known["ranker"], ["HEADS", "CONTRIBUTIONS"]),
            "finalize": Finalize(bundle),
        }

    def steps(self, requests: Sequence[tuple[str, str, dict[str, Any]]]) -> Iterator[tuple[str, Tensors]]:
        """Answers requests as one call with a row each, step by step.

        Args:
            requests: Query, user and options of each row.

        Yields:
            Each stage's name and its inputs, then `search` and the graph's outputs.

        Raises:
            InvalidRequestError: As the stage says.
        """
        tensors: Tensors = {
            "QUERY": strings([[query.encode()] for query, _, _ in requests]),
            "USER_ID": strings([[user.encode()] for _, user, _ in requests]),
            "OPTIONS": strings([[json.dumps(options).encode()] for _, _, options in requests]),
        }
        wanted = {stage.name: [tensor.name for tensor in stage.inputs] for stage in self.bundle.spec.stages()}
        outputs: Tensors = {}
        for name, stage in self._stages.items():
            inputs = {tensor: tensors[tensor] for tensor in wanted[name]}
            yield name, inputs
            outputs = _answer(stage, inputs)
            tensors |= outputs
        yield "search", outputs

    def search(self, query: str = "", user: str = "", **options: Any) -> Tensors:
        """Answers one request; returns the graph's outputs by name."""
        return dict(self.steps([(query, user, options)]))["search"]

    def similar(self, item_id: str = "", text: str = "", **options: Any) -> Tensors:
        """Answers one request of `similar`; returns its outputs by name.

        Raises:
            InvalidRequestError: As the stage says.
        """
        inputs = _row(ITEM_ID=item_id, TEXT=text, OPTIONS=json.dumps(options))
        return _answer(self._similar, inputs)

    def suggest(self, prefix: str, **options: Any) -> Tensors:
        """Answers one request of `suggest`; returns its outputs by name.

        Raises:
            InvalidRequestError: As the stage says.
        """
        return _answer(self._suggest, _row(PREFIX=prefix, OPTIONS=json.dumps(options)))

    def call(self, model: str, inputs: Tensors, outputs: Sequence[str]) -> Tensors:
        """Calls one stage as `similar` does; see `fuserank_ensemble.serving.triton.called`."""
        answer = _answer(self._stages[model], inputs)
        return {name: answer[name] for name in outputs}

    @cached_property
    def _similar(self) -> Similar:
        return Similar(self.bundle, self.call)

    @cached_property
    def _suggest(self) -> Suggest:
        return Suggest.open(self.bundle.root, "cpu")


class _Engine:
    """An ONNX model as a stage."""

    def __init__(self, session: Session, outputs: list[str]) -> None:
        self._session, self._outputs = session, outputs

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        return [dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True)) for inputs in requests]


def _row(**values: str) -> Tensors:
    """The inputs of a request of one row."""
    return {name: strings([[value.encode()]]) for name, value in values.items()}


def _answer(stage: Stage | _Engine, inputs: Tensors) -> Tensors:
    answer = stage.execute([inputs])[0]
    if isinstance(answer, InvalidRequestError):
        raise answer
    return answer
