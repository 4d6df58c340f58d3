"""The error of a request that cannot be answered as sent, and how its message is worded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable


class InvalidRequestError(ValueError):
    """The request cannot be answered as sent. The message names the field, what it held and what is allowed."""

    def __init__(self, field: str, found: object, allowed: str) -> None:
        text = f"{field}: found {format_value(found)}; allowed: {allowed}"
        # A caller's own characters come back in here; those that no terminal or wire takes are escaped.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))
        self.field, self.found, self.allowed = field, found, allowed


class Description(str):
    """What a field held, in words: an error message prints it as it is instead of quoting it as JSON."""

    __slots__ = ()


def format_value(value: object, limit: int = 80) -> str:
    """Renders a value for an error message: a `Description` as it is, all else as JSON cut at `limit` characters."""
    if isinstance(value, Description):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def nearest(name: str, known: Iterable[str]) -> str:
    """Lists the known names for an error message, and says which of them is probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return ", ".join(names) + (f" (did you mean {close[0]!r}?)" if close else "")
