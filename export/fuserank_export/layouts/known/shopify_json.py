"""Shopify's products as JSON: `/products.json` of a shop, and the Admin API's answer; an object a product.

The fields are those of https://shopify.dev/docs/api/admin-rest/latest/resources/product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from fuserank_export.layouts.known.shopify import NO_OPTION, OPTIONS
from fuserank_export.layouts.layout import Layout
from fuserank_export.layouts.mapping import FileMapping
from fuserank_export.layouts.variants import is_blank, option_column, take_all, take_lowest, to_frame

_LISTS = ("variants", "images", "options", "image")


def _prepare(chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Gives each product the lowest price of its variants, their codes and options, its stock and first picture."""
    for chunk in chunks:
        names = [str(name) for name in chunk.columns if str(name) not in _LISTS]
        rows = [_product({str(name): value for name, value in row.items()}) for row in chunk.to_dict("records")]
        yield to_frame(rows, chunk.index.tolist(), names)


def _product(row: Mapping[str, Any]) -> dict[str, Any]:
    variants = _objects(row.get("variants"))
    pictures = [picture.get("src") for picture in [*_objects([row.get("image")]), *_objects(row.get("images"))]]
    tags = row.get("tags")
    product = {name: value for name, value in row.items() if name not in _LISTS} | {
        "price": take_lowest([variant["price"] for variant in variants if not is_blank(variant.get("price"))]),
        "sku": take_all([variant["sku"] for variant in variants if not is_blank(variant.get("sku"))]),
        "barcode": take_all([variant["barcode"] for variant in variants if not is_blank(variant.get("barcode"))]),
        "in_stock": _in_stock(variants),
        "image_url": next((picture for picture in pictures if not is_blank(picture)), None),
        "tags": [tag.strip() for tag in tags.split(",") if tag.strip()] if isinstance(tags, str) else tags,
    }
    for place, option in zip(OPTIONS, _objects(row.get("options")), strict=False):
        name = str(option.get("name") or "").strip()
        values = [variant.get(f"option{place}") for variant in variants]
        values = [value for value in values if not is_blank(value) and (name, value) != NO_OPTION]
        if name and values:
            product[option_column(name, product)] = take_all(values)
    return product


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _in_stock(variants: list[dict[str, Any]]) -> bool | None:
    """Returns whether a variant can be had; None where none of them says."""
    known: list[bool] = []
    for variant in variants:
        if isinstance(variant.get("available"), bool):
            known.append(variant["available"])
        elif variant.get("inventory_policy") == "continue":
            known.append(True)
        elif isinstance(variant.get("inventory_quantity"), int):
            known.append(variant["inventory_quantity"] > 0 or variant.get("inventory_management", "") is None)
    return any(known) if known else None


LAYOUTS = (
    Layout(
        name="shopify-json",
        title="Shopify's products as JSON",
        kind="catalog",
        signatures=(("id", "handle", "title", "body_html", "variants"),),
        mapping=FileMapping(
            columns={
                "item_id": "id",
                "title": "title",
                "description": "body_html",
                "brand": "vendor",
                "category": "product_type",
                "price": "price",
                "image_url": "image_url",
                "created_at": "created_at",
                "sku": "sku",
                "barcode": "barcode",
                "tags": "tags",
                "status": "status",
            },
            only={"status": ["active"]},
            ignore=[
                "admin_graphql_api_id",
                "published_at",
                "published_scope",
                "template_suffix",
                "updated_at",
            ],
        ),
        prepare=_prepare,
        explained="a product's price is the lowest of its variants, and each option, such as Color, a column of all "
        "its values",
        comments={"item_id": "the log must name items by it; or take handle"},
    ),
)
