"""Embeds texts in blocks, in this process or on a Ray cluster, and resumes an interrupted run.

Both engines pass the same blocks to the encoder, so that batches, and with them every byte of the vectors, are the
same. A finished block is a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fuserank_export.embedding.blocks import block_path, embed_block, join_blocks, read_block, write_block
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.embedding.ray_workers import embed_with_ray
from fuserank_export.sources import InputError

EmbeddingEngine = Literal["plain", "ray"]
BLOCK_TEXTS = 2_048  # of a block


def embed_texts(
    files: EncoderFiles,
    texts: Sequence[str],
    *,
    checkpoint: Path,
    joined: Path,
    engine: EmbeddingEngine = "plain",
    block: int = BLOCK_TEXTS,
    address: str | None = None,
    advanced: Callable[[int], None] = lambda count: None,
) -> tuple[NDArray[np.float16], dict[str, Any]]:
    """Embeds texts; blocks that an earlier run with this checkpoint finished are read, not computed.

    Args:
        files: The encoder.
        texts: Any number of texts.
        checkpoint: Folder of finished blocks; with a Ray cluster on storage that all its machines see.
        joined: The file to write, `.npy`.
        engine: `plain` in this process, or `ray`.
        block: Texts in a block: more need more memory a worker, fewer pad more.
        address: A Ray cluster's address; None starts Ray on this machine, or uses what this process has started.
        advanced: Called with the number of texts done after every block.

    Returns:
        fp16 `[texts, dim]`, L2-normalised, mapped from `joined`; and a report: `engine`, `texts`,
        `computed` (texts not taken from the checkpoint), `seconds`, `texts_per_second` (of those computed; None
        where all were in the checkpoint).

    Raises:
        InputError: On an unknown engine, a block size below 1, or `ray` without Ray.
    """
    if engine not in ("plain", "ray"):
        raise InputError(f"--engine: found {engine!r}; allowed: plain, ray")
    if block < 1:
        raise InputError(f"--block: found {block}; allowed: 1 or more")
    checkpoint = checkpoint.absolute()
    checkpoint.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    digest = files.digest()
    starts = range(0, len(texts), block)
    paths = [block_path(checkpoint, digest, texts[start : start + block]) for start in starts]
    missing: dict[Path, Sequence[str]] = {}
    for path, start in zip(paths, starts, strict=True):
        block_texts = texts[start : start + block]
        if path not in missing and read_block(path) is None:
            missing[path] = block_texts
        else:
            advanced(len(block_texts))
    if missing and engine == "plain":
        _embed_in_process(files, missing, advanced)
    elif missing:
        embed_with_ray(files, missing, address, advanced)
    if paths:
        vectors = join_blocks(joined, paths, len(texts))
    else:
        vectors = np.empty((0, files.open().embed([""]).shape[1]), np.float16)
        np.save(joined, vectors)
    seconds = time.monotonic() - started
    computed = sum(map(len, missing.values()))
    return vectors, {
        "engine": engine,
        "texts": len(texts),
        "computed": computed,
        "seconds": round(seconds, 2),
        "texts_per_second": round(computed / seconds, 1) if computed else None,
    }


def _embed_in_process(
    files: EncoderFiles, blocks: Mapping[Path, Sequence[str]], advanced: Callable[[int], None]
) -> None:
    """Embeds blocks and writes their files; see `embed_with_ray` for the arguments."""
    encoder = files.open()
    for path, texts in blocks.items():
        write_block(path, embed_block(encoder, texts))
        advanced(len(texts))
