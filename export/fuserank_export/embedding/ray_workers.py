"""Embeds blocks with Ray Data, one worker a machine."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_export.embedding.blocks import embed_block, read_block, write_block
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.files import write_atomically
from fuserank_export.sources import InputError

# Seconds that Ray waits for its own control service; its 30 have run out on a busy machine.
START_WAIT = ("RAY_gcs_server_port_wait_time_s", "120")
LOCAL_STORE_BYTES = 256 * 2**20  # texts and vectors travel as files; Ray's own store carries only their names


class BlockEmbedder:
    """Runs in a Ray worker: opens the encoder once and turns files of texts into files of vectors."""

    def __init__(self, files: EncoderFiles) -> None:
        self._encoder = files.open()

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Embeds the blocks whose paths are in `path`; returns how many texts each has, as `texts` `[blocks]`."""
        counts = []
        for path in map(Path, batch["path"]):
            texts = json.loads(_texts_path(path).read_bytes())
            if read_block(path) is None:  # it is there where a worker died between writing and reporting it
                write_block(path, embed_block(self._encoder, texts))
            counts.append(len(texts))
        return {"texts": np.asarray(counts)}


def embed_with_ray(
    files: EncoderFiles, blocks: Mapping[Path, Sequence[str]], address: str | None, advanced: Callable[[int], None]
) -> None:
    """Embeds blocks and writes their files.

    Args:
        files: The encoder.
        blocks: Texts by the path of their block's file.
        address: A Ray cluster's address; None starts Ray on this machine, or uses what this process has started.
        advanced: Called with the number of texts done after every block.

    Raises:
        InputError: Where Ray is not installed.
    """
    try:
        # An extra: only who embeds on a cluster has it.
        ray: Any = importlib.import_module("ray")
        data: Any = importlib.import_module("ray.data")
    except ImportError:
        raise InputError("--engine ray: needs Ray; install it with pip install 'fuserank[ray]'") from None
    for path, texts in blocks.items():
        write_atomically(_texts_path(path), json.dumps(list(texts)).encode())
    with _ray_session(ray, address):
        machines = sum(node["Alive"] for node in ray.nodes())
        data.DataContext.get_current().enable_progress_bars = False
        paths = data.from_items([{"path": str(path)} for path in blocks], override_num_blocks=len(blocks))
        # An encoder's session takes every core, so one worker a machine; a worker that dies is started again.
        counts = paths.map_batches(
            BlockEmbedder,
            fn_constructor_args=(files,),
            batch_size=1,
            num_cpus=1,
            scheduling_strategy="SPREAD",
            compute=data.ActorPoolStrategy(min_size=1, max_size=machines),
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in counts.iter_rows():
            advanced(int(row["texts"]))
    for path in blocks:
        _texts_path(path).unlink()


@contextmanager
def _ray_session(ray: Any, address: str | None) -> Iterator[None]:
    """Connects to Ray and leaves it at the end; a session that this process has already is used and left open."""
    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
    if address is None:
        settings |= {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
        os.environ.setdefault(*START_WAIT)
    ray.init(**settings)
    try:
        yield
    finally:
        ray.shutdown()


def _texts_path(path: Path) -> Path:
    return path.with_suffix(".texts.json")
