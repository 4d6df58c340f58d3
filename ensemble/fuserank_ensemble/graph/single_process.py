"""The model `search` where the whole graph runs in one process.

On a CPU, reaching another process costs more than most steps' own work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.cost import HEAVY_MS
from fuserank_ensemble.contract.experiment import Experiment
from fuserank_ensemble.graph.caches import CacheCounts, EmbeddingCache, PairScoreCache
from fuserank_ensemble.graph.cpu_engine import open_cpu_engine
from fuserank_ensemble.graph.engine import Engine
from fuserank_ensemble.graph.executor import GraphExecutor
from fuserank_ensemble.graph.live.state import LiveState, open_key, open_live
from fuserank_ensemble.graph.load_level import LoadLevel
from fuserank_ensemble.graph.stages import query_encoder_of, search_stages, single_process_stage
from fuserank_ensemble.graph.step import Answer, Host, SearchObserver, Step
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.graph.text_tower import FlatTextTower, OnnxPairEngine
from fuserank_ensemble.state.identity import IdentityKey


class SingleProcess:
    """Runs every step of the graph on one copy of the index, with caches around its engines. For one thread."""

    name = "search"

    def __init__(
        self,
        bundle: Bundle,
        observer: SearchObserver | None = None,
        live: LiveState | None = None,
        experiment: Experiment | None = None,
        key: IdentityKey | None = None,
    ) -> None:
        """Opens the index, and the engines that the bundle names for a CPU; what follows as `Preprocess` takes it."""
        stages = search_stages(bundle.spec)
        # Triton hands over as many requests as it may take together, where at least so many wait.
        full = single_process_stage(bundle.spec, bundle.cost.heavy).queue.batch
        retrieve = Retrieve(bundle, "cpu", live, LoadLevel(full))
        # A second thread for single requests: another core does what need not wait for this one.
        pool = ThreadPoolExecutor(1, "beside")
        self.caches: dict[str, Callable[[], CacheCounts]] = dict(retrieve.caches)
        opened = {stage.name: open_cpu_engine(bundle, stage) for stage in stages if stage.kind == "engine"}
        encoder = query_encoder_of(bundle.spec)
        embeddings = EmbeddingCache(opened[encoder])
        self.caches["embedding"] = lambda: embeddings.counts
        engines: dict[str, Engine] = {**opened, encoder: embeddings}
        if "text_tower" in opened:
            pad = bundle.spec.pair_pad_token_id
            scores = PairScoreCache(OnnxPairEngine(opened["text_tower"], pad, pool, _worth_sharing(bundle)))
            self.caches["pair_score"] = lambda: scores.counts
            engines["text_tower"] = FlatTextTower(scores, pad)
        preprocess = Preprocess(bundle, live, experiment, key)
        self.deal = preprocess.deal
        steps: dict[str, Step] = {
            "preprocess": preprocess,
            "retrieve": retrieve,
            "finalize": Finalize(bundle, observer, live),
        }
        self._graph = GraphExecutor(stages, steps, engines, pool)

    @classmethod
    def open(cls, bundle_root: Path, device: str, host: Host) -> SingleProcess:
        """See `Model`; the graph in one process is always on the CPU."""
        del device
        bundle = Bundle.open(bundle_root, verify=("index/", "model_repository/"))
        live = open_live(bundle, host, has_words=True, search_on="cpu")
        return cls(bundle, host.search_observer(bundle), live, host.experiment(), open_key(bundle, host))

    def execute(self, requests: Sequence[Tensors]) -> list[Answer]:
        """See `Step`."""
        return self._graph.execute(requests)


def _worth_sharing(bundle: Bundle) -> float:
    """From how many pairs on a second thread gains more than it costs to reach; infinity where pairs cost nothing."""
    milliseconds = bundle.cost.pairs_ms(1, bundle.spec.pair_buckets[0])
    return max(2, math.ceil(HEAVY_MS / milliseconds)) if milliseconds else math.inf
