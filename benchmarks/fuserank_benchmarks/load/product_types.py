"""Judged queries for the text towers of `make bench`: right for the name of a product type is what is of that type.

The shop's log has no queries. Those made of categories and titles say little that a tower could learn here: half of
them are words that many products share.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

FEWEST, MOST = 2, 200  # items of a type: of more nearly all candidates are right, and there is nothing to tell apart


def write(shop: Path, out: Path) -> tuple[Path, Path]:
    """Writes `queries.tsv` and `judgements.tsv` (TREC's formats) of a shop's `catalog.parquet`.

    Returns:
        Both files.
    """
    catalog = pd.read_parquet(shop / "catalog.parquet", columns=["item_id", "product_type"]).dropna()
    types = {name: items for name, items in catalog.groupby("product_type")["item_id"] if FEWEST <= len(items) <= MOST}
    out.mkdir(parents=True, exist_ok=True)
    queries, judgements = out / "queries.tsv", out / "judgements.tsv"
    queries.write_text("".join(f"{number}\t{name}\n" for number, name in enumerate(types)), "utf-8")
    lines = [f"{number} 0 {item} 1\n" for number, items in enumerate(types.values()) for item in items]
    judgements.write_text("".join(lines), "utf-8")
    return queries, judgements


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", type=Path, required=True, help="folder of catalog.parquet")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.shop, arguments.out)


if __name__ == "__main__":
    main()
