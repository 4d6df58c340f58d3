"""Writes an encoder's ONNX engines in FP32, FP16 and INT8, and compares each with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fuserank_export.encoder.load import Encoder, EncoderError
from fuserank_export.encoder.onnx_encoder import OnnxEncoder, pad_tokens
from fuserank_export.encoder.onnx_export import export_onnx
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import write_fp16, write_int8
from fuserank_export.forked import map_forked, spare_processes

TOLERANCE_FP32 = 1e-4  # of a component of a unit vector
BATCH = 32  # texts that are compared at once

# File and writer of each precision that is made from the FP32 file.
VARIANTS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "fp16": ("model.fp16.onnx", write_fp16),
    "int8": ("model.int8.onnx", write_int8),
}


def write_engines(encoder: Encoder, folder: Path, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Writes an encoder in every precision and compares each engine with torch.

    Args:
        encoder: The encoder.
        folder: Where to write; it exists.
        texts: What the engines are compared on.

    Returns:
        For each precision the engine's `file`, `bytes` and what `compare_embeddings` returns.

    Raises:
        EncoderError: Where FP32 differs from torch by more than the tolerance.
    """
    report: dict[str, dict[str, Any]] = {}
    fp32_path = folder / "model.onnx"
    export_onnx(encoder, fp32_path)
    expected: NDArray[np.float32] | None = None
    _write_variants(fp32_path)
    for precision, name in {"fp32": fp32_path.name, **{key: name for key, (name, _) in VARIANTS.items()}}.items():
        path = folder / name
        # A CPU computes half precision in FP32; the reference implementation rounds, and is slow.
        half = precision == "fp16"
        session = ReferenceSession(path) if half else None
        exported = OnnxEncoder(path, encoder.tokenizer, encoder.pad_id, encoder.max_length, session)
        tokens = exported.tokenize(texts)
        batches = [tokens[start : start + BATCH] for start in range(0, len(tokens), BATCH)]
        expected = embed_with_torch(encoder, batches) if expected is None else expected
        compared = batches[:1] if half else batches
        embeddings = np.concatenate([exported.run(*pad_tokens(batch, encoder.pad_id)) for batch in compared])
        report[precision] = {
            "file": name,
            "bytes": path.stat().st_size,
            **compare_embeddings(embeddings, expected[: len(embeddings)]),
        }
    difference = report["fp32"]["max_abs_diff"]
    if not difference <= TOLERANCE_FP32:
        raise EncoderError(f"{fp32_path}: differs from torch by {difference:.2e}; allowed: {TOLERANCE_FP32:.0e}")
    return report


def _write_variants(fp32_path: Path) -> None:
    """Writes the files of the other precisions beside the FP32 file, at once where there is a core for each."""

    def write(precision: str) -> None:
        name, writer = VARIANTS[precision]
        writer(fp32_path, fp32_path.parent / name)

    list(map_forked(write, list(VARIANTS), spare_processes(len(VARIANTS))))


def embed_with_torch(encoder: Encoder, batches: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.float32]:
    """Embeds batches of token ids in torch; returns float32 `[texts, dim]`."""
    with torch.no_grad():
        parts = [encoder.model(*map(torch.from_numpy, pad_tokens(batch, encoder.pad_id))).numpy() for batch in batches]
    return np.concatenate(parts)


def compare_embeddings(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    """Compares an engine's embeddings with torch's, both float32 `[texts, dim]`.

    Returns:
        `max_abs_diff` over all components, and `mean_cosine` and `min_cosine` between the two vectors of a text.
    """
    cosines = (actual * expected).sum(1) / (np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1))
    return {
        "max_abs_diff": float(np.abs(actual - expected).max()),
        "mean_cosine": float(cosines.mean()),
        "min_cosine": float(cosines.min()),
    }
