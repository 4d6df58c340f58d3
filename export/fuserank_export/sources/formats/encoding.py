"""Tells in which encoding a text file is written, and opens it as text."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import chardet

from fuserank_export.sources.formats.stream import open_stream
from fuserank_export.sources.report import InputError, shorten

BYTE_ORDER_MARK = "\ufeff"
_MARKS = (  # UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = "windows-1252"
# What shops' programs write beside UTF-8; more candidates would only be more ways to be wrong.
_CANDIDATES = (
    _WESTERN,
    *("windows-1250", "windows-1251", "windows-1253", "windows-1254"),
    *("gb18030", "big5", "cp932", "cp949"),
)
_CHUNK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 128 * 1024  # of lines that are not ASCII
_UTF8_SHARE = 0.05  # of the lines that are not ASCII: where fewer are UTF-8, the file is something else
_SURE, _CLEARER = 0.03, 2.0  # measured with chardet 7.7 on short catalogues in ten languages: see test_encoding.py


@dataclass(frozen=True)
class TextEncoding:
    """How a file's bytes are text.

    Attributes:
        name: Python's name of the encoding.
        example: A word of the file as it is read, where the encoding was guessed.
        otherwise: What lines of a UTF-8 file are written in that are not UTF-8; empty where nobody said.
    """

    name: str
    example: str = ""
    otherwise: str = ""

    @property
    def errors(self) -> str:
        """How bytes that are no text are decoded, so that `undecodable` finds them."""
        return "surrogateescape" if self.name == "utf-8" else "replace"

    def undecodable(self, line: str) -> bool:
        """Returns whether some of a line's bytes are no text in this encoding."""
        if line.isascii():
            return False
        if self.name != "utf-8":
            return "\ufffd" in line
        try:
            line.encode("utf-8")  # fails on what surrogateescape let through
        except UnicodeEncodeError:
            return True
        return False

    def repair(self, line: str) -> str:
        """Returns a line, decoded anew where it is not UTF-8 and `otherwise` says what it is."""
        if self.otherwise and self.name == "utf-8" and self.undecodable(line):
            return line.encode("utf-8", "surrogateescape").decode(self.otherwise, "replace")
        return line

    @property
    def problem(self) -> str:
        """What is wrong with a line that is not text."""
        return f"not {self.name.upper()} text"

    @property
    def remedy(self) -> str:
        """What to do about such a line."""
        return "" if self.otherwise else "save all rows in one encoding, or name that of these rows with --encoding"


def check_encoding(name: str) -> None:
    """Refuses a name that is no text encoding of Python's.

    Raises:
        InputError: With the remedy.
    """
    try:
        b"a".decode(name)
    except (LookupError, UnicodeError):
        if name.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
            return  # one byte is half a character
        raise InputError(
            f"--encoding: found {name!r}; allowed: the name of a text encoding, such as windows-1252, utf-16 or gb18030"
        ) from None


def detect_encoding(path: Path, otherwise: str | None = None) -> TextEncoding:
    """Tells a text file's encoding: by its byte order mark, by being UTF-8 or not, and else by a guess.

    Reads up to the first lines that are not ASCII, which may be the whole file.

    Args:
        path: The file, compressed or not.
        otherwise: What a file without a mark, or some of its lines, is written in that is not UTF-8; None guesses.

    Raises:
        InputError: The file cannot be read.
    """
    with open_stream(path) as stream:
        head = stream.read(_CHUNK_BYTES)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return TextEncoding(name)
        if name := _unmarked_utf16(head):
            return TextEncoding(name)
        sample = _Sample()
        rest = head
        while rest and len(sample.foreign) < _SAMPLE_BYTES:
            rest = sample.add(rest, stream.read(_CHUNK_BYTES))
    if not sample.other or sample.utf8 >= _UTF8_SHARE * (sample.utf8 + sample.other):
        return TextEncoding("utf-8", otherwise=otherwise or "")
    if otherwise:
        return TextEncoding(otherwise)
    name = _guess(bytes(sample.foreign))
    words = sample.foreign.decode(name, "replace").replace(",", " ").replace(";", " ").split()
    return TextEncoding(name, next((shorten(word, 40) for word in words if not word.isascii()), ""))


@contextmanager
def open_text(path: Path, encoding: TextEncoding, newline: str = "") -> Iterator[TextIO]:
    """Yields a file's text; a byte order mark at its beginning may still be there.

    Args:
        path: The file, compressed or not.
        encoding: How its bytes are text.
        newline: As for `open`.
    """
    with (
        open_stream(path) as stream,
        io.TextIOWrapper(stream, encoding.name, encoding.errors, newline=newline) as text,
    ):
        yield text


@dataclass
class _Sample:
    """Lines that are not ASCII.

    Attributes:
        foreign: The lines that are not UTF-8.
        utf8: How many lines are UTF-8 and not ASCII.
        other: How many lines are not UTF-8.
    """

    foreign: bytearray = field(default_factory=bytearray)
    utf8: int = 0
    other: int = 0

    def add(self, block: bytes, following: bytes) -> bytes:
        """Looks at a block's whole lines; returns what is left of it joined with the bytes that follow."""
        cut = block.rfind(b"\n") + 1 if following else len(block)
        if not cut and len(block) < 8 * _CHUNK_BYTES:
            return block + following
        cut = cut or len(block)
        if not block[:cut].isascii():
            for line in block[:cut].splitlines():
                if line.isascii():
                    continue
                try:
                    line.decode("utf-8")
                    self.utf8 += 1
                except UnicodeDecodeError:
                    self.other += 1
                    self.foreign += line + b"\n"
                if self.utf8 >= 10_000 and not self.other:
                    return b""  # nothing will make this anything but UTF-8
        return block[cut:] + following


def _unmarked_utf16(head: bytes) -> str:
    """Returns the UTF-16 that a file without a mark is written in, or an empty string: ASCII is half NUL bytes then."""
    sample = head[:4096]
    half = len(sample) // 2
    if half and sample[1::2].count(0) > 0.4 * half and not sample[::2].count(0):
        return "utf-16-le"
    if half and sample[::2].count(0) > 0.4 * half and not sample[1::2].count(0):
        return "utf-16-be"
    return ""


def _guess(foreign: bytes) -> str:
    """Returns what lines that are not UTF-8 are probably written in: Windows-1252, unless another is much likelier."""
    ranked = chardet.detect_all(foreign, include_encodings=_CANDIDATES)
    scores = {str(one["encoding"]).lower(): float(one["confidence"]) for one in ranked}
    best = max(scores, key=lambda name: scores[name], default=_WESTERN)
    western = scores.get(_WESTERN, 0.0)
    likelier = best in _CANDIDATES and scores[best] >= _SURE and scores[best] >= _CLEARER * western
    return best if likelier else _WESTERN
