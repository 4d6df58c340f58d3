"""The text tower's engine: a cross-encoder that scores many pairs of each request."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fuserank_ensemble.graph.engine import open_session
from fuserank_ensemble.graph.stages import PAIR_TENSORS
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.onnx_export import OPSET
from fuserank_export.engines.precision import write_fp16
from fuserank_export.training.model.engine import check_agreement, median_milliseconds

OUTPUT = "TEXT_SCORES"


class TextTower(nn.Module):
    """A cross-encoder with one label that scores many pairs of each request."""

    def __init__(self, model: Any, pad: int) -> None:
        """Takes a Hugging Face sequence classifier and the token id that pads."""
        super().__init__()
        self.model, self.pad = model, pad
        self.typed = getattr(model.config, "type_vocab_size", 0) > 1

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        """Returns logits, float32 `[batch, pairs]`; NaN of a pair that is all padding.

        Args:
            ids: Token ids, int64 `[batch, pairs, length]`.
            types: Token types, int64 `[batch, pairs, length]`.
        """
        flat = ids.flatten(0, 1)
        is_token = flat != self.pad
        # A pair of padding only attends to its first place, because a softmax over nothing has no value.
        mask = torch.cat([torch.ones_like(is_token[:, :1]), is_token[:, 1:]], 1).to(ids.dtype)
        typed = {"token_type_ids": types.flatten(0, 1)} if self.typed else {}
        logits = self.model(input_ids=flat, attention_mask=mask, **typed).logits[:, 0].reshape(ids.shape[:2])
        missing = torch.full_like(logits, float("nan"))
        return torch.where((ids != self.pad).any(-1), logits, missing)


def export_text_tower(tower: TextTower, spec: GraphSpec, path: Path) -> None:
    """Writes a text tower as ONNX, with dynamic batch, pairs and length."""
    shape = (2, spec.text_candidates, spec.pair_buckets[-1])
    pairs = (torch.full(shape, spec.pair_pad_token_id + 1), torch.zeros(shape, dtype=torch.int64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing's remarks on shapes that are dynamic on purpose
        torch.onnx.export(
            tower.eval(),
            pairs,
            str(path),
            input_names=list(PAIR_TENSORS),
            output_names=[OUTPUT],
            dynamic_axes={
                **{name: {0: "batch", 1: "pairs", 2: "length"} for name in PAIR_TENSORS},
                OUTPUT: {0: "batch", 1: "pairs"},
            },
            opset_version=OPSET,
            dynamo=False,
        )


def write_text_tower(tower: TextTower, folder: Path, spec: GraphSpec) -> tuple[dict[str, Any], dict[str, float]]:
    """Writes a text tower's engines in FP32 and FP16.

    Returns:
        Their agreement with torch, and the milliseconds of a request's pairs on this machine by bucket of their length.

    Raises:
        RuntimeError: Where the FP32 engine differs from torch.
    """
    folder.mkdir(parents=True)
    path, half = folder / "model.onnx", folder / "model.fp16.onnx"
    export_text_tower(tower, spec, path)
    write_fp16(path, half)
    feeds = random_pairs(spec, spec.pair_buckets[-1])
    with torch.no_grad():
        expected = tower(*(torch.from_numpy(feed) for feed in feeds.values())).numpy()
    report = check_agreement({"model.onnx": path, "model.fp16.onnx": half}, OUTPUT, feeds, expected)
    session = open_session(path, {})
    buckets = {str(n): median_milliseconds(session, [OUTPUT], random_pairs(spec, n)) for n in spec.pair_buckets}
    return report, buckets


def random_pairs(spec: GraphSpec, length: int) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """Returns one request's pairs of `length` tokens."""
    draw = np.random.default_rng(0)
    ids = spec.pair_pad_token_id + 1 + draw.integers(0, 30, (1, spec.text_candidates, length))
    return {"PAIR_IDS": ids, "PAIR_TYPES": np.zeros_like(ids)}
