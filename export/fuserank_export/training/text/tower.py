"""A trained text tower as the ranker's engine takes it, and what it says of pairs while the ranker is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fuserank_ensemble.bundle import PAIRS, Bundle
from fuserank_ensemble.candidates.pairs import PairTokens
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.first_token import replace_last_layer
from fuserank_export.sources.report import InputError
from fuserank_export.training.text.engine import TextTower

_BATCH = 256  # pairs


@dataclass(frozen=True)
class OpenedTower:
    """A text tower and its tokenizer."""

    source: str
    tower: TextTower
    tokenizer: Tokenizer

    @property
    def longest(self) -> int:
        """How many tokens a pair may have."""
        config = self.tower.model.config
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        unusable = 2 if "roberta" in config.model_type else 0
        return int(getattr(config, "max_position_embeddings", None) or GraphSpec.pair_buckets[-1]) - unusable

    @property
    def pad(self) -> int:
        """Token id that pads a pair."""
        return self.tower.pad


def open_text_tower(source: str) -> OpenedTower:
    """Opens what `fuserank export train text-tower` wrote, or any cross-encoder with one label.

    Args:
        source: A Hugging Face id or a folder.

    Raises:
        InputError: Where it cannot be loaded, has several labels, no fast tokenizer, no vocabulary, no pad token, or
            weights that are not numbers.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
        # Eager attention: the plainest graph, which ONNX Runtime's and TensorRT's fusions know.
        model = AutoModelForSequenceClassification.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager"
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"--text-tower {source!r}: cannot be loaded ({str(error).strip().splitlines()[0]}); give a folder that "
            "`fuserank export train text-tower` has written, or a cross-encoder's Hugging Face id"
        ) from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Without its files the library makes up a tokenizer that knows nothing but its special tokens.
    wordless = len(tokenizer) <= len(tokenizer.all_special_ids)
    if backend is None or tokenizer.pad_token_id is None or wordless:
        lacks = "fast tokenizer" if backend is None else "vocabulary" if wordless else "pad token"
        raise InputError(f"--text-tower {source!r}: has no {lacks}; add it to the folder's tokenizer files")
    if model.config.num_labels != 1:
        raise InputError(
            f"--text-tower {source!r}: has {model.config.num_labels} labels; allowed: 1, the logit of relevance"
        )
    if any(not torch.isfinite(weight).all() for weight in model.parameters()):
        raise InputError(f"--text-tower {source!r}: its weights hold NaN or infinity; restore the weight file")
    pad = int(tokenizer.pad_token_id)
    replace_last_layer(model.base_model)  # as every head does of the models that it knows
    return OpenedTower(source, TextTower(model.eval(), pad).eval(), Tokenizer.from_str(backend.to_str()))


def open_in_place(bundle: Bundle, source: str) -> OpenedTower:
    """Opens a text tower for a bundle that has one: its own, or one that may take its place.

    Args:
        bundle: The bundle.
        source: A Hugging Face id or a folder.

    Raises:
        InputError: Where the bundle has none, or the tower reads other tokens, or shorter pairs, than the bundle holds.
    """
    if not bundle.spec.text_candidates:
        raise InputError(
            f"--text-tower {source}: the bundle's ranker has no text tower whose place it could take; give it to "
            "`export bundle`"
        )
    found, longest = open_text_tower(source), bundle.spec.pair_buckets[-1]
    held = Tokenizer.from_file(str(bundle.root / "index" / PAIRS / "tokenizer.json"))
    if found.tokenizer.get_vocab() != held.get_vocab():
        raise InputError(
            f"--text-tower {source}: reads other tokens than the bundle holds; give the tower that it was exported "
            "with, or one that was trained with that as its --teacher"
        )
    if found.longest < longest:
        raise InputError(f"--text-tower {source}: reads {found.longest} tokens at most, pairs have up to {longest}")
    return found


@dataclass(frozen=True)
class PairReader:
    """Reads (query, item text) pairs with a tower, as the engine will."""

    tower: TextTower
    pairs: PairTokens

    @classmethod
    def open(cls, opened: OpenedTower, folder: Path, spec: GraphSpec) -> PairReader:
        """Takes a tower and the item tokens that a bundle's index holds."""
        return cls(opened.tower, PairTokens.open(folder, spec.pair_buckets, spec.pair_pad_token_id))

    def __call__(self, queries: Sequence[str], texts: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """The tower's logits of each query with each of its texts; see `fuserank_export.training.cases.Read`."""
        joined = [self.pairs.join(query, mine) for query, mine in zip(queries, texts, strict=True)]
        flat = [pair for mine in joined for pair in mine]
        logits = np.empty(len(flat), np.float32)
        # Pairs of like length share a batch: less padding to compute.
        order = np.argsort([len(ids) for ids, _ in flat], kind="stable")
        for start in range(0, len(flat), _BATCH):
            which = order[start : start + _BATCH]
            ids, types = self.pairs.pad([[flat[i] for i in which]], len(which))
            # In FP32 as on a CPU's engine: bfloat16 moves logits by hundredths.
            with torch.inference_mode():
                logits[which] = self.tower(torch.from_numpy(ids), torch.from_numpy(types))[0].numpy()
        ends = list(accumulate(map(len, joined)))
        return np.split(logits, ends[:-1]) if ends else []
