"""The error of a request that cannot be answered as sent, and how its message is worded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

LONGEST = 200  # characters of a field's name, and of what it held


class InvalidRequestError(ValueError):
    """The request cannot be answered as sent. The message names the field, what it held and what is allowed."""

    def __init__(self, field: str, found: object, allowed: str) -> None:
        # A caller's own words come back in here, the name of an unknown option too: as few as a message may hold.
        self.field, self.found, self.allowed = _cut(_printable(field), LONGEST), found, allowed
        super().__init__(f"{self.field}: found {format_value(found)}; allowed: {_printable(allowed)}")


class Description(str):
    """What a field held, in words: an error message prints it as it is instead of quoting it as JSON."""

    __slots__ = ()


def format_value(value: object, limit: int = 80) -> str:
    """Renders a value for an error message: a `Description` in its words, else JSON cut at `limit` characters."""
    if isinstance(value, Description):
        return _cut(_printable(value), LONGEST)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return _cut(_printable(text), limit)


def _printable(text: str) -> str:
    """A text in which the characters that no terminal or wire takes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def nearest(name: str, known: Iterable[str]) -> str:
    """Lists the known names for an error message, and says which of them is probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return ", ".join(names) + (f" (did you mean {close[0]!r}?)" if close else "")
