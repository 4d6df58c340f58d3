"""Embeds texts with the encoder that the server runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.tokens import EncoderTokenizer
from fuserank_ensemble.graph.tensors import Tensors

Call = Callable[[str, Tensors, Sequence[str]], Tensors]  # see `Host.call`


class TextEncoder:
    """Calls the model `encoder`, as many texts at a time as it takes."""

    def __init__(self, bundle: Bundle, call: Call) -> None:
        """Takes the bundle, and how to call another model."""
        spec, self._call = bundle.spec, call
        self._tokens = EncoderTokenizer(bundle.tokenizer, spec.length_buckets, spec.pad_token_id)
        self._dim, self._batch = spec.embedding_dim, spec.max_batch

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns the texts' vectors, L2-normalised, float32 `[texts, dim]`.

        A text is cut at the longest bucket of queries.

        Raises:
            UnavailableError: Where the encoder takes no calls at present.
        """
        vectors = np.zeros((len(texts), self._dim), np.float32)
        encodings = self._tokens.encode(texts) if texts else []
        by_length = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        for start in range(0, len(texts), self._batch):
            part = by_length[start : start + self._batch]
            ids, mask = self._tokens.pad([encodings[i] for i in part])
            encoded = self._call("encoder", {"INPUT_IDS": ids, "ATTENTION_MASK": mask}, ("EMBEDDING",))
            vectors[part] = encoded["EMBEDDING"]
        return vectors
