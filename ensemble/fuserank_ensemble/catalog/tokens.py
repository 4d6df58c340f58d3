"""Turns texts into what the encoder reads: token ids, padded to one of few lengths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer


class EncoderTokenizer:
    """The encoder's tokenizer, cut at the longest bucket."""

    def __init__(self, path: Path, buckets: Sequence[int], pad_token_id: int) -> None:
        """Opens the tokenizer.

        Args:
            path: The encoder's `tokenizer.json`.
            buckets: The lengths in tokens that texts are padded to, increasing.
            pad_token_id: Token id that pads.
        """
        self._buckets, self._pad = tuple(buckets), pad_token_id
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._buckets[-1])

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokens of each text; `overflowing` holds what was cut off."""
        encodings: list[Encoding] = self._tokenizer.encode_batch(list(texts))
        return encodings

    def pad(self, encodings: Sequence[Encoding]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids and mask `[texts, length]`, the length being the smallest bucket that holds every text."""
        longest = max(len(encoding.ids) for encoding in encodings)
        length = next(bucket for bucket in self._buckets if bucket >= longest)
        ids = np.full((len(encodings), length), self._pad, np.int64)
        mask = np.zeros_like(ids)
        for i, encoding in enumerate(encodings):
            ids[i, : len(encoding.ids)] = encoding.ids
            mask[i, : len(encoding.ids)] = 1
        return ids, mask


class EncoderVocabulary:
    """The words that an encoder knows as a whole. Its tokenizer is read when the first one is asked about."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, word: object) -> bool:
        """Whether a word, in lower case, is one token."""
        encoding = self._tokenizer.encode(str(word), add_special_tokens=False)
        return len(encoding.ids) == 1 and self._tokenizer.decode(encoding.ids) == word

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self._path))
        tokenizer.no_padding()  # a file may ask for it, and every word would be as long as the longest text
        return tokenizer
