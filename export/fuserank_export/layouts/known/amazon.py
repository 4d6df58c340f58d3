"""Amazon: a seller's listings report, and the public review data sets of 2018 and 2023 with their products.

The data sets are those of https://amazon-reviews-2023.github.io and https://nijianmo.github.io/amazon/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, LogMapping, find_name
from fuserank_export.layouts.variants import is_blank

TEXT_LISTS = ("description", "features", "feature")
PICTURE_LISTS = ("imageURLHighRes", "imageURL")
# What prices look like there: $1,234.50, from 14.99, $10.00 - $12.00.
_PRICE = re.compile(r"(?:from\s+)?\$?(?P<amount>[\d,]*\d(?:\.\d+)?)(?:\s*-.*)?")


def _prepare_products(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Joins paragraphs to one text, takes the first picture, and takes the dollar sign off prices."""
    for chunk in chunks:
        prepared = chunk.copy()
        names = list(map(str, chunk.columns))
        for name in TEXT_LISTS:
            if (column := find_name(names, name)) is not None:
                prepared[column] = chunk[column].map(_join_texts)
        for name in PICTURE_LISTS:
            if (column := find_name(names, name)) is not None:
                prepared[column] = chunk[column].map(_take_first)
        if (column := find_name(names, "price")) is not None:
            prepared[column] = chunk[column].map(_amount)
        yield prepared


def _join_texts(value: Any) -> Any:
    return " ".join(str(part).strip() for part in value if not is_blank(part)) if isinstance(value, list) else value


def _take_first(value: Any) -> Any:
    return next(iter(value), None) if isinstance(value, list) else value


def _amount(value: Any) -> Any:
    """Returns the amount of a price, the lowest of a range; None of a dash; the value as it is where it is neither."""
    if not isinstance(value, str):
        return value
    if value.strip() in ("—", "-"):
        return None
    match = _PRICE.fullmatch(value.strip())
    return match["amount"].replace(",", "") if match else value


def _prepare_listings(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Says which listings are in stock."""
    for chunk in chunks:
        column = find_name(map(str, chunk.columns), "quantity")
        yield chunk if column is None else chunk.assign(in_stock=chunk[column].map(_has_stock))


def _has_stock(quantity: Any) -> bool | None:
    try:
        return None if is_blank(quantity) else float(quantity) > 0
    except (TypeError, ValueError):
        return None


LAYOUTS = (
    Layout(
        name="amazon-listings",
        title="a seller's listings report of Amazon",
        kind="catalog",
        signatures=(("item-name", "seller-sku", "asin1"), ("item-name", "listing-id", "price")),
        mapping=FileMapping(
            columns={
                "item_id": ["seller-sku", "asin1"],
                "title": "item-name",
                "description": "item-description",
                "price": "price",
                "image_url": "image-url",
                "asin": "asin1",
                "status": "status",
            },
            only={"status": ["Active"]},
            ignore=[
                "item-note",
                "item-condition",
                "zshop-*",
                "will-ship-internationally",
                "expedited-shipping",
                "add-delete",
                "pending-quantity",
                "fulfillment-channel",
                "merchant-shipping-group",
                "bid-for-*",
                "item-is-marketplace",
                "product-id-type",
                "open-date",
                "quantity",
                "asin2",
                "asin3",
            ],
        ),
        prepare=_prepare_listings,
        explained="what has a quantity is in stock",
        comments={"item_id": "take asin1 where events name that"},
    ),
    Layout(
        name="amazon-products",
        title="the products of Amazon's review data sets",
        kind="catalog",
        signatures=(
            ("parent_asin", "title", "main_category"),
            ("parent_asin", "title", "store"),
            ("asin", "title", "also_buy"),
            ("asin", "title", "main_cat"),
        ),
        mapping=FileMapping(
            columns={
                "item_id": ["parent_asin", "asin"],
                "title": "title",
                "description": ["description", "features", "feature"],
                "category": ["categories", "category", "main_category", "main_cat"],
                "brand": ["store", "brand"],
                "price": "price",
                "image_url": ["images.large", "imageURLHighRes", "imageURL"],
            },
            ignore=[
                "videos",
                "details",
                "bought_together",
                "also_buy",
                "also_view",
                "tech1",
                "tech2",
                "similar_item",
                "images",
                "fit",
                "rank",
                "author",
                "subtitle",
            ],
        ),
        prepare=_prepare_products,
        explained="paragraphs become one text, and prices lose their dollar sign",
    ),
    Layout(
        name="amazon-reviews",
        title="Amazon's reviews",
        kind="interactions",
        signatures=(
            ("parent_asin", "rating", "user_id", "timestamp"),
            ("asin", "rating", "user_id", "timestamp"),
            ("reviewerID", "asin", "overall", "unixReviewTime"),
        ),
        mapping=LogMapping(
            columns={
                "user_id": ["user_id", "reviewerID"],
                "item_id": ["parent_asin", "asin"],
                "timestamp": ["timestamp", "unixReviewTime"],
                "value": ["rating", "overall"],
            },
            event="rating",
        ),
        explained="each review is a rating of 1 to 5",
    ),
)
