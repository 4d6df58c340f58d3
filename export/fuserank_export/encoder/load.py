"""A Hugging Face encoder becomes ONNX in three precisions, pooling and normalising inside, checked against torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer
from transformers.utils.hub import cached_file

from fuserank_ensemble.graph.local import Session
from fuserank_ensemble.graph.session import open_session
from fuserank_export.encoder.first_token import read_first_token
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import write_fp16, write_int8

Pooling = Literal["mean", "cls"]
OPSET = 17  # the first with LayerNormalization as one operator, which FP16 keeps in FP32
TOLERANCE_FP32 = 1e-4


class EncoderError(RuntimeError):
    """An encoder that cannot be exported; the message names the file or setting and the remedy."""


class SentenceEncoder(torch.nn.Module):
    """A transformer with pooling and L2 normalisation: tokens in, unit vectors out."""

    def __init__(self, transformer: torch.nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.transformer, self.pooling = transformer, pooling

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embeds token ids `[batch, length]` (mask likewise) as float32 `[batch, dim]`."""
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=-1)


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder.

    Attributes:
        name: The hub id or folder it came from.
        model: The module in evaluation mode, float32.
        tokenizer: Its fast tokenizer.
        dim: Width of the embedding.
        max_length: Longest input in tokens.
        pad_id: Token id that pads.
    """

    name: str
    model: SentenceEncoder
    tokenizer: Tokenizer
    dim: int
    max_length: int
    pad_id: int


def load_encoder(source: str, pooling: Literal["auto", "mean", "cls"] = "auto") -> Encoder:
    """Loads a Hugging Face encoder.

    Args:
        source: A hub id or a local folder, plain or in sentence-transformers' layout.
        pooling: How token states become one vector; `auto` reads sentence-transformers' setting, else takes the mean.

    Raises:
        EncoderError: Where it cannot be loaded, has no fast tokenizer or pad token, or wants a layer that is not
            supported.
    """
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise EncoderError(f"--encoder {source!r}: no such folder; give one with config.json, weights and tokenizer")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
        # Eager attention: the plainest graph, which ONNX Runtime's and TensorRT's fusions know.
        transformer = AutoModel.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise EncoderError(
            f"--encoder {source!r}: cannot be loaded ({_first_line(error)}); "
            "give a Hugging Face id that this machine can reach, or a folder with config.json, weights and tokenizer"
        ) from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EncoderError(f"--encoder {source!r}: has no fast tokenizer; add a tokenizer.json (tokenizers library)")
    if tokenizer.pad_token_id is None:
        raise EncoderError(
            f"--encoder {source!r}: its tokenizer has no pad token; set pad_token in tokenizer_config.json"
        )
    config = transformer.config
    lengths = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None), _st_length(source)]
    model = SentenceEncoder(transformer, _pooling(source, pooling)).eval()
    if any(not torch.isfinite(weight).all() for weight in model.parameters()):
        raise EncoderError(f"--encoder {source!r}: its weights hold NaN or infinity; restore the weight file")
    if model.pooling == "cls":
        read_first_token(transformer)
    return Encoder(
        source,
        model,
        Tokenizer.from_str(backend.to_str()),
        int(config.hidden_size),
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        min(int(n) for n in lengths if n) - (2 if "roberta" in config.model_type else 0),
        int(tokenizer.pad_token_id),
    )


def _pooling(source: str, wanted: Literal["auto", "mean", "cls"]) -> Pooling:
    if wanted != "auto":
        return wanted
    modules = _side_file(source, "modules.json")
    if modules is None:
        return "mean"
    found: Pooling = "mean"
    for module in json.loads(modules.read_text("utf-8")):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise EncoderError(f"{modules}: found a {kind} layer; allowed: Transformer, Pooling, Normalize")
        if kind == "Pooling":
            settings = _side_file(source, f"{module['path']}/config.json")
            if settings is None:
                raise EncoderError(f"{modules}: names {module['path']}/config.json, which is missing; restore it")
            found = _pooling_mode(settings)
    return found


def _pooling_mode(path: Path) -> Pooling:
    settings = json.loads(path.read_text("utf-8"))
    on = [name for name, value in settings.items() if name.startswith("pooling_mode") and value is True]
    mode = settings.get("pooling_mode", on[0].removeprefix("pooling_mode_") if len(on) == 1 else on)
    if mode in ("mean_tokens", "mean"):
        return "mean"
    if mode in ("cls_token", "cls"):
        return "cls"
    raise EncoderError(f"{path}: found pooling {mode}; allowed: mean or cls")


def _st_length(source: str) -> int | None:
    path = _side_file(source, "sentence_bert_config.json")
    return json.loads(path.read_text("utf-8")).get("max_seq_length") if path else None


def _side_file(source: str, name: str) -> Path | None:
    """A file beside the weights, from a folder or the hub alike; None where there is none."""
    try:
        found = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        # Going on would mean to guess how the encoder pools.
        raise EncoderError(
            f"--encoder {source!r}: {name} cannot be looked up ({_first_line(error)}); give a complete local folder"
        ) from None
    return Path(found) if found else None


def export_onnx(encoder: Encoder, path: Path) -> None:
    """Writes the encoder as FP32 ONNX with dynamic batch and length."""
    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing's remarks on shapes that are dynamic on purpose
        torch.onnx.export(
            encoder.model,
            example,
            str(path),
            input_names=["INPUT_IDS", "ATTENTION_MASK"],
            output_names=["EMBEDDING"],
            dynamic_axes={
                "INPUT_IDS": {0: "batch", 1: "length"},
                "ATTENTION_MASK": {0: "batch", 1: "length"},
                "EMBEDDING": {0: "batch"},
            },
            opset_version=OPSET,
            dynamo=False,
        )


VARIANTS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "fp16": ("model.fp16.onnx", write_fp16),
    "int8": ("model.int8.onnx", write_int8),
}


class OnnxEncoder:
    """Embeds texts with an exported encoder, in batches of similar length."""

    def __init__(
        self, path: Path, tokenizer: Tokenizer, pad_id: int, max_length: int, session: Session | None = None
    ) -> None:
        self._session: Session = session or open_session(path, {})
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._pad_id = pad_id

    def embed(
        self, texts: Sequence[str], batch: int = 64, advanced: Callable[[int], None] = lambda count: None
    ) -> NDArray[np.float32]:
        """Embeds texts.

        Args:
            texts: Any number of texts.
            batch: How many go through the session at once.
            advanced: Called with the number of texts done after every batch.

        Returns:
            float32 `[texts, dim]`, L2-normalised.
        """
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        out: NDArray[np.float32] | None = None
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            vectors = self.run(*padded([encodings[i].ids for i in part], self._pad_id))
            out = np.empty((len(texts), vectors.shape[1]), np.float32) if out is None else out
            out[part] = vectors
            advanced(len(part))
        assert out is not None, "no text to embed"
        return out

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeds tokens `[batch, length]`."""
        vectors: NDArray[np.float32] = self._session.run(["EMBEDDING"], {"INPUT_IDS": ids, "ATTENTION_MASK": mask})[0]
        return vectors

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


def padded(tokens: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask `[batch, longest]`."""
    longest = max(len(ids) for ids in tokens)
    ids = np.full((len(tokens), longest), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(tokens):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def embed_with_torch(encoder: Encoder, batches: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.float32]:
    """The encoder's own answer to batches of token ids: float32 `[texts, dim]`."""
    with torch.no_grad():
        parts = [encoder.model(*map(torch.from_numpy, padded(batch, encoder.pad_id))).numpy() for batch in batches]
    return np.concatenate(parts)


def agreement(found: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    """Compares an exported variant's embeddings with torch's, both float32 `[texts, dim]`.

    Returns:
        `max_abs_diff` over all components, and the mean and least cosine between the two vectors of a text.
    """
    cosines = (found * expected).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1))
    return {
        "max_abs_diff": float(np.abs(found - expected).max()),
        "mean_cosine": float(cosines.mean()),
        "min_cosine": float(cosines.min()),
    }


def write_engines(encoder: Encoder, folder: Path, texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Writes the encoder in every precision and measures each on `texts`.

    Returns:
        For each precision the engine's `file`, `bytes` and agreement with torch.

    Raises:
        EncoderError: Where FP32 differs from torch by more than the tolerance.
    """
    report: dict[str, dict[str, Any]] = {}
    base = folder / "model.onnx"
    export_onnx(encoder, base)
    expected: NDArray[np.float32] | None = None
    for precision, (name, write) in {"fp32": ("model.onnx", None), **VARIANTS}.items():
        path = folder / name
        if write is not None:
            write(base, path)
        # A CPU computes half precision in FP32; the reference implementation rounds, and takes its time.
        half = precision == "fp16"
        session = ReferenceSession(path) if half else None
        exported = OnnxEncoder(path, encoder.tokenizer, encoder.pad_id, encoder.max_length, session)
        tokens = exported.tokens(texts)
        batches = [tokens[start : start + 32] for start in range(0, len(tokens), 32)]
        expected = embed_with_torch(encoder, batches) if expected is None else expected
        found = np.concatenate(
            [exported.run(*padded(batch, encoder.pad_id)) for batch in batches[: 1 if half else None]]
        )
        report[precision] = {"file": name, "bytes": path.stat().st_size, **agreement(found, expected[: len(found)])}
    difference = report["fp32"]["max_abs_diff"]
    if not difference <= TOLERANCE_FP32:
        raise EncoderError(f"{base}: differs from torch by {difference:.2e}; allowed: {TOLERANCE_FP32:.0e}")
    return report


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
