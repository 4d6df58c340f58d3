"""The ranker's one engine: text tower, behaviour towers and sequence tower in one graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.graph.session import open_session
from fuserank_ensemble.interactions.sequence import MOMENT
from fuserank_ensemble.spec import PAIR_TENSORS, GraphSpec
from fuserank_export.encoder.onnx_export import OPSET
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import write_fp16
from fuserank_export.training.model.merged import MergedRanker
from fuserank_export.training.model.ranker import Ranker

OUTPUTS = ("HEADS", "CONTRIBUTIONS")
TOLERANCE = 1e-4  # of logits, against torch
_BATCH, _CANDIDATES = {0: "batch"}, {0: "batch", 1: "candidates"}


class TextTower(nn.Module):
    """A cross-encoder with one label that reads many pairs of each request."""

    def __init__(self, model: Any, pad: int) -> None:
        """Takes a Hugging Face sequence classifier and the token id that pads."""
        super().__init__()
        self.model, self.pad = model, pad
        self.typed = getattr(model.config, "type_vocab_size", 0) > 1

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        """Maps token ids and types `[batch, pairs, length]` to logits `[batch, pairs]`, NaN where all is padding."""
        flat = ids.flatten(0, 1)
        real = flat != self.pad
        # A pair of nothing but padding still attends to its first place: a softmax over nothing has no value.
        mask = torch.cat([torch.ones_like(real[:, :1]), real[:, 1:]], 1).to(ids.dtype)
        typed = {"token_type_ids": types.flatten(0, 1)} if self.typed else {}
        logits = self.model(input_ids=flat, attention_mask=mask, **typed).logits[:, 0].reshape(ids.shape[:2])
        nothing = torch.full_like(logits, float("nan"))
        return torch.where((ids != self.pad).any(-1), logits, nothing)


class RankerEngine(nn.Module):
    """What Triton runs: the tensors of `retrieve` in, heads and contributions out."""

    def __init__(self, ranker: Ranker | MergedRanker, tower: TextTower | None) -> None:
        """Joins a ranker and, where there is one, its text tower."""
        super().__init__()
        self.ranker, self.tower = ranker, tower

    def forward(
        self,
        features: Tensor,
        vectors: Tensor,
        events: Tensor,
        moments: Tensor,
        pair_ids: Tensor | None = None,
        pair_types: Tensor | None = None,
        pair_of: Tensor | None = None,
        read_before: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """See `Ranker.forward`.

        The tower's pairs are `[batch, pairs, length]`; `pair_of`, `[batch, read]`, says which of them each of the
        first candidates has, -1 for none. Of such a one `read_before` is taken, `[batch, read]`, NaN for nothing.

        Returns:
            Logits and contributions, and with a tower the logits that were read or known, `[batch, read]`.
        """
        reading = torch.full_like(features[..., 0], float("nan"))
        if self.tower is None or pair_of is None or read_before is None:
            return self.ranker(features, vectors, events, moments, reading)  # type: ignore[no-any-return]  # a module called is Any
        absent = pair_of < 0
        read = self.tower(pair_ids, pair_types).gather(1, torch.where(absent, 0, pair_of))
        read = torch.where(absent, read_before, read)
        reading = torch.cat([read, reading[:, read.shape[1] :]], 1)
        return (*self.ranker(features, vectors, events, moments, reading), read)


def export_engine(engine: RankerEngine, spec: GraphSpec, path: Path) -> None:
    """Writes the engine as ONNX, see `MergedRanker`, with dynamic batch, candidates and length of pairs."""
    ranker = engine.ranker if isinstance(engine.ranker, MergedRanker) else MergedRanker(engine.ranker)
    engine = RankerEngine(ranker, engine.tower)
    examples = [
        torch.randn(2, spec.candidate_buckets[0], len(FEATURES)),
        torch.randn(2, spec.candidate_buckets[0], spec.embedding_dim),
        torch.randn(2, spec.events, spec.embedding_dim),
        torch.ones(2, spec.events, MOMENT),
    ]
    axes = {"FEATURES": _CANDIDATES, "VECTORS": _CANDIDATES, "EVENTS": _BATCH, "MOMENTS": _BATCH}
    read: dict[str, dict[int, str]] = {}
    if engine.tower is not None:
        shape = (2, spec.text_candidates, spec.pair_buckets[-1])
        examples += [torch.full(shape, spec.pair_pad_token_id + 1), torch.zeros(shape, dtype=torch.int64)]
        examples.append(torch.arange(spec.text_candidates).repeat(2, 1))
        examples.append(torch.full((2, spec.text_candidates), float("nan")))
        axes |= {name: {0: "batch", 1: "pairs", 2: "length"} for name in PAIR_TENSORS}
        axes |= dict.fromkeys(("PAIR_OF", "READ_BEFORE"), _BATCH)
        read = {"READING": _BATCH}
    with torch.no_grad():
        torch.onnx.export(
            engine.eval(),
            tuple(examples),
            str(path),
            input_names=list(axes),
            output_names=[*OUTPUTS, *read],
            dynamic_axes={**axes, **dict.fromkeys(OUTPUTS, _CANDIDATES), **read},
            opset_version=OPSET,
            dynamo=False,
        )


def write_ranker(engine: RankerEngine, folder: Path, spec: GraphSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes the ranker's engines.

    Returns:
        Their agreement with torch, and what they cost on this machine, for the manifest: `ranker_ms`, the milliseconds
        of a request without pairs by bucket of candidates, and `text_tower_ms`, what its pairs add to that by bucket
        of their length.

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
    report: dict[str, Any] = {"engines": {}}
    # ONNX Runtime on a CPU would compute half precision in FP32.
    for name, opened in (("model.onnx", open_session(path, {})), ("model.fp16.onnx", ReferenceSession(half))):
        found = opened.run(["HEADS"], feeds)[0]
        report["engines"][name] = {"max_abs_diff": float(np.abs(found - expected).max())}
    difference = report["engines"]["model.onnx"]["max_abs_diff"]
    if not difference <= TOLERANCE:
        raise RuntimeError(f"{path}: differs from torch by {difference:.2e}; allowed: {TOLERANCE:.0e}")
    session = open_session(path, {})
    alone = {str(size): _milliseconds(session, spec, size, 0) for size in spec.candidate_buckets}
    lengths = spec.pair_buckets if engine.tower else ()
    before = alone[str(spec.candidates)]
    pairs = {str(n): max(0.0, round(_milliseconds(session, spec, spec.candidates, n) - before, 3)) for n in lengths}
    return report, {"ranker_ms": alone, "text_tower_ms": pairs}


def random_inputs(
    spec: GraphSpec, batch: int, candidates: int, draw: np.random.Generator, length: int | None = None
) -> dict[str, NDArray[Any]]:
    """Inputs of the engine with missing features.

    The first request has a sequence, and pairs of `length` tokens (by default half of the longest bucket, padded to
    the whole of it; 0 for none). The others have neither.
    """
    longest = spec.pair_buckets[-1] if length is None else length or spec.pair_buckets[0]
    inputs = next(stage.inputs for stage in spec.stages() if stage.name == "ranker")
    sizes = {"PAIR_IDS": longest, "PAIR_TYPES": longest}
    feeds: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        shape = (batch, *(sizes.get(tensor.name, candidates) if d < 0 else d for d in tensor.dims))
        integers = tensor.dtype == "INT64"
        feeds[tensor.name] = np.zeros(shape, np.int64) if integers else draw.normal(size=shape).astype(np.float32)
    feeds["FEATURES"][draw.random(feeds["FEATURES"].shape) < 0.3] = np.nan
    feeds["MOMENTS"][..., 2] = 1.0
    feeds["MOMENTS"][1:] = 0.0
    if "PAIR_IDS" in feeds:
        feeds["PAIR_IDS"][:] = spec.pair_pad_token_id
        feeds["PAIR_IDS"][0, :, : longest // 2 if length is None else length] = spec.pair_pad_token_id + 1
        feeds["PAIR_OF"][:] = -1
        feeds["READ_BEFORE"][:] = np.nan
        if length != 0:
            feeds["PAIR_OF"][0] = np.arange(spec.text_candidates)
    return feeds


def _milliseconds(session: Any, spec: GraphSpec, candidates: int, length: int) -> float:
    feeds = random_inputs(spec, 1, candidates, np.random.default_rng(0), length)
    samples = []
    for _ in range(30):
        started = time.perf_counter()
        session.run(list(OUTPUTS), feeds)
        samples.append(time.perf_counter() - started)
    return round(float(np.median(samples)) * 1_000, 3)
