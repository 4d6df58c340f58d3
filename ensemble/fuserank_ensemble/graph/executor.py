"""Runs the steps of the graph one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, runtime_checkable

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.engine import Engine
from fuserank_ensemble.graph.stages import Stage
from fuserank_ensemble.graph.step import Answer, Step
from fuserank_ensemble.graph.tensors import Tensors


@runtime_checkable
class Prefetching(Protocol):
    """A step part of whose work needs only some of its inputs, which are there before the step before it runs."""

    prefetch_inputs: tuple[str, ...]

    def prefetch(self, requests: Sequence[Tensors]) -> Any:
        """Does that part; another thread may be running the step before."""
        ...

    def execute(self, requests: Sequence[Tensors], prefetched: Any = None) -> Sequence[Answer]:
        """See `Step`; `prefetched` is what `prefetch` returned for the same requests, where it was asked."""
        ...


class GraphExecutor:
    """The graph in one process: Python steps and engines by name, in the order that data takes."""

    def __init__(
        self,
        stages: Sequence[Stage],
        steps: Mapping[str, Step],
        engines: Mapping[str, Engine],
        pool: ThreadPoolExecutor | None = None,
    ) -> None:
        """Takes what runs each stage.

        Args:
            stages: The graph's stages, see `graph.stages.search_stages`.
            steps: The Python stages by name.
            engines: The stages that run a model, by name.
            pool: A thread beside this one, for what a step may do before the step ahead of it is done.
        """
        runners: dict[str, Step] = {**steps, **engines}
        self._stages = [(stage, runners[stage.name]) for stage in stages]
        self._pool = pool

    def execute(
        self, requests: Sequence[Tensors], watch: Callable[[str, list[Tensors]], None] = lambda stage, inputs: None
    ) -> list[Answer]:
        """Answers a batch of requests; one that a step refuses takes no part in the next.

        Args:
            requests: Each request's inputs of the graph by name, `[rows, …]`.
            watch: Called with each stage's name and inputs before it runs.

        Returns:
            For each request all tensors of the graph by name, or its error.
        """
        answers: list[Answer] = list(requests)
        ahead: Future[Any] | None = None
        following = [step for _, step in self._stages[1:]]
        for (stage, step), after in zip(self._stages, [*following, None], strict=True):
            going = {i: answer for i, answer in enumerate(answers) if not isinstance(answer, InvalidRequestError)}
            if not going:
                break
            inputs = [{tensor.name: tensors[tensor.name] for tensor in stage.inputs} for tensors in going.values()]
            watch(stage.name, inputs)
            arguments = (ahead.result(),) if ahead else ()
            ahead = self._submit(after, list(going.values())) if stage.kind == "engine" else None
            try:
                outputs = step.execute(inputs, *arguments)
            finally:
                wait([ahead] if ahead else [])  # whatever happens: a step serves one thread at a time
            for (i, known), output in zip(going.items(), outputs, strict=True):
                answers[i] = output if isinstance(output, InvalidRequestError) else known | output
        return answers

    def _submit(self, step: Step | None, requests: Sequence[Tensors]) -> Future[Any] | None:
        """Begins what a step can do ahead, for one request alone: where several wait, no core is idle."""
        if self._pool is None or len(requests) != 1 or not isinstance(step, Prefetching):
            return None
        return self._pool.submit(step.prefetch, [{name: requests[0][name] for name in step.prefetch_inputs}])
