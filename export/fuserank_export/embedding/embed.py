"""Embeds texts in blocks that are kept as they are done: in this process, or spread over machines by Ray Data.

A block of consecutive texts is what both engines pass to the encoder at once, so that batches, and with them every
byte of the vectors, are the same. A finished block is a file; a run that was killed goes on behind it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fuserank_export.encoder.load import OnnxEncoder
from fuserank_export.sources import InputError

Engine = Literal["plain", "ray"]
LOCAL_STORE_BYTES = 256 * 2**20  # texts and vectors travel as files; Ray's own store carries only their names
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class EncoderFiles:
    """An encoder as a worker opens it.

    Attributes:
        path: The ONNX file; with a cluster on storage that all its machines see.
        tokenizer: `tokenizer.json` as text.
        pad_id: Token id that pads.
        max_length: Tokens that a text is cut at.
    """

    path: Path
    tokenizer: str
    pad_id: int
    max_length: int

    def open(self) -> OnnxEncoder:
        """Opens a session."""
        return OnnxEncoder(self.path, Tokenizer.from_str(self.tokenizer), self.pad_id, self.max_length)

    def digest(self) -> str:
        """Hash of all that decides what a text's vector is."""
        with self.path.open("rb") as stream:
            engine = hashlib.file_digest(stream, "sha256").hexdigest()
        parts = [engine, self.tokenizer, self.pad_id, self.max_length]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def embed_texts(
    engine: Engine,
    encoder_path: Path,
    tokenizer: Tokenizer,
    pad_id: int,
    max_length: int,
    texts: Sequence[str],
    *,
    checkpoint: Path,
    block: int = 2_048,
    address: str | None = None,
    advanced: Callable[[int], None] = lambda count: None,
) -> tuple[NDArray[np.float16], dict[str, Any]]:
    """Embeds texts; what an earlier run with this checkpoint finished is not computed again.

    Args:
        engine: `plain` in this process, or `ray`.
        encoder_path: The exported encoder's ONNX file.
        tokenizer: The encoder's.
        pad_id: Token id that pads.
        max_length: Tokens that a text is cut at.
        texts: Any number of texts.
        checkpoint: Folder of finished blocks; with a Ray cluster on storage that all its machines see.
        block: Texts in a block: more need more memory a worker, fewer pad more.
        address: A Ray cluster's address; None starts Ray on this machine, or uses what this process has started.
        advanced: Called with the number of texts done after every block.

    Returns:
        fp16 `[texts, dim]`, mapped from a file in the checkpoint, and what was measured: `engine`, `texts`,
        `computed` (texts not taken from the checkpoint), `seconds`, `texts_per_second` (of those computed; None
        where all were there already, and nothing was measured).

    Raises:
        InputError: On an unknown engine, a block size below 1, or `ray` without Ray.
    """
    if engine not in ("plain", "ray"):
        raise InputError(f"--engine: found {engine!r}; allowed: plain, ray")
    if block < 1:
        raise InputError(f"--block: found {block}; allowed: 1 or more")
    checkpoint = checkpoint.absolute()
    checkpoint.mkdir(parents=True, exist_ok=True)
    files = EncoderFiles(encoder_path.absolute(), tokenizer.to_str(), pad_id, max_length)
    started = time.monotonic()
    digest = files.digest()
    starts = range(0, len(texts), block)
    paths = [_block_path(checkpoint, digest, texts[start : start + block]) for start in starts]
    missing: dict[Path, int] = {}
    for path, start in zip(paths, starts, strict=True):
        if path not in missing and _read(path) is None:
            missing[path] = start
        else:
            advanced(len(texts[start : start + block]))
    if missing:
        run = _run_plain if engine == "plain" else _run_ray
        run(files, {path: texts[start : start + block] for path, start in missing.items()}, address, advanced)
    vectors = _assembled(checkpoint / "vectors.npy", paths, len(texts), files)
    seconds = time.monotonic() - started
    computed = sum(len(texts[start : start + block]) for start in missing.values())
    return vectors, {
        "engine": engine,
        "texts": len(texts),
        "computed": computed,
        "seconds": round(seconds, 2),
        "texts_per_second": round(computed / seconds, 1) if computed else None,
    }


class BlockEmbedder:
    """What a Ray worker runs: it opens the encoder once and turns files of texts into files of vectors."""

    def __init__(self, files: EncoderFiles) -> None:
        self._encoder = files.open()

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Embeds the blocks whose paths are in `path`; returns how many texts each had, as `texts`."""
        counts = []
        for path in map(Path, batch["path"]):
            texts = json.loads(_texts_path(path).read_bytes())
            if _read(path) is None:  # done already where a worker died between writing and saying so
                _write(path, _embedded(self._encoder, texts))
            counts.append(len(texts))
        return {"texts": np.asarray(counts)}


def _run_plain(
    files: EncoderFiles, blocks: dict[Path, Sequence[str]], address: str | None, advanced: Callable[[int], None]
) -> None:
    encoder = files.open()
    for path, texts in blocks.items():
        _write(path, _embedded(encoder, texts))
        advanced(len(texts))


def _run_ray(
    files: EncoderFiles, blocks: dict[Path, Sequence[str]], address: str | None, advanced: Callable[[int], None]
) -> None:
    try:
        # An extra: only who embeds on a cluster has it.
        ray: Any = importlib.import_module("ray")
        data: Any = importlib.import_module("ray.data")
    except ImportError:
        raise InputError("--engine ray: needs Ray; install it with pip install 'fuserank[ray]'") from None
    for path, texts in blocks.items():
        _replace(_texts_path(path), json.dumps(list(texts)).encode())
    with _session(ray, address):
        machines = sum(node["Alive"] for node in ray.nodes())
        data.DataContext.get_current().enable_progress_bars = False
        done = data.from_items([{"path": str(path)} for path in blocks], override_num_blocks=len(blocks))
        # An encoder's session takes every core, so one worker a machine; a worker that dies is started again.
        done = done.map_batches(
            BlockEmbedder,
            fn_constructor_args=(files,),
            batch_size=1,
            num_cpus=1,
            scheduling_strategy="SPREAD",
            compute=data.ActorPoolStrategy(min_size=1, max_size=machines),
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in done.iter_rows():
            advanced(int(row["texts"]))
    for path in blocks:
        _texts_path(path).unlink()


@contextmanager
def _session(ray: Any, address: str | None) -> Iterator[None]:
    """Ray for the time of a run; one that this process has started already is used and left alone."""
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
    if address is None:
        settings |= {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    ray.init(**settings)
    try:
        yield
    finally:
        ray.shutdown()


def _embedded(encoder: OnnxEncoder, texts: Sequence[str]) -> NDArray[np.float16]:
    return encoder.embed(texts).astype(np.float16)


def _block_path(checkpoint: Path, digest: str, texts: Sequence[str]) -> Path:
    """A block's file, named by the encoder and the texts: other texts or another encoder never meet it."""
    content = json.dumps([digest, list(texts)]).encode()
    return checkpoint / f"{hashlib.sha256(content).hexdigest()}.vectors"


def _texts_path(path: Path) -> Path:
    return path.with_suffix(".texts.json")


def _write(path: Path, vectors: NDArray[np.float16]) -> None:
    """Writes a block: `.npy` bytes and their SHA-256 behind them."""
    stream = io.BytesIO()
    np.save(stream, vectors)
    payload = stream.getvalue()
    _replace(path, payload + hashlib.sha256(payload).digest())


def _read(path: Path) -> NDArray[np.float16] | None:
    """Reads a block; None where it is missing or not what was written."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    vectors: NDArray[np.float16] = np.load(io.BytesIO(payload))
    return vectors


def _replace(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader, or a run after a crash, sees all of it or none."""
    partial = path.with_name(f"{path.name}.{os.uname().nodename}-{os.getpid()}")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _assembled(path: Path, blocks: Sequence[Path], texts: int, files: EncoderFiles) -> NDArray[np.float16]:
    """Joins the blocks in a mapped file: in memory there is one block at a time."""
    if not blocks:
        return np.empty((0, files.open().embed([""]).shape[1]), np.float16)
    vectors: np.memmap[Any, np.dtype[np.float16]] | None = None
    start = 0
    for block in blocks:
        part = _read(block)
        if part is None:
            raise RuntimeError(f"{block}: gone or damaged since it was written; run the export again")
        if vectors is None:
            vectors = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]  # untyped in numpy 1.26
                path, "w+", np.float16, (texts, part.shape[1])
            )
        vectors[start : start + len(part)] = part
        start += len(part)
    assert vectors is not None
    vectors.flush()
    return vectors
