"""Codes of items, such as a part number or a barcode, in one spelling: `TRX-7144`, `trx 7144` and `TRX7144` are one."""

from __future__ import annotations

import re
from typing import Any

from fuserank_ensemble.retrieval.lexical.words import clean

LONGEST = 64  # characters of a code; a longer text is none
_SEPARATORS = re.compile(r"[\W_]+")
_CELL = re.compile(r"[,;|\n]")
_LEAST_PREFIX, _LEAST_DIGITS = 4, 5  # characters that say enough of a code's beginning; of digits alone
_BARCODE_DIGITS = 8  # from which leading zeros only fill up: a UPC's twelve digits are an EAN's thirteen


def code_key(text: str) -> str:
    """Returns a code in lower case without separators, and without the zeros before a barcode; empty for none."""
    key = _SEPARATORS.sub("", clean(text[: 4 * LONGEST]).casefold())
    if len(key) > LONGEST:
        return ""
    return key.lstrip("0") or key if key.isdigit() and len(key) >= _BARCODE_DIGITS else key


def code_keys(value: Any) -> list[str]:
    """The keys of a catalogue's cell, which may hold several codes."""
    if isinstance(value, (list, tuple)):
        return [key for element in value for key in code_keys(element)]
    if isinstance(value, float):
        return [code_key(str(int(value)))] if value.is_integer() else []
    if value is None or isinstance(value, bool):
        return []
    return [key for part in _CELL.split(str(value)) if (key := code_key(part))]


def tells_apart(key: str) -> bool:
    """Whether a key says so much that the codes which begin with it may be meant, or one within a longer query."""
    return len(key) >= (_LEAST_DIGITS if key.isdigit() else _LEAST_PREFIX) and any(map(str.isdigit, key))
