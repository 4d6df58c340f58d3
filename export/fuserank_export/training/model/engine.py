"""The ranker's engine: behaviour towers and sequence tower in one graph, with the text tower's scores as an input."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fuserank_ensemble.graph.engine import Session, open_session
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.onnx_export import OPSET
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import write_fp16
from fuserank_export.training.model.merged import MergedRanker
from fuserank_export.training.model.ranker import Ranker

OUTPUTS = ("HEADS", "CONTRIBUTIONS")
TOLERANCE = 1e-4  # of logits, against torch
_BATCH, _CANDIDATES = {0: "batch"}, {0: "batch", 1: "candidates"}
_RUNS = 30  # timed runs; their median counts


class RankerEngine(nn.Module):
    """What Triton runs: the tensors of `retrieve` and `text_tower` in, heads and contributions out."""

    def __init__(self, ranker: Ranker | MergedRanker) -> None:
        """Takes a ranker."""
        super().__init__()
        self.ranker = ranker

    def forward(
        self, features: Tensor, vectors: Tensor, events: Tensor, moments: Tensor, text_scores: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Ranker.forward`.

        Args:
            features: `[batch, candidates, F]`.
            vectors: `[batch, candidates, dim]`.
            events: `[batch, events, dim]`.
            moments: `[batch, events, 3]`.
            text_scores: The text tower's logits of the first candidates, `[batch, read]`, NaN where it read nothing;
                None where there is no tower.

        Returns:
            Logits `[batch, candidates, heads]` and contributions `[batch, candidates, signals, heads]`.
        """
        reading = torch.full_like(features[..., 0], float("nan"))
        if text_scores is not None:
            reading = torch.cat([text_scores, reading[:, text_scores.shape[1] :]], 1)
        return self.ranker(features, vectors, events, moments, reading)  # type: ignore[no-any-return]  # a module called is Any


def export_engine(engine: RankerEngine, spec: GraphSpec, path: Path) -> None:
    """Writes the engine as ONNX, see `MergedRanker`, with dynamic batch and candidates."""
    ranker = engine.ranker if isinstance(engine.ranker, MergedRanker) else MergedRanker(engine.ranker)
    examples = [
        torch.randn(2, spec.candidate_buckets[0], len(ranker.ranker.layout.features)),
        torch.randn(2, spec.candidate_buckets[0], spec.embedding_dim),
        torch.randn(2, spec.events, spec.embedding_dim),
        torch.ones(2, spec.events, MOMENT_DIM),
    ]
    axes = {"FEATURES": _CANDIDATES, "VECTORS": _CANDIDATES, "EVENTS": _BATCH, "MOMENTS": _BATCH}
    if spec.text_candidates:
        examples.append(torch.full((2, spec.text_candidates), float("nan")))
        axes["TEXT_SCORES"] = _BATCH
    with torch.no_grad():
        torch.onnx.export(
            RankerEngine(ranker).eval(),
            tuple(examples),
            str(path),
            input_names=list(axes),
            output_names=list(OUTPUTS),
            dynamic_axes={**axes, **dict.fromkeys(OUTPUTS, _CANDIDATES)},
            opset_version=OPSET,
            dynamo=False,
        )


def write_ranker(engine: RankerEngine, folder: Path, spec: GraphSpec) -> tuple[dict[str, Any], dict[str, float]]:
    """Writes the ranker's engines in FP32 and FP16.

    Returns:
        Their agreement with torch, and the milliseconds of a request on this machine by bucket of candidates.

    Raises:
        RuntimeError: Where the FP32 engine differs from torch.
    """
    folder.mkdir(parents=True)
    path, half = folder / "model.onnx", folder / "model.fp16.onnx"
    export_engine(engine, spec, path)
    write_fp16(path, half)
    feeds = random_inputs(spec, 2, spec.candidates, np.random.default_rng(0))
    with torch.no_grad():
        expected = engine(*(torch.from_numpy(feed) for feed in feeds.values()))[0].numpy()
    report = check_agreement({"model.onnx": path, "model.fp16.onnx": half}, "HEADS", feeds, expected)
    session = open_session(path, {})
    buckets = {
        str(size): median_milliseconds(session, OUTPUTS, random_inputs(spec, 1, size, np.random.default_rng(0)))
        for size in spec.candidate_buckets
    }
    return report, buckets


def check_agreement(
    files: Mapping[str, Path], output: str, feeds: Mapping[str, NDArray[Any]], expected: NDArray[np.float32]
) -> dict[str, Any]:
    """Compares a model's FP32 and FP16 files with what torch computes.

    Args:
        files: `model.onnx` and `model.fp16.onnx`.
        output: The output that is compared.
        feeds: The inputs.
        expected: What torch computes of them; NaN where there is no value.

    Returns:
        The largest absolute difference of each file, for the manifest.

    Raises:
        RuntimeError: Where the FP32 file differs by more than `TOLERANCE`.
    """
    report: dict[str, Any] = {"engines": {}}
    for name, path in files.items():
        # ONNX Runtime on a CPU would compute half precision in FP32.
        session: Session = ReferenceSession(path) if "fp16" in name else open_session(path, {})
        difference = np.abs(session.run([output], feeds)[0] - expected)
        report["engines"][name] = {"max_abs_diff": float(np.nanmax(difference))}
    largest = report["engines"]["model.onnx"]["max_abs_diff"]
    if not largest <= TOLERANCE:
        raise RuntimeError(f"{files['model.onnx']}: differs from torch by {largest:.2e}; allowed: {TOLERANCE:.0e}")
    return report


def random_inputs(
    spec: GraphSpec, batch: int, candidates: int, draw: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Returns inputs of the engine with missing features.

    The first request has a sequence and text scores, the others have neither.
    """
    inputs = next(stage.inputs for stage in search_stages(spec) if stage.name == "ranker")
    feeds = {
        tensor.name: draw.normal(size=(batch, *(candidates if d < 0 else d for d in tensor.dims))).astype(np.float32)
        for tensor in inputs
    }
    feeds["FEATURES"][draw.random(feeds["FEATURES"].shape) < 0.3] = np.nan
    feeds["MOMENTS"][..., 2] = 1.0
    feeds["MOMENTS"][1:] = 0.0
    if "TEXT_SCORES" in feeds:
        feeds["TEXT_SCORES"][1:] = np.nan
    return feeds


def median_milliseconds(session: Session, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> float:
    """Returns how long a run takes here."""
    samples = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        session.run(list(outputs), feeds)
        samples.append(time.perf_counter() - started)
    return round(float(np.median(samples)) * 1_000, 3)
