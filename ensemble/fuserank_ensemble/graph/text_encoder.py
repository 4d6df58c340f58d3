"""Embeds texts with the encoder that the server runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.graph.tensors import Tensors

Call = Callable[[str, Tensors, Sequence[str]], Tensors]  # see `Host.call`
# Between calls of one engine. One that comes in the moment after an answer is left lying for 500 ms, see
# `stages.companion_stages`; a thousand texts had one to four such calls.
PAUSE_SECONDS = 0.001


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as the encoder reads them.

    Attributes:
        vectors: L2-normalised, float32 `[texts, dim]`.
        tokens: How many tokens of each text were read, int64 `[texts]`.
        truncated: Which texts were cut at the longest bucket of queries, bool `[texts]`.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class TextEncoder:
    """Calls the model `encoder`, as many texts at a time as it takes."""

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        spec, self._call = bundle.spec, call
        self._tokens = EncoderTokenizer(bundle.tokenizer, spec.length_buckets, spec.pad_token_id)
        self._dim, self._batch = spec.embedding_dim, spec.max_batch

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns the texts' vectors alone; see `encode`."""
        return self.encode(texts).vectors

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Encodes texts, each cut at the longest bucket of queries.

        Raises:
            UnavailableError: Where the encoder takes no calls at present.
        """
        vectors = np.zeros((len(texts), self._dim), np.float32)
        encodings = self._tokens.encode(texts) if texts else []
        by_length = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        for start in range(0, len(texts), self._batch):
            time.sleep(PAUSE_SECONDS if start else 0)
            part = by_length[start : start + self._batch]
            ids, mask = self._tokens.pad([encodings[i] for i in part])
            encoded = self._call("encoder", {"INPUT_IDS": ids, "ATTENTION_MASK": mask}, ("EMBEDDING",))
            vectors[part] = encoded["EMBEDDING"]
        return EncodedTexts(
            vectors,
            np.asarray([len(encoding.ids) for encoding in encodings], np.int64),
            np.asarray([bool(encoding.overflowing) for encoding in encodings], np.bool_),
        )
