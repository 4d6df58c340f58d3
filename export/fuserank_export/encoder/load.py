"""Loads a Hugging Face sentence encoder, and refuses one that could not be exported."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer
from transformers.utils.hub import cached_file

from fuserank_export.encoder.first_token import replace_last_layer
from fuserank_export.encoder.prompts import Prompts
from fuserank_export.errors import ExportError

Pooling = Literal["mean", "cls"]
PoolingSetting = Literal["auto", "mean", "cls"]
SUPPORTED_LAYERS = ("Transformer", "Pooling", "Normalize")


class EncoderError(ExportError, RuntimeError):
    """An encoder that cannot be exported; the message names the file or setting and the remedy."""


class SentenceEncoder(torch.nn.Module):
    """A transformer with pooling and L2 normalisation: tokens in, unit vectors out."""

    def __init__(self, transformer: torch.nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.transformer, self.pooling = transformer, pooling

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embeds tokens.

        Args:
            input_ids: Token ids, int64 `[batch, length]`.
            attention_mask: 1 for a token and 0 for padding, int64 `[batch, length]`.

        Returns:
            L2-normalised vectors, float32 `[batch, dim]`.
        """
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
        prompts: What it wants before queries and items.
    """

    name: str
    model: SentenceEncoder
    tokenizer: Tokenizer
    dim: int
    max_length: int
    pad_id: int
    prompts: Prompts = field(default_factory=Prompts)


def load_encoder(source: str, pooling: PoolingSetting = "auto") -> Encoder:
    """Loads a Hugging Face encoder.

    Args:
        source: A hub id or a local folder, plain or in sentence-transformers' layout.
        pooling: How token states become one vector; `auto` reads sentence-transformers' setting, else takes the mean.

    Raises:
        EncoderError: Where it cannot be loaded, has no fast tokenizer or pad token, or wants a layer that is not
            supported.
    """
    _check_folder(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False)
        # Eager attention: the plainest graph, which ONNX Runtime's and TensorRT's fusions know.
        transformer = AutoModel.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise EncoderError(
            f"--encoder {source!r}: cannot be loaded ({_first_line(error)}); "
            "give a Hugging Face id that this machine can reach, or a folder with config.json, model.safetensors and "
            "tokenizer"
        ) from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EncoderError(f"--encoder {source!r}: has no fast tokenizer; add a tokenizer.json (tokenizers library)")
    if tokenizer.pad_token_id is None:
        raise EncoderError(
            f"--encoder {source!r}: its tokenizer has no pad token; set pad_token in tokenizer_config.json"
        )
    config = transformer.config
    max_lengths = [
        tokenizer.model_max_length,
        getattr(config, "max_position_embeddings", None),
        _read_max_seq_length(source),
    ]
    model = SentenceEncoder(transformer, _resolve_pooling(source, pooling)).eval()
    if any(not torch.isfinite(weight).all() for weight in model.parameters()):
        raise EncoderError(f"--encoder {source!r}: its weights hold NaN or infinity; restore the weight file")
    if model.pooling == "cls":
        replace_last_layer(transformer)
    return Encoder(
        source,
        model,
        Tokenizer.from_str(backend.to_str()),
        int(config.hidden_size),
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        min(int(length) for length in max_lengths if length) - (2 if "roberta" in config.model_type else 0),
        int(tokenizer.pad_token_id),
        read_prompts(source),
    )


def _check_folder(source: str) -> None:
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise EncoderError(f"--encoder {source!r}: no such folder; give one with config.json, weights and tokenizer")


def _resolve_pooling(source: str, setting: PoolingSetting) -> Pooling:
    """Returns the pooling that was asked for, or for `auto` that of sentence-transformers' files, else the mean."""
    if setting != "auto":
        return setting
    modules = _find_file(source, "modules.json")
    if modules is None:
        return "mean"
    pooling: Pooling = "mean"
    for module in json.loads(modules.read_text("utf-8")):
        layer = module["type"].rsplit(".", 1)[-1]
        if layer not in SUPPORTED_LAYERS:
            raise EncoderError(f"{modules}: found a {layer} layer; allowed: {', '.join(SUPPORTED_LAYERS)}")
        if layer == "Pooling":
            settings = _find_file(source, f"{module['path']}/config.json")
            if settings is None:
                raise EncoderError(f"{modules}: names {module['path']}/config.json, which is missing; restore it")
            pooling = _read_pooling(settings)
    return pooling


def _read_pooling(path: Path) -> Pooling:
    settings = json.loads(path.read_text("utf-8"))
    enabled = [name for name, value in settings.items() if name.startswith("pooling_mode") and value is True]
    mode = settings.get("pooling_mode", enabled[0].removeprefix("pooling_mode_") if len(enabled) == 1 else enabled)
    if mode in ("mean_tokens", "mean"):
        return "mean"
    if mode in ("cls_token", "cls"):
        return "cls"
    raise EncoderError(f"{path}: found pooling {mode}; allowed: mean or cls")


def read_prompts(source: str) -> Prompts:
    """Returns what an encoder, a hub id or a folder, wants before queries and items.

    Raises:
        EncoderError: Where there is no such folder, or a file cannot be looked up.
    """
    _check_folder(source)
    path = _find_file(source, "config_sentence_transformers.json")
    settings = json.loads(path.read_text("utf-8")) if path else {}
    by_name = {str(name): str(prompt) for name, prompt in (settings.get("prompts") or {}).items() if prompt}
    pooling = _find_file(source, "1_Pooling/config.json") if by_name else None
    is_pooled = json.loads(pooling.read_text("utf-8")).get("include_prompt", True) if pooling else True
    return Prompts(by_name, str(settings.get("default_prompt_name") or ""), bool(is_pooled))


def _read_max_seq_length(source: str) -> int | None:
    path = _find_file(source, "sentence_bert_config.json")
    return json.loads(path.read_text("utf-8")).get("max_seq_length") if path else None


def _find_file(source: str, name: str) -> Path | None:
    """Returns the path of a file beside the weights, in a folder or on the hub; None where there is none."""
    try:
        path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        # Going on would mean to guess how the encoder pools.
        raise EncoderError(
            f"--encoder {source!r}: {name} cannot be looked up ({_first_line(error)}); give a complete local folder"
        ) from None
    return Path(path) if path else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
