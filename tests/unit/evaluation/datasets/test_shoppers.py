"""The shoppers' queries are well formed, and grades follow what each asks for, on a made catalogue."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from fuserank_evaluation.datasets.shoppers import CLOSE, RIGHT, ShopperAnswers, ShopperQuery, read_shopper_queries

QUERIES = read_shopper_queries()
KINDS = {
    "plain", "synonym", "brand", "size", "price", "number", "negation", "use", "typo", "plural", "order", "two",
    "sense", "short", "long", "none",
}  # fmt: skip


def test_there_are_over_three_hundred_queries_of_every_kind_and_none_twice():
    assert len(QUERIES) > 300
    assert len({query.text for query in QUERIES}) == len(QUERIES)
    counts = Counter(query.kind for query in QUERIES)
    assert set(counts) == KINDS
    assert min(counts.values()) >= 5


def test_the_halves_are_about_as_large_and_both_hold_every_larger_kind():
    halves = Counter(query.half for query in QUERIES)
    assert set(halves) == {"tuned", "held"}
    assert min(halves.values()) > 0.4 * len(QUERIES)
    by_kind = Counter((query.kind, query.half) for query in QUERIES)
    assert all(by_kind[kind, half] > 0 for kind in KINDS - {"none"} for half in halves)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.text)
def test_every_row_is_well_formed(query):
    assert query.text == " ".join(query.text.split())
    for pattern in (*query.right_types, *query.close_types):
        assert pattern == pattern.strip().lower() != ""
        assert not set(pattern) & set("[]"), "a bracket is a class of characters to fnmatch"
    assert bool(query.right_types) == (query.kind != "none")
    assert not set(query.right_types) & set(query.close_types)
    assert re.compile(query.size or "x", re.IGNORECASE).search("") is None, "a pattern that holds everywhere"
    assert re.compile(query.ruled_out or "x", re.IGNORECASE).search("") is None
    assert query.price_from < query.price_to


def test_queries_of_a_kind_ask_for_what_the_kind_says():
    sizes = [bool(query.size) for query in QUERIES if query.kind == "size"]
    assert sum(sizes) > len(sizes) / 2, "of some, such as eggs, the type says the size"
    assert any(query.ruled_out for query in QUERIES if query.kind == "negation")
    assert any(math.isfinite(query.price_to) for query in QUERIES if query.kind == "price")


CATALOG = pd.DataFrame(
    [
        ("Milk Half Gallon", "Grocery > Fluid Milk", "GROCERY", "fluid milk white only", "1/2 GA", 2.0),
        ("Milk Gallon", "Grocery > Fluid Milk", "GROCERY", "fluid milk white only", "1 GA", 4.0),
        ("Chocolate Milk", "Grocery > Fluid Milk", "GROCERY", "chocolate milk", None, 3.0),
        ("Milk of Roses", "Drug > Skin Care", "DRUG GM", "fluid milk white only", "8 OZ", np.nan),
        ("Soap", "Drug > Soap", "DRUG GM", "soap bar", None, 1.0),
        (None, None, None, None, None, np.nan),
    ],
    columns=["title", "category", "department", "product_type", "package_size", "price"],
)
ANSWERS = ShopperAnswers(CATALOG)


def query(**changed):
    values = {
        "kind": "plain", "text": "milk", "right_types": ("fluid milk*",), "close_types": ("chocolate milk",),
        "categories": (), "size": "", "price_from": -math.inf, "price_to": math.inf, "ruled_out": "",
    }  # fmt: skip
    return ShopperQuery(**values | changed)


@pytest.mark.parametrize(
    ("changed", "grades"),
    [
        ({}, [RIGHT, RIGHT, CLOSE, RIGHT, 0, 0]),
        # Of another size or price it is what a shopper might take instead; an unknown price is none.
        ({"size": r"1/2 ga"}, [RIGHT, CLOSE, CLOSE, CLOSE, 0, 0]),
        ({"price_to": 3.0}, [RIGHT, CLOSE, CLOSE, CLOSE, 0, 0]),
        ({"price_from": 3.0}, [CLOSE, RIGHT, CLOSE, CLOSE, 0, 0]),
        ({"categories": ("fluid milk",)}, [RIGHT, RIGHT, CLOSE, 0, 0, 0]),
        ({"ruled_out": "roses|gallon$"}, [0, 0, CLOSE, 0, 0, 0]),
        ({"right_types": ()}, [0, 0, CLOSE, 0, 0, 0]),
    ],
)
def test_grades_follow_type_size_price_sense_and_what_is_ruled_out(changed, grades):
    found = ANSWERS.find(query(**changed))
    assert found.grades.tolist() == grades
    assert found.grades.dtype == np.int8


def test_an_item_is_absurd_where_it_is_no_answer_and_from_another_department():
    found = ANSWERS.find(query(categories=("fluid milk",)))
    assert found.absurd.tolist() == [False, False, False, True, True, True]
    assert found.of_right_type.tolist() == [True, True, False, False, False, False]
    assert not ANSWERS.find(query()).absurd[[3, 4]].any(), "roses are of the department, and so is soap"
