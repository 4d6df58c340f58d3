"""Opens an input file and decompresses it; what the bytes are is told by the bytes, whatever the file's name."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from fuserank_export.sources.report import InputError

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_REFUSED = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV UTF-8",
    b"BZh": "bzip2; compress it with gzip or zstd",
    b"\xfd7zXZ\x00": "xz; compress it with gzip or zstd",
}


@contextmanager
def open_stream(path: Path, *, seekable: bool = False) -> Iterator[BinaryIO]:
    """Yields a file's bytes, decompressed.

    Args:
        path: The file; plain, gzip (also of several members) or zstd (also of several frames).
        seekable: Whether the reader moves about in it: what is compressed is then unpacked into a temporary file.

    Raises:
        InputError: The file cannot be opened, is empty, broken, or of a format that is not read.
    """
    try:
        with path.open("rb") as stream, _decompress(path, stream) as unpacked:
            if unpacked is stream or not seekable:
                yield unpacked
                return
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(unpacked, copy)
                copy.seek(0)
                yield cast(BinaryIO, copy)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: found a broken gzip file ({error}); write or copy it anew") from None


@contextmanager
def _decompress(path: Path, stream: BinaryIO) -> Iterator[BinaryIO]:
    head = stream.read(8)
    stream.seek(0)
    if not head:
        raise InputError(f"{path}: found an empty file; allowed: a file with columns and rows")
    for magic, remedy in _REFUSED.items():
        if head.startswith(magic):
            raise InputError(f"{path}: found {remedy}")
    if head.startswith(_GZIP):
        with gzip.open(stream) as unzipped:
            yield cast(BinaryIO, unzipped)
    elif head.startswith(_ZSTD):
        with io.BufferedReader(_ZstdFrames(path, stream)) as frames:
            yield cast(BinaryIO, frames)
    else:
        yield stream


class _ZstdFrames(io.RawIOBase):
    """The decompressed bytes of a zstd file; raises InputError where it is broken."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._frames = pa.CompressedInputStream(stream, "zstd")

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """Fills a buffer; returns how many bytes it got."""
        try:
            content = self._frames.read(len(buffer))
        except OSError as error:
            raise InputError(f"{self._path}: found a broken zstd file ({error}); write or copy it anew") from None
        buffer[: len(content)] = content
        return len(content)
