"""Words that say nothing of what is searched for, such as "something" and "looking for"."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).with_name("fillers.txt")


@lru_cache(maxsize=1)
def fillers() -> frozenset[str]:
    """Returns the words, in lower case."""
    lines = FILE.read_text("utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line and not line.startswith("#"))
