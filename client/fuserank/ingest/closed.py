"""Tables of a configuration that take only the keys they know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from fuserank.errors import ConfigurationError


def nearest(name: str, known: Iterable[str]) -> str:
    """Lists the known names, and says which of them is probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return ", ".join(names) + (f" (did you mean {close[0]!r}?)" if close else "")


def check_keys(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    """Refuses a key that a table does not know.

    Args:
        table: The table.
        known: The keys that it may have.
        place: Its name; empty at the top.

    Raises:
        ConfigurationError: Names the key, and the nearest known one.
    """
    names = tuple(known)
    for key in table:
        if key not in names:
            raise ConfigurationError(f"{place and place + '.'}{key}: unknown; allowed: {nearest(key, names)}")
