"""Google Merchant Center's product feed as CSV or TSV; Meta's catalogue feed has the same columns.

The columns are those of https://support.google.com/merchants/answer/7052112.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, find_name

# The feed's own form of a price: a decimal point, and the currency's code behind or before it.
_PRICE = re.compile(r"(?:(?P<before>[A-Z]{3})\s*)?(?P<amount>\d+(?:\.\d+)?)(?:\s*(?P<behind>[A-Z]{3}))?")


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Takes the currency off the prices, into a column of its own."""
    for chunk in chunks:
        priced = chunk.copy()
        for name in ("price", "sale_price"):
            column = find_name(map(str, chunk.columns), name)
            if column is None:
                continue
            matches = [_PRICE.fullmatch(value.strip()) if isinstance(value, str) else None for value in chunk[column]]
            amounts = [match["amount"] if match else value for match, value in zip(matches, chunk[column], strict=True)]
            priced[column] = pd.Series(amounts, index=chunk.index, dtype=object)
            if name == "price":
                currencies: list[Any] = [match and (match["before"] or match["behind"]) for match in matches]
                priced["currency"] = pd.Series(currencies, index=chunk.index, dtype=object)
        yield priced


LAYOUTS = (
    Layout(
        name="google-merchant",
        title="a Google Merchant feed",
        kind="catalog",
        signatures=(
            ("id", "title", "link", "image_link", "availability"),
            ("id", "title", "description", "link", "image_link", "price"),
            ("id", "title", "google_product_category", "price"),
        ),
        mapping=FileMapping(
            columns={
                "item_id": "id",
                "title": "title",
                "description": "description",
                "category": ["product_type", "google_product_category", "fb_product_category"],
                "brand": "brand",
                "price": ["sale_price", "price"],
                "in_stock": "availability",
                "image_url": "image_link",
            },
            values={
                "in_stock": {
                    "in stock": "true",
                    "available for order": "true",
                    "preorder": "true",
                    "backorder": "true",
                    "out of stock": "false",
                    "discontinued": "false",
                }
            },
            ignore=[
                "additional_image_link",
                "mobile_link",
                "shipping*",
                "tax*",
                "*_label_?",
                "adwords_*",
                "ads_*",
                "availability_date",
                "expiration_date",
                "sale_price_effective_date",
                "excluded_destination",
                "included_destination",
                "identifier_exists",
                "pause",
                "min_handling_time",
                "max_handling_time",
            ],
        ),
        prepare=_prepare,
        explained="prices lose their currency, which becomes a column of its own",
        comments={"item_id": "each variant stays an item, as events name it; item_group_id names its group"},
    ),
)
