"""Reads JSON lines of a file or of stdin for the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fuserank.errors import InvalidRequestError


@contextmanager
def open_lines(file: Path) -> Iterator[Iterable[str]]:
    """Yields the lines of a file, or of stdin where it is named `-`.

    Raises:
        InvalidRequestError: Where the file cannot be read.
    """
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        stream: IO[str] = file.open(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InvalidRequestError(f"FILE: {error}; allowed: a file of JSON lines") from None
    with stream:
        yield stream


def parse_line(line: str) -> Any:
    """Returns a line's JSON value; the text itself where it is no JSON, of which the server says what is wrong."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.strip()
