"""The `onnxruntime` backend of the embedded server: one ONNX Runtime session a model, batched inside.

It reads the same `config.pbtxt` as Triton's C++ backend: `default_model_filename`, the instance kind, and the
parameters `intra_op_thread_count`, `inter_op_thread_count` and `session.intra_op.allow_spinning`. Beyond that backend
it has the caches of the single process, since it runs in Python anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fuserank_ensemble.graph.caches import CacheCounts, EmbeddingCache, PairScoreCache
from fuserank_ensemble.graph.engine import Engine, OnnxEngine, open_session, trim_tokens
from fuserank_ensemble.graph.step import Step
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.graph.text_tower import FlatTextTower, OnnxPairEngine
from fuserank_ensemble.serving.triton import TritonAdapter, instance_device


class CachedEngine:
    """An engine with what its cache counts, by the cache's name."""

    def __init__(self, engine: Engine, caches: dict[str, Callable[[], CacheCounts]]) -> None:
        self._engine, self.caches = engine, caches

    def execute(self, requests: Sequence[Tensors]) -> list[Tensors]:
        """See `Engine`."""
        return self._engine.execute(requests)


class TritonPythonModel(TritonAdapter):
    """Serves one ONNX model."""

    def open_step(self, args: dict[str, str], config: dict[str, Any]) -> Step:
        """Opens the session that the configuration describes, behind the cache that fits its inputs."""
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        path = Path(args["model_repository"]) / args["model_version"] / config["default_model_filename"]
        device = instance_device(args)
        gpu = int(device.partition(":")[2]) if device != "cpu" else None
        inputs, outputs = ({tensor["name"] for tensor in config[side]} for side in ("input", "output"))
        names = [tensor["name"] for tensor in config["output"]]
        session = open_session(path, parameters, gpu)
        if outputs == {"EMBEDDING"} and gpu is None:
            embeddings = EmbeddingCache(OnnxEngine(session, names, trim_tokens))
            return CachedEngine(embeddings, {"embedding": lambda: embeddings.counts})
        if "PAIR_IDS" in inputs and gpu is None:
            pad = int(parameters["pad_token_id"])
            scores = PairScoreCache(OnnxPairEngine(OnnxEngine(session, names), pad))
            return CachedEngine(FlatTextTower(scores, pad), {"pair_score": lambda: scores.counts})
        return OnnxEngine(session, names)
