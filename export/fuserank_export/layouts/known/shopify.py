"""Shopify's product export: a row a variant and a row an image, under the handle of their product.

The columns are those of https://help.shopify.com/en/manual/products/import-export/using-csv, under the names of the
export's earlier and present form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, find_name
from fuserank_export.layouts.variants import (
    cell,
    is_blank,
    join_products,
    rules_of,
    take_all,
    take_lowest,
    to_frame,
)

RULES = {
    "Variant Price": take_lowest, "Price": take_lowest, "Variant SKU": take_all, "SKU": take_all,
    "Variant Barcode": take_all, "Barcode": take_all,
}  # fmt: skip
OPTIONS = range(1, 4)
NO_OPTION = ("Title", "Default Title")  # what a product without options has


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Joins the rows of a handle, wherever they stand, to one row with its options and whether it is in stock."""
    file = pd.concat(list(chunks))
    handle = find_name(map(str, file.columns), "Handle") or find_name(map(str, file.columns), "URL handle")
    products: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
    for line, record in zip(file.index.tolist(), file.to_dict("records"), strict=True):
        row = {str(name): value for name, value in record.items()}
        key = row[handle] if handle is not None else None
        # A row without a handle is no product's: it stays, and is refused.
        products.setdefault(line if is_blank(key) else str(key).strip(), []).append((line, row))
    rules = rules_of(map(str, file.columns), RULES)
    joined = [_join([row for _, row in rows], rules) for rows in products.values()]
    lines = [rows[0][0] for rows in products.values()]
    yield to_frame(joined, lines, [name for name in map(str, file.columns) if not _is_option(name)])


@cache
def _is_option(name: str) -> bool:
    return any(
        find_name([f"Option{n} Name", f"Option{n} Value", f"Option{n} Linked To"], name) is not None for n in OPTIONS
    )


def _join(rows: Sequence[Mapping[str, Any]], rules: Mapping[str, Any]) -> dict[str, Any]:
    names = {n: next((name for row in rows if (name := cell(row, f"Option{n} Name"))), None) for n in OPTIONS}
    options = [
        (names[n], value)
        for row in rows
        for n in OPTIONS
        if (value := cell(row, f"Option{n} Value")) is not None and (names[n], value) != NO_OPTION
    ]
    stock = [known for row in rows if (known := _in_stock(row)) is not None]
    joined = join_products(rows, rules, options)
    return {name: value for name, value in joined.items() if not _is_option(name)} | {
        "in_stock": any(stock) if stock else None
    }


def _in_stock(row: Mapping[str, Any]) -> bool | None:
    """Returns whether a variant can be had; None of a row that is no variant, or does not say."""
    quantity = cell(row, "Variant Inventory Qty") or cell(row, "Inventory quantity")
    if cell(row, "Variant Price") is None and cell(row, "Price") is None:
        return None
    policy = str(cell(row, "Variant Inventory Policy") or cell(row, "Continue selling when out of stock") or "")
    tracked = cell(row, "Variant Inventory Tracker") or cell(row, "Inventory tracker")
    knows_tracker = find_name(row, "Variant Inventory Tracker") or find_name(row, "Inventory tracker")
    if policy.casefold() in ("continue", "true") or (knows_tracker and not tracked):
        return True  # sold without counting
    try:
        return float(str(quantity)) > 0
    except ValueError:
        return None


LAYOUTS = (
    Layout(
        name="shopify",
        title="Shopify's product export",
        kind="catalog",
        signatures=(
            ("Handle", "Title", "Variant Price"),
            ("Handle", "Title", "Variant SKU"),
            ("Handle", "Title", "Body (HTML)", "Vendor"),
            ("URL handle", "Title", "Option1 name"),
            ("URL handle", "Title", "Vendor"),
        ),
        mapping=FileMapping(
            columns={
                "item_id": ["Handle", "URL handle"],
                "title": "Title",
                "description": ["Body (HTML)", "Description"],
                "brand": "Vendor",
                "category": ["Product Category", "Standard Product Type", "Type", "Custom Product Type"],
                "price": ["Variant Price", "Price"],
                "image_url": ["Image Src", "Product image URL"],
                "sku": ["Variant SKU", "SKU"],
                "barcode": ["Variant Barcode", "Barcode"],
                "product_type": ["Type", "Custom Product Type"],
                "tags": "Tags",
                "published": ["Published", "Published on online store"],
                "status": "Status",
            },
            split={"tags": ","},
            only={"published": ["true"], "status": ["active"]},
            ignore=[
                "Variant Grams",
                "Variant Inventory *",
                "Variant Fulfillment Service",
                "Variant Requires Shipping",
                "Variant Taxable",
                "Variant Weight Unit",
                "Variant Tax Code",
                "Variant Image",
                "Image Position",
                "Image Alt Text",
                "SEO *",
                "Google Shopping / *",
                "Gift Card",
                "Cost per item",
                "Included / *",
                "Price / *",
                "Compare At Price / *",
                "Charge tax",
                "Tax code",
                "Unit price *",
                "Inventory tracker",
                "Inventory quantity",
                "Continue selling when out of stock",
                "Weight *",
                "Requires shipping",
                "Fulfillment service",
                "Variant image URL",
                "Gift card",
            ],
        ),
        prepare=_prepare,
        explained="the variants and images of a handle become one product; its price is the lowest of them, and each "
        "option, such as Color, a column of all its values",
        comments={
            "item_id": "the log must name items by it",
        },
    ),
)
