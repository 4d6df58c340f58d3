"""The whole graph as one stage: on a CPU, reaching another process costs more than most stages' own work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.cost import HEAVY_MS
from fuserank_ensemble.contract.options import InvalidRequestError
from fuserank_ensemble.graph.cores import usable_cores
from fuserank_ensemble.graph.halves import Halves
from fuserank_ensemble.graph.padding import trimmed
from fuserank_ensemble.graph.readings import Readings
from fuserank_ensemble.graph.session import joined, open_session
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.serving.observability.caches import CacheCounter
from fuserank_ensemble.serving.observability.search import SearchMetrics
from fuserank_ensemble.serving.triton import Tensors, registry
from fuserank_ensemble.spec import Stage

EMBEDDINGS = 8_192  # of queries that are remembered: 12 MB of 384 numbers each
Answer = Tensors | InvalidRequestError


class Search:
    """Runs every stage of the graph on a batch, one after the other, on the tensors that the ensemble would hand it."""

    name = "search"

    def __init__(self, bundle: Bundle, metrics: SearchMetrics | None = None) -> None:
        """Opens every stage on one copy of the index, and the engines that the bundle's CPU target names."""
        spec = {stage.name: stage for stage in bundle.spec.stages()}
        self._preprocess, self._retrieve = Preprocess(bundle), Retrieve(bundle, "cpu")
        # One more thread for single requests: another core does what need not wait for this one.
        self._beside = ThreadPoolExecutor(1, "beside")
        encoder, ranker = (_Engine(spec[name], bundle, self._beside) for name in ("encoder", "ranker"))
        self._encoder = _Remembering(encoder)
        self._tokens = [tensor.name for tensor in spec["encoder"].inputs]
        self.caches = {**self._retrieve.caches, "embedding": lambda: self._encoder.looked}
        self._ranker: _Engine | _ReadingOnce = ranker
        if bundle.spec.text_candidates:
            self._ranker = reading = _ReadingOnce(ranker, bundle.spec.pair_pad_token_id)
            self.caches["reading"] = lambda: reading.looked
        inputs = {name: [tensor.name for tensor in stage.inputs] for name, stage in spec.items()}
        self._steps: dict[str, tuple[list[str], Callable[[Sequence[Tensors]], Sequence[Answer]]]] = {
            "retrieve": ([*self._tokens, "REQUEST"], self._retrieved),
            "ranker": (inputs["ranker"], self._ranker.execute),
            "finalize": (inputs["finalize"], Finalize(bundle, metrics).execute),
        }

    @classmethod
    def open(cls, bundle_root: Path, device: str) -> Search:
        """Loads the index, and checks that the engines are those it was built with; always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/", "model_repository/"))
        return cls(bundle, SearchMetrics(registry(), bundle.manifest, bundle.reference))

    def execute(self, requests: Sequence[Tensors]) -> list[Answer]:
        """See `fuserank_ensemble.serving.triton.Stage`. A request that one stage refuses takes no part in the next."""
        answers: list[Answer] = list(self._preprocess.execute(requests))
        for wanted, step in self._steps.values():
            going = {i: each for i, each in enumerate(answers) if not isinstance(each, InvalidRequestError)}
            if not going:
                break
            out = step([{tensor: each[tensor] for tensor in wanted} for each in going.values()])
            for (i, known), new in zip(going.items(), out, strict=True):
                answers[i] = new if isinstance(new, InvalidRequestError) else known | new
        return answers

    def _retrieved(self, requests: Sequence[Tensors]) -> Sequence[Answer]:
        """The encoder and `retrieve`, which begins beside it; after it where several wait: then no core is idle."""
        begin = partial(self._retrieve.begin, requests)
        beside = self._beside.submit(begin) if len(requests) == 1 else None
        try:
            embedded = self._encoder.execute([{name: each[name] for name in self._tokens} for each in requests])
        finally:
            wait([beside] if beside else [])  # whatever happens: channels serve one thread at a time
        begun = beside.result() if beside else begin()
        return self._retrieve.execute([{**a, **b} for a, b in zip(requests, embedded, strict=True)], begun)


class _Engine:
    """An ONNX model, run once for all requests of equal shape."""

    def __init__(self, stage: Stage, bundle: Bundle, beside: ThreadPoolExecutor) -> None:
        self._outputs, self._pair_pad = [tensor.name for tensor in stage.outputs], bundle.spec.pair_pad_token_id
        self._reads_pairs, self._cost, self._beside = stage.reads_pairs, bundle.cost, beside
        # The instances share the cores: each with all of them would only take turns.
        threads = max(1, usable_cores() // bundle.spec.whole().instances[0]) if stage.threads == 0 else stage.threads
        self._session = open_session(bundle.engine(stage.name), {"intra_op_thread_count": str(threads)})

    def run(self, batch: Tensors) -> Tensors:
        return dict(zip(self._outputs, self._session.run(self._outputs, batch), strict=True))

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        requests = [trimmed(tensors, self._pair_pad) for tensors in requests]
        if halves := self._halves(requests):
            other = self._beside.submit(self.run, halves.parts[1])
            try:
                one = self.run(halves.parts[0])
            finally:
                wait([other])
            return [halves.whole((one, other.result()))]
        alike: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for i, tensors in enumerate(requests):
            alike.setdefault(tuple(array.shape[1:] for array in tensors.values()), []).append(i)
        out: list[Tensors] = [{} for _ in requests]
        for mine in alike.values():
            batch = {name: joined([requests[i][name] for i in mine]) for name in requests[mine[0]]}
            outputs = self.run(batch)
            rows = [len(next(iter(requests[i].values()))) for i in mine]
            for i, start, count in zip(mine, np.cumsum([0, *rows]), rows, strict=False):
                out[i] = {name: array[start : start + count] for name, array in outputs.items()}
        return out

    def _halves(self, requests: Sequence[Tensors]) -> Halves | None:
        """A single request as two, where its text tower takes long enough: several keep the cores busy as they are."""
        if not self._reads_pairs or len(requests) != 1 or len(requests[0]["PAIR_IDS"]) != 1:
            return None
        _, pairs, length = requests[0]["PAIR_IDS"].shape
        return Halves.of(requests[0]) if self._cost.of_pairs(pairs, length) >= HEAVY_MS else None


class _Remembering:
    """The encoder, asked once for each query: many people ask the same, and no query at all is one of them."""

    def __init__(self, encoder: _Engine) -> None:
        self._encoder = encoder
        self._known: LRUCache[bytes, NDArray[np.float32]] = LRUCache(EMBEDDINGS)
        self.looked = CacheCounter()

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """The embeddings `[rows, dim]` of each request's tokens."""
        keys = [
            [b"".join(row.tobytes() for row in rows) for rows in zip(*tensors.values(), strict=True)]
            for tensors in requests
        ]
        found: dict[bytes, Any] = {key: self._known.get(key) for mine in keys for key in mine}
        new = {}
        for mine, tensors in zip(keys, requests, strict=True):
            for row, key in enumerate(mine):
                self.looked.add(found[key] is not None, found[key] is None)
                if found[key] is None and key not in new:
                    new[key] = {name: array[row : row + 1] for name, array in tensors.items()}
        for key, output in zip(new, self._encoder.execute(list(new.values())), strict=True):
            # A copy of its own: a view would keep the whole batch alive.
            found[key] = self._known[key] = output["EMBEDDING"][0].copy()
        return [{"EMBEDDING": np.stack([found[key] for key in mine])} for mine in keys]


class _ReadingOnce:
    """The ranker, whose text tower is asked once of each pair."""

    def __init__(self, ranker: _Engine, pad: int) -> None:
        self._ranker, self._readings = ranker, Readings(pad)
        self.looked = self._readings.looked

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """The ranker's outputs."""
        unread = [self._readings.unread(tensors) for tensors in requests]
        out = self._ranker.execute([each.tensors for each in unread])
        for each, outputs in zip(unread, out, strict=True):
            self._readings.keep(each, outputs["READING"])
        return out
