"""What is wrong with a catalogue: fields that are missing, titles that repeat, categories that nobody wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FIELDS = ("description", "category", "brand", "price", "in_stock", "image_url", "created_at")
MOST_NAMED = 10


@dataclass(frozen=True)
class CatalogHealth:
    """What a catalogue lacks.

    Attributes:
        items: How many items it has.
        missing: Share of items without a value, by field.
        duplicate_titles: Share of items whose title another one has, too.
        repeated: The most repeated titles, with how many items have each.
        categories: How many categories it has.
        dead_categories: Those of which nobody had an item although there is a log, with how many items each has.
        never_taken: Share of items that nobody had; None without a log.
    """

    items: int
    missing: Mapping[str, float]
    duplicate_titles: float
    repeated: tuple[tuple[str, int], ...]
    categories: int
    dead_categories: tuple[tuple[str, int], ...]
    never_taken: float | None


def examine(catalog: pd.DataFrame, popularity: NDArray[np.float32] | None) -> CatalogHealth:
    """Examines a catalogue.

    Args:
        catalog: A row an item, with `title` and `FIELDS`.
        popularity: Events by item `[items]`; None without a log.
    """
    titles = Counter(str(title).strip().casefold() for title in catalog["title"])
    written = {str(title).strip().casefold(): str(title) for title in catalog["title"]}
    repeated = [(written[title], count) for title, count in titles.most_common(MOST_NAMED) if count > 1]
    by_category = pd.Series(np.ones(len(catalog)), index=catalog.index).groupby(catalog["category"]).sum()
    dead: list[tuple[str, int]] = []
    if popularity is not None and len(by_category):
        taken = pd.Series(popularity, index=catalog.index).groupby(catalog["category"]).sum()
        dead = [(str(name), int(by_category[name])) for name in taken.index[taken == 0]]
    return CatalogHealth(
        items=len(catalog),
        missing={name: float(catalog[name].isna().mean()) for name in FIELDS},
        duplicate_titles=sum(count for count in titles.values() if count > 1) / max(len(catalog), 1),
        repeated=tuple(repeated),
        categories=len(by_category),
        dead_categories=tuple(sorted(dead, key=lambda pair: -pair[1])),
        never_taken=None if popularity is None else float((popularity == 0).mean()),
    )
