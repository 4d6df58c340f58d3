"""Sets the C library's allocator to what a step of an export does: glibc's own choice suits neither."""

from __future__ import annotations

import ctypes
import gc
import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt
_MIB = 1024 * 1024
_SMALL, _LARGE, _KEPT, _ALL = _MIB // 8, 32 * _MIB, 64 * _MIB, 1024 * _MIB


@contextmanager
def arrays_apart() -> Iterator[None]:
    """While the block runs, each array has pages of its own, which the system gets back when it is freed.

    Files are read in chunks whose arrays live long and short by turns: in one heap the short ones leave holes, which
    came to more than what was kept.
    """
    _set_thresholds(_SMALL, _SMALL)
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what is freed
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        _set_thresholds(_LARGE, _KEPT)
        release_memory()


@contextmanager
def arrays_reused() -> Iterator[None]:
    """While the block runs, the pages of arrays that are freed are kept for the next ones.

    A step of training makes and frees a few hundred megabytes: giving them back each time took a quarter of its time.
    """
    _set_thresholds(_LARGE, _KEPT)
    try:
        yield
    finally:
        release_memory()


@contextmanager
def heap_kept() -> Iterator[None]:
    """While the block runs, the heap gives nothing back: for what takes and frees the same few hundred megabytes.

    A step of a fit does: the system gave it 70 MB of zeros each time, which took an eighth of the fit's CPU time.
    """
    _set_thresholds(_LARGE, _ALL)
    try:
        yield
    finally:
        _set_thresholds(_LARGE, _KEPT)
        release_memory()


def release_mapped(folders: Sequence[Path]) -> None:
    """Takes the mapped files of some folders out of this process's memory, until they are read.

    Those of which a process has changes of its own stay.

    A search reads a few pages of an index of gigabytes, and each stays mapped: after thousands of searches all are.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():  # no Linux
        return
    beginnings = tuple(f"{folder.resolve()}/" for folder in folders)
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in maps.read_text("utf-8", "replace").splitlines():
        pages, access, *_, file = line.split(maxsplit=5)
        if (access.startswith("r-") or access.endswith("s")) and file.startswith(beginnings):
            start, end = (int(address, 16) for address in pages.split("-"))
            advise(start, end - start, mmap.MADV_DONTNEED)


def empty_array(shape: tuple[int, ...], kind: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """Returns an array to be filled, whose pages the system gives when they are written to.

    Args:
        shape: Its shape.
        kind: Its dtype.
        folder: A folder on a disk, where it is mapped from a file without a name, which goes when nobody reads it:
            the system takes its pages back where it wants room. None holds it in memory.
    """
    if folder is None or 0 in shape:
        return np.empty(shape, kind)
    with tempfile.TemporaryFile(dir=folder) as stream:
        return np.asarray(np.memmap(stream, kind, "w+", shape=shape))


def keep_imports() -> None:
    """Keeps what is there now out of the collector's rounds: for a command, once it has imported its libraries.

    `release_memory` asks for two dozen rounds an export, and each took a quarter of a second to walk torch and
    transformers, of which nothing is ever freed.
    """
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Returns what was freed to the system, so that the next step finds room."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _set_thresholds(mapped: int, kept: int) -> None:
    """Sets from how many bytes on an array has pages of its own, and how many free ones the heap keeps at its end.

    The larger values are those that glibc ends at by itself, which stops choosing when it is told. Other C libraries
    stay as they are.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, mapped)
        set_option(_TRIM_THRESHOLD, kept)
