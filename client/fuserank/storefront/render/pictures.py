"""The picture of an item: a symbol and a tint, drawn from its category."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

TINTS = 10
ANY_ITEM = "package"
_WORD = re.compile(r"[^\W\d_]+")
_PAUSE = re.compile(r"[,(|:.;，（：。]|\s[-–—]\s|\bfor\b|\bwith\b")


class Picture(NamedTuple):
    """A symbol of static/symbols.svg, and the number of its tint in shop.css."""

    symbol: str
    tint: int


@lru_cache(maxsize=4_096)
def draw_picture(category: str, title: str) -> Picture:
    """Returns the picture for a category's path, or for the title where no level of it says enough."""
    levels = [level for level in category.split(" > ") if level]
    # Long titles name the thing first, then what it is for.
    head = _PAUSE.split(title, 1)[0]
    symbols = (_match(text) for text in (*reversed(levels), head, title))
    symbol = next((symbol for symbol in symbols if symbol), ANY_ITEM)
    return Picture(symbol, crc32(symbol.encode()) % TINTS)


def _match(text: str) -> str:
    """Returns the symbol of the phrase that ends last in a text, of several the longest; empty where none stands there.

    English and Chinese name the thing last: chocolate milk is milk.
    """
    lowered = text.lower()
    spaced = f" {' '.join(_WORD.findall(lowered))} "
    best, symbol = (0, 0), ""
    for phrase, candidate in _phrases():
        wanted, within = (f" {phrase} ", spaced) if phrase.isascii() else (phrase, lowered)
        start = within.rfind(wanted)
        if start >= 0 and (start + len(wanted), len(wanted)) > best:
            best, symbol = (start + len(wanted), len(wanted)), candidate
    return symbol


@cache
def _phrases() -> list[tuple[str, str]]:
    symbols: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("pictures.toml").read_text("utf-8"))
    return [(phrase, symbol) for symbol, phrases in symbols.items() for phrase in phrases]
