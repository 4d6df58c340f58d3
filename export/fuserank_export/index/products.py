"""Which items are packages of one product: same brand, and same title once sizes and quantities are taken out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.understanding.quantities import Quantities

# Sizes and quantities that no unit measures: "pack of 6", "6 x", "size 42", "XL".
_PACKED = re.compile(
    r"\b(?:pack|packs|box|set|case|bag|bundle|carton|tray|bottle|can|tin|jar|roll|tube|pair)s?\s+of\s+\d+\b"
    r"|\b\d+\s*[x×]\s*(?=\W|\d|$)|(?<=\W)[x×]\s*\d+\b"
    r"|\bsize\s+\w+(?:[.,/]\d+)?"
    r"|\b(?:xxs|xs|xl|xxl|xxxl|\d+xl|small|medium|large|extra large)\b"
)
CACHED_TITLES = 100_000
_WORD = re.compile(r"[^\W_]+")


def product_codes(records: Sequence[Mapping[str, Any]], quantities: Quantities) -> NDArray[np.int32]:
    """Returns the code of each item's product, int32 `[items]`.

    Args:
        records: Each item's fields without the missing ones.
        quantities: Finds sizes and counts in texts.
    """
    # Titles repeat: packages of one product often have the same.
    title_of = lru_cache(maxsize=CACHED_TITLES)(lambda title: product_title(title, quantities))
    keys = [_product_key(record, title_of) or str(record["item_id"]) for record in records]
    codes, _ = pd.factorize(np.asarray([*keys, None], object)[:-1])
    return codes.astype(np.int32)


def product_title(title: str, quantities: Quantities) -> str:
    """Returns a title's words without sizes and quantities, in lower case; empty where it has no others."""
    text = normalise(title).casefold()
    kept, end = [], 0
    for amount in quantities.find(text):
        kept.append(text[end : amount.start])
        end = amount.end
    without_amounts = " ".join([*kept, text[end:]])
    return " ".join(_WORD.findall(_PACKED.sub(" ", without_amounts)))


def _product_key(record: Mapping[str, Any], title_of: Callable[[str], str]) -> str:
    title = title_of(str(record["title"]))
    # A line break is in no normalised text, so that keys and ids never meet.
    return f"{normalise(str(record.get('brand') or '')).casefold()}\n{title}" if title else ""
