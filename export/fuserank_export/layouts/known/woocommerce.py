"""WooCommerce's product export: a row a product, and a row a variation that names its parent.

The columns are those of https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, find_name
from fuserank_export.layouts.variants import (
    cell,
    deepest,
    join_products,
    rules_of,
    take_all,
    take_first,
    take_lowest,
    to_frame,
)

_ATTRIBUTE = re.compile(r"attribute \d+ (name|value|visible|global|default)", re.IGNORECASE)
_NUMBERED = re.compile(r"attribute (\d+) name", re.IGNORECASE)
_ESCAPED_COMMA = re.compile(r"(?<!\\),")
RULES = {"Sale price": take_lowest, "Regular price": take_lowest, "SKU": take_all, "GTIN, UPC, EAN, or ISBN": take_all}


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Joins variations to their parents, and takes categories, pictures and attributes apart."""
    file = pd.concat(list(chunks))
    rows = [{str(name): value for name, value in record.items()} for record in file.to_dict("records")]
    parents = _parents(rows)
    products: dict[int, list[int]] = {}
    for number in range(len(rows)):
        products.setdefault(parents.get(number, number), []).append(number)
    columns = [name for name in map(str, file.columns) if not _ATTRIBUTE.match(name)]
    rules = rules_of(map(str, file.columns), RULES)
    joined, lines = [], []
    for first, members in products.items():
        ordered = [first, *(number for number in members if number != first)]
        joined.append(_join([rows[number] for number in ordered], rules))
        lines.append(int(file.index[first]))
    yield to_frame(joined, lines, columns)


def _parents(rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Returns the row of each variation's parent, which is named by `id:` and its id, or by its SKU."""
    by_name: dict[str, int] = {}
    variations: dict[int, str] = {}
    for number, row in enumerate(rows):
        parent = cell(row, "Parent")
        if parent is not None and "variation" in str(cell(row, "Type") or "variation").casefold():
            variations[number] = str(parent).strip()
            continue
        for name in (f"id:{cell(row, 'ID')}", cell(row, "SKU")):
            if name is not None:
                by_name.setdefault(str(name).strip(), number)
    return {number: by_name[parent] for number, parent in variations.items() if parent in by_name}


def _join(rows: Sequence[Mapping[str, Any]], rules: Mapping[str, Any]) -> dict[str, Any]:
    variations = rows[1:]
    joined = join_products(rows, rules, _options(rows))
    # The price and the stock of a product with variations are theirs.
    prices = [price for row in variations if (price := cell(row, "Sale price") or cell(row, "Regular price"))]
    sale = find_name(joined, "Sale price")
    if prices and sale is not None:
        joined[sale] = take_lowest(prices)
    for name in [name for name in joined if _ATTRIBUTE.match(name)]:
        del joined[name]
    stock = [str(value).strip() for row in variations or rows if (value := cell(row, "In stock?")) is not None]
    found = find_name(joined, "In stock?")
    if found is not None and stock:
        # "backorder" can be ordered.
        joined[found] = "1" if any(value.casefold() in ("1", "true", "yes", "backorder") for value in stock) else "0"
    categories = _split_commas(cell(rows[0], "Categories"))
    images = _split_commas(cell(rows[0], "Images"))
    for name, value in (
        ("Categories", deepest(categories, ">")),
        ("Images", take_first(images)),
        ("Tags", _split_commas(cell(rows[0], "Tags")) or None),
    ):
        found = find_name(joined, name)
        if found is not None:
            joined[found] = value
    return joined


def _options(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, Any]]:
    for row in rows:
        for name in row:
            if numbered := _NUMBERED.fullmatch(name.strip()):
                values = cell(row, f"Attribute {numbered[1]} value(s)")
                for value in _split_commas(values):
                    yield row[name], value


def _split_commas(value: Any) -> list[str]:
    """Returns the parts of a cell; a comma of a part's own is written with a backslash."""
    if value is None:
        return []
    return [part.strip().replace("\\,", ",") for part in _ESCAPED_COMMA.split(str(value)) if part.strip()]


LAYOUTS = (
    Layout(
        name="woocommerce",
        title="WooCommerce's product export",
        kind="catalog",
        signatures=(
            ("ID", "Type", "SKU", "Name", "Regular price"),
            ("Type", "SKU", "Name", "Short description", "Categories"),
            ("ID", "Name", "In stock?", "Categories"),
        ),
        mapping=FileMapping(
            columns={
                "item_id": ["ID", "SKU"],
                "title": "Name",
                "description": ["Description", "Short description"],
                "category": "Categories",
                "brand": ["Brands", "Brand"],
                "price": ["Sale price", "Regular price"],
                "in_stock": "In stock?",
                "image_url": "Images",
                "sku": "SKU",
                "barcode": "GTIN, UPC, EAN, or ISBN",
                "tags": "Tags",
                "published": "Published",
                "visibility": "Visibility in catalog",
            },
            only={"published": ["1", "true"], "visibility": ["visible", "catalog", "search"]},
            ignore=[
                "Is featured?",
                "Short description",
                "Date sale price *",
                "Tax status",
                "Tax class",
                "Stock",
                "Low stock amount",
                "Backorders allowed?",
                "Sold individually?",
                "Allow customer reviews?",
                "Purchase note",
                "Shipping class",
                "Download *",
                "Parent",
                "Grouped products",
                "Upsells",
                "Cross-sells",
                "External URL",
                "Button text",
                "Position",
                "Meta: *",
                "Type",
            ],
        ),
        prepare=_prepare,
        explained="variations become part of their parent: its price is the lowest of theirs, and each attribute, such "
        "as Size, a column of all its values; of several categories the most precise is taken",
        comments={"item_id": "the ID of WordPress; take SKU where events name that"},
    ),
)
