"""Embeds texts with an exported encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fuserank_ensemble.catalog.scripts import blank_unread
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.graph.engine import Session, open_session
from fuserank_ensemble.spec import GraphSpec


class OnnxEncoder:
    """Embeds texts with an exported encoder, in batches of similar length."""

    def __init__(
        self, path: Path, tokenizer: Tokenizer, pad_id: int, max_length: int, session: Session | None = None
    ) -> None:
        """Opens the ONNX file, unless a session runs it already.

        Args:
            path: The ONNX file.
            tokenizer: The encoder's; it is copied.
            pad_id: Token id that pads.
            max_length: Tokens that a text is cut at.
            session: What runs the file in place of ONNX Runtime.
        """
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
            texts: One text or more.
            batch: How many go through the session at once.
            advanced: Called with the number of texts done after every batch.

        Returns:
            float32 `[texts, dim]`, L2-normalised.
        """
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        embeddings: NDArray[np.float32] | None = None
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            vectors = self.run(*pad_tokens([encodings[i].ids for i in part], self._pad_id))
            if embeddings is None:
                embeddings = np.empty((len(texts), vectors.shape[1]), np.float32)
            embeddings[part] = vectors
            advanced(len(part))
        assert embeddings is not None, "no text to embed"
        return embeddings

    def embed_queries(self, queries: Sequence[str], spec: GraphSpec) -> NDArray[np.float32]:
        """Embeds queries as serving does: in the spec's layout, and as zeros what the encoder cannot read.

        Args:
            queries: One query or more.
            spec: The graph that serves them.

        Returns:
            float32 `[queries, dim]`, L2-normalised.
        """
        embedded = self.embed([query_text(spec.query_template, query) for query in queries])
        return blank_unread(embedded, queries, spec.unread_scripts)

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeds padded tokens.

        Args:
            ids: Token ids, `[batch, length]`.
            mask: 1 for a token and 0 for padding, `[batch, length]`.

        Returns:
            float32 `[batch, dim]`, L2-normalised.
        """
        vectors: NDArray[np.float32] = self._session.run(["EMBEDDING"], {"INPUT_IDS": ids, "ATTENTION_MASK": mask})[0]
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of each text, cut at the longest input."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


def pad_tokens(tokens: Sequence[Sequence[int]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pads token ids to the longest row.

    Args:
        tokens: Token ids of each text; one text or more.
        pad_id: Token id that pads.

    Returns:
        Token ids and their mask (1 for a token, 0 for padding), each `[texts, longest]`.
    """
    longest = max(len(row) for row in tokens)
    ids = np.full((len(tokens), longest), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(tokens):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask
