"""Four products of the demo's kind, and a product that finds them by their words."""

from __future__ import annotations

import math

import numpy as np

from fuserank_evaluation.datasets.shoppers import ShopperQuery

RECORDS = [
    {
        "item_id": kind,
        "title": title,
        "category": category,
        "department": department,
        "product_type": kind,
        "package_size": None,
        "price": 2.0,
    }
    for title, category, department, kind in (
        ("Whole Milk", "Grocery > Milk", "GROCERY", "milk"),
        ("Potato Chips", "Grocery > Snacks", "GROCERY", "chips"),
        ("Body Lotion", "Drug > Skin Care", "DRUG", "lotion"),
        ("Paper Towels", "Home > Paper", "HOME", "towels"),
    )
]


class WordProduct:
    """Stands in for `Product`: items with a word of the query first, then all others, in the catalogue's order.

    It remembers what it was asked.
    """

    records = RECORDS
    users = ("h1", "h2")

    def __init__(self):
        self.asked = []

    def answer(self, query, user="", **options):
        self.asked.append((query, user, options))
        words = set(query.lower().split())
        matching = [bool(words & set(record["title"].lower().split())) for record in self.records]
        return np.argsort(~np.asarray(matching), kind="stable").astype(np.int32)[: options.get("k", 10)]


def shopper_query(text, right, **changed):
    values = {
        "kind": "plain", "text": text, "right_types": right, "close_types": (), "categories": (), "size": "",
        "price_from": -math.inf, "price_to": math.inf, "ruled_out": "",
    }  # fmt: skip
    return ShopperQuery(**values | changed)
