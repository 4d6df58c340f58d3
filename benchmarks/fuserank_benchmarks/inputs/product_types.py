"""Judged queries for the benchmarks' text towers: the name of a product type, answered by the items of that type.

The shop's log has no queries. Queries made of categories and titles would teach a tower little here: half of them are
words that many products share.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

# Items of a type: with more nearly all candidates are relevant, and there is nothing to tell apart.
MIN_ITEMS, MAX_ITEMS = 2, 200


def write_judged_types(shop: Path, out: Path) -> tuple[Path, Path]:
    """Writes `queries.tsv` and `judgements.tsv` (TREC's formats) of a shop's `catalog.parquet`.

    Returns:
        Both files.
    """
    catalog = pd.read_parquet(shop / "catalog.parquet", columns=["item_id", "product_type"]).dropna()
    by_type = {
        str(name): items
        for name, items in catalog.groupby("product_type")["item_id"]
        if MIN_ITEMS <= len(items) <= MAX_ITEMS
    }
    out.mkdir(parents=True, exist_ok=True)
    queries, judgements = out / "queries.tsv", out / "judgements.tsv"
    queries.write_text("".join(f"{number}\t{name}\n" for number, name in enumerate(by_type)), "utf-8")
    lines = [f"{number} 0 {item} 1\n" for number, items in enumerate(by_type.values()) for item in items]
    judgements.write_text("".join(lines), "utf-8")
    return queries, judgements
