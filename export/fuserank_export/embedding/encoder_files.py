"""The file and settings with which a worker process opens an encoder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from fuserank_export.encoder.onnx_encoder import OnnxEncoder


@dataclass(frozen=True)
class EncoderFiles:
    """An exported encoder, in a form that can be sent to another process.

    Attributes:
        path: The ONNX file; with a Ray cluster on storage that all its machines see.
        tokenizer: `tokenizer.json` as text.
        pad_id: Token id that pads.
        max_length: Tokens that a text is cut at.
    """

    path: Path
    tokenizer: str
    pad_id: int
    max_length: int

    @classmethod
    def create(cls, path: Path, tokenizer: Tokenizer, pad_id: int, max_length: int) -> EncoderFiles:
        """Takes an ONNX file, whose path is made absolute, and the encoder's tokenizer."""
        return cls(path.absolute(), tokenizer.to_str(), pad_id, max_length)

    def open(self) -> OnnxEncoder:
        """Opens an ONNX Runtime session."""
        return OnnxEncoder(self.path, Tokenizer.from_str(self.tokenizer), self.pad_id, self.max_length)

    def digest(self) -> str:
        """Returns the SHA-256, as hex digits, of all that decides a text's vector."""
        with self.path.open("rb") as stream:
            engine = hashlib.file_digest(stream, "sha256").hexdigest()
        parts = [engine, self.tokenizer, self.pad_id, self.max_length]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
