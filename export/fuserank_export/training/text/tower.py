"""Loads a trained text tower, and scores pairs with it while the ranker is trained."""

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
class LoadedTower:
    """A text tower and its tokenizer.

    Attributes:
        source: The Hugging Face id or folder it came from.
        tower: The module in evaluation mode, float32.
        tokenizer: Its fast tokenizer.
    """

    source: str
    tower: TextTower
    tokenizer: Tokenizer

    @property
    def max_length(self) -> int:
        """Longest pair in tokens."""
        config = self.tower.model.config
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        unusable = 2 if "roberta" in config.model_type else 0
        return int(getattr(config, "max_position_embeddings", None) or GraphSpec.pair_buckets[-1]) - unusable

    @property
    def pad_id(self) -> int:
        """Token id that pads a pair."""
        return self.tower.pad


def load_text_tower(source: str) -> LoadedTower:
    """Loads a folder that `fuserank export train text-tower` has written, or any cross-encoder with one label.

    Args:
        source: A Hugging Face id or a folder.

    Raises:
        InputError: Where it cannot be loaded, has several labels, no fast tokenizer, no vocabulary, no pad token, or
            weights that are not numbers.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False)
        # Eager attention: the plainest graph, which ONNX Runtime's and TensorRT's fusions know.
        model = AutoModelForSequenceClassification.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"--text-tower {source!r}: cannot be loaded ({str(error).strip().splitlines()[0]}); give a folder that "
            "`fuserank export train text-tower` has written, or a cross-encoder's Hugging Face id"
        ) from None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Without its files the library makes up a tokenizer that has special tokens only.
    no_vocabulary = len(tokenizer) <= len(tokenizer.all_special_ids)
    if backend is None or tokenizer.pad_token_id is None or no_vocabulary:
        missing = "fast tokenizer" if backend is None else "vocabulary" if no_vocabulary else "pad token"
        raise InputError(f"--text-tower {source!r}: has no {missing}; add it to the folder's tokenizer files")
    if model.config.num_labels != 1:
        raise InputError(
            f"--text-tower {source!r}: has {model.config.num_labels} labels; allowed: 1, the logit of relevance"
        )
    if any(not torch.isfinite(weight).all() for weight in model.parameters()):
        raise InputError(f"--text-tower {source!r}: its weights hold NaN or infinity; restore the weight file")
    pad_id = int(tokenizer.pad_token_id)
    replace_last_layer(model.base_model)  # a classifier's head takes the first token's state only
    return LoadedTower(source, TextTower(model.eval(), pad_id).eval(), Tokenizer.from_str(backend.to_str()))


def load_replacement_tower(bundle: Bundle, source: str) -> LoadedTower:
    """Loads a text tower for a bundle that has one: the bundle's own, or one that can replace it.

    Args:
        bundle: The bundle.
        source: A Hugging Face id or a folder.

    Raises:
        InputError: Where the bundle has none, or the tower's vocabulary or longest pair does not fit the bundle's.
    """
    if not bundle.spec.text_candidates:
        raise InputError(
            f"--text-tower {source}: the bundle's ranker has no text tower whose place it could take; give it to "
            "`export bundle`"
        )
    loaded, longest_pair = load_text_tower(source), bundle.spec.pair_buckets[-1]
    bundle_tokenizer = Tokenizer.from_file(str(bundle.root / "index" / PAIRS / "tokenizer.json"))
    if loaded.tokenizer.get_vocab() != bundle_tokenizer.get_vocab():
        raise InputError(
            f"--text-tower {source}: reads other tokens than the bundle holds; give the tower that it was exported "
            "with, or one that was trained with that as its --teacher"
        )
    if loaded.max_length < longest_pair:
        raise InputError(
            f"--text-tower {source}: reads {loaded.max_length} tokens at most, pairs have up to {longest_pair}"
        )
    return loaded


@dataclass(frozen=True)
class PairScorer:
    """Scores (query, item text) pairs with a tower, as its engine does.

    Attributes:
        tower: The tower.
        pairs: Token ids of the items' texts.
    """

    tower: TextTower
    pairs: PairTokens

    @classmethod
    def open(cls, loaded: LoadedTower, folder: Path, spec: GraphSpec) -> PairScorer:
        """Takes a tower, and the folder of item tokens in a bundle's index."""
        return cls(loaded.tower, PairTokens.open(folder, spec.pair_buckets, spec.pair_pad_token_id))

    def __call__(self, queries: Sequence[str], texts: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """Scores each query with each of its texts.

        Args:
            queries: The queries.
            texts: For each query the numbers of its texts, int32 `[texts]`.

        Returns:
            For each query the tower's logits, float32 `[texts]`.
        """
        joined = [self.pairs.join(query, numbers) for query, numbers in zip(queries, texts, strict=True)]
        flat = [pair for query_pairs in joined for pair in query_pairs]
        logits = np.empty(len(flat), np.float32)
        # Pairs of like length share a batch: less padding to compute.
        order = np.argsort([len(ids) for ids, _ in flat], kind="stable")
        for start in range(0, len(flat), _BATCH):
            batch = order[start : start + _BATCH]
            ids, types = self.pairs.pad([[flat[i] for i in batch]], len(batch))
            # In FP32 as on a CPU's engine: bfloat16 moves logits by hundredths.
            with torch.inference_mode():
                logits[batch] = self.tower(torch.from_numpy(ids), torch.from_numpy(types))[0].numpy()
        ends = list(accumulate(map(len, joined)))
        return np.split(logits, ends[:-1]) if ends else []
