"""Magento's (Adobe Commerce's) product export: a row a product, configurable products with their variations.

The columns are those of https://experienceleague.adobe.com/en/docs/commerce-admin/systems/data-transfer/data-attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping, find_name
from fuserank_export.layouts.variants import cell, deepest, join_products, option_column, rules_of, take_all, to_frame

_NEXT_ATTRIBUTE = re.compile(r",(?=[A-Za-z]\w*=)")  # a comma before a name: values hold commas of their own
_DATES = ("%m/%d/%y, %I:%M %p", "%m/%d/%Y, %I:%M %p", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S")
ROOT = "Default Category"


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Joins variations to their configurable products, leaves store views out, and takes cells apart."""
    file = pd.concat(list(chunks))
    lines, rows = [], []
    for line, record in zip(file.index.tolist(), file.to_dict("records"), strict=True):
        row = {str(name): value for name, value in record.items()}
        # A store view's row repeats a product in another language; the product itself is that of all stores.
        if cell(row, "store_view_code") is None:
            lines.append(line)
            rows.append(row)
    number_of = {str(sku).strip(): number for number, row in enumerate(rows) if (sku := cell(row, "sku")) is not None}
    parents: dict[int, int] = {}
    for number, row in enumerate(rows):
        for variation in str(cell(row, "configurable_variations") or "").split("|"):
            child = number_of.get(dict(_attributes(variation)).get("sku", "").strip())
            if child is not None and child != number and not _is_shown(rows[child]):
                parents.setdefault(child, number)
    products: dict[int, list[int]] = {number: [number] for number in range(len(rows)) if number not in parents}
    for child, parent in parents.items():
        products.get(parent, []).append(child)
    rules = rules_of(map(str, file.columns), {"sku": take_all})
    joined = [_join([rows[member] for member in members], rules) for members in products.values()]
    yield to_frame(joined, [lines[number] for number in products], map(str, file.columns))


def _is_shown(row: Mapping[str, Any]) -> bool:
    """Returns whether a product has a page of its own."""
    return "not visible" not in str(cell(row, "visibility") or "Not Visible Individually").casefold()


def _join(rows: Sequence[Mapping[str, Any]], rules: Mapping[str, Any]) -> dict[str, Any]:
    product, variations = rows[0], rows[1:]
    options = [
        (name, value)
        for variation in str(cell(product, "configurable_variations") or "").split("|")
        for name, value in _attributes(variation)
        if name != "sku"
    ]
    joined = join_products(rows, rules, options)
    skus = joined.pop(find_name(joined, "sku") or "", None)
    sku_column = find_name(product, "sku")
    if sku_column is not None:
        joined = {sku_column: product[sku_column], **joined}
        if isinstance(skus, list) and len(skus) > 1:
            joined["variant_sku"] = skus
    for name, value in _attributes(str(cell(product, "additional_attributes") or "")):
        column = option_column(name, [known for known in joined if known not in dict(options)])
        joined.setdefault(column, value.split("|") if "|" in value else value)
    _set(joined, "price", _price(product, variations))
    _set(joined, "is_in_stock", _stock(variations) if variations else cell(product, "is_in_stock"))
    paths = [path.strip().removeprefix(ROOT).strip("/") for path in str(cell(product, "categories") or "").split(",")]
    _set(joined, "categories", deepest(paths, "/"))
    _set(joined, "created_at", _iso(cell(product, "created_at")))
    return joined


def _set(row: dict[str, Any], name: str, value: Any) -> None:
    found = find_name(row, name)
    if found is not None:
        row[found] = value


def _price(product: Mapping[str, Any], variations: Sequence[Mapping[str, Any]]) -> Any:
    """Returns a product's price, special where it has one; the lowest of its variations where it has none itself."""
    prices = []
    for row in variations if variations else [product]:
        price = cell(row, "special_price") or cell(row, "price")
        if price is not None:
            prices.append(price)
    try:
        return min(prices, key=lambda price: float(str(price)), default=cell(product, "price"))
    except ValueError:
        return prices[0]


def _stock(variations: Sequence[Mapping[str, Any]]) -> str | None:
    stock = [str(value).strip() for row in variations if (value := cell(row, "is_in_stock")) is not None]
    return ("1" if any(value in ("1", "1.0", "true") for value in stock) else "0") if stock else None


def _attributes(text: str) -> list[tuple[str, str]]:
    """Returns the names and values of `name=value,name=value`."""
    pairs = [part.partition("=") for part in _NEXT_ATTRIBUTE.split(text) if "=" in part]
    return [(name.strip(), value.strip().strip('"')) for name, _, value in pairs if name.strip() and value.strip()]


def _iso(value: Any) -> Any:
    """Returns a moment as ISO 8601; as it is where it has no form of Magento's."""
    for form in _DATES:
        try:
            return datetime.strptime(str(value).replace("\u202f", " "), form).isoformat()
        except ValueError:
            continue
    return value


LAYOUTS = (
    Layout(
        name="magento",
        title="Magento's product export",
        kind="catalog",
        signatures=(
            ("sku", "attribute_set_code", "product_type", "name"),
            ("sku", "name", "additional_attributes", "categories"),
        ),
        mapping=FileMapping(
            columns={
                "item_id": "sku",
                "title": "name",
                "description": ["description", "short_description"],
                "category": "categories",
                "brand": ["manufacturer", "brand"],
                "price": "price",
                "in_stock": "is_in_stock",
                "created_at": "created_at",
                "image_url": ["base_image", "small_image", "thumbnail_image"],
                "online": "product_online",
                "visibility": "visibility",
            },
            only={"online": ["1"], "visibility": ["Catalog, Search", "Catalog", "Search"]},
            ignore=[
                "store_view_code",
                "product_websites",
                "short_description",
                "tax_class_name",
                "special_price*",
                "map_*",
                "msrp_*",
                "meta_*",
                "*_image",
                "*_image_label",
                "swatch_*",
                "additional_image*",
                "additional_attributes",
                "updated_at",
                "new_*_date",
                "display_product_options_in",
                "gift_message_*",
                "custom_*",
                "page_layout",
                "product_options_container",
                "country_of_manufacture",
                "qty",
                "out_of_stock_qty",
                "use_config_*",
                "is_qty_decimal",
                "allow_backorders",
                "*_cart_qty",
                "notify_*",
                "manage_stock",
                "qty_increments",
                "enable_qty_increments",
                "is_decimal_divided",
                "website_id",
                "related_*",
                "crosssell_*",
                "upsell_*",
                "hide_from_product_page",
                "bundle_*",
                "associated_skus",
                "configurable_variation*",
                "deferred_stock_update",
            ],
        ),
        prepare=_prepare,
        explained="variations without a page of their own become part of their configurable product, with a column for "
        "each option; rows of single store views are left out, additional_attributes become columns, and of several "
        "categories the most precise is taken",
        comments={"item_id": "the log must name items by it"},
    ),
)
