"""Files of embedded blocks: a block is consecutive texts that go through the encoder together."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.files import write_atomically

_DIGEST_BYTES = hashlib.sha256().digest_size


def block_path(checkpoint: Path, encoder_digest: str, texts: Sequence[str]) -> Path:
    """Returns the path of a block's file, named by a hash of the encoder and the texts."""
    content = json.dumps([encoder_digest, list(texts)]).encode()
    return checkpoint / f"{hashlib.sha256(content).hexdigest()}.vectors"


def embed_block(encoder: OnnxEncoder, texts: Sequence[str]) -> NDArray[np.float16]:
    """Embeds the texts of a block; returns fp16 `[texts, dim]`, L2-normalised."""
    return encoder.embed(texts).astype(np.float16)


def write_block(path: Path, vectors: NDArray[np.float16]) -> None:
    """Writes a block's vectors as `.npy` bytes with their SHA-256 behind them."""
    stream = io.BytesIO()
    np.save(stream, vectors)
    payload = stream.getvalue()
    write_atomically(path, payload + hashlib.sha256(payload).digest())


def read_block(path: Path) -> NDArray[np.float16] | None:
    """Reads a block's vectors, fp16 `[texts, dim]`; returns None where the file is missing or damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    vectors: NDArray[np.float16] = np.load(io.BytesIO(payload))
    return vectors


def join_blocks(path: Path, blocks: Sequence[Path], texts: int) -> NDArray[np.float16]:
    """Joins blocks in a mapped file, with one block at a time in memory.

    Args:
        path: The file to write, `.npy`.
        blocks: Files of the blocks, one or more, in the order of their texts.
        texts: How many texts they hold together.

    Returns:
        fp16 `[texts, dim]`, mapped from the file.

    Raises:
        RuntimeError: Where a block is gone or damaged.
    """
    with path.open("wb") as stream:
        for number, block in enumerate(blocks):
            part = read_block(block)
            if part is None:
                raise RuntimeError(f"{block}: gone or damaged since it was written; run the export again")
            if number == 0:
                header = {"descr": "<f2", "fortran_order": False, "shape": (texts, part.shape[1])}
                np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]  # untyped
            stream.write(part.astype("<f2", copy=False).tobytes())
    vectors: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return vectors
