"""What a query states beside its words is counted item by item; what an item does not say is half missed."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.retrieval.conditions import UNKNOWN, ConditionCheck
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser, UnderstoodQuery
from fuserank_export.index.units import unit_table

RECORDS = [
    {"title": "Whole milk 1/2 gal", "price": 2.0},
    {"title": "Whole milk gallon", "price": 4.0},
    {"title": "Gum without sugar 64 fl oz", "price": 10.0},
    {"title": "Sugar-free gum", "price": 1.0},
    {"title": "Gum, no sugar added; 12 pk", "price": np.nan},
    {"title": "Sugar gum", "description": "with real sugar. " * 40 + "1/2 gal", "price": 9.99},
]
PARSER = QueryParser(Synonyms({}), Quantities(unit_table()))
ROWS = np.arange(len(RECORDS), dtype=np.int32)


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions") / "lexical"
    LexicalIndex.write(folder, RECORDS, {"title": 3.0, "description": 1.0}, unit_table())
    columns = {"price": Column("number", np.asarray([record["price"] for record in RECORDS], np.float64))}
    ids = np.asarray([b"%d" % row for row in ROWS])
    items = Items(ids, ROWS, Columns(len(RECORDS), columns))
    return ConditionCheck(items, LexicalIndex.open(folder))


@pytest.mark.parametrize(
    ("query", "missed"),
    [
        ("half gallon milk", [0, 1, 0, 1, 1, 1]),
        ("milk 64 fl oz", [0, 1, 0, 1, 1, 1]),
        ("gum 12 count", [1, 1, 1, 1, 0, 1]),
        ("gum without sugar", [0, 0, 0, 0, 0, 1]),
        ("gum sugars-free", [0, 0, 0, 0, 0, 1]),
        ("gum no whole", [1, 1, 0, 0, 0, 0]),
        ("gum no zebra", [0, 0, 0, 0, 0, 0]),
        ("gum under $4", [0, 0, 1, 0, UNKNOWN, 1]),
        ("gum under $9.99", [0, 0, 1, 0, UNKNOWN, 0]),
        ("gum between 2 and 4", [0, 0, 1, 1, UNKNOWN, 1]),
        ("half gallon milk no sugar under $3", [0, 2, 1, 1, 1 + UNKNOWN, 3]),
    ],
)
def test_every_condition_that_an_item_misses_counts_one(check, query, missed):
    assert check.count_missed(ROWS, PARSER.parse(query)).tolist() == missed


def test_cheap_is_the_cheapest_third_of_the_items_that_are_compared(check):
    cheap = PARSER.parse("cheap gum")
    assert check.count_missed(ROWS, cheap).tolist() == [0, 1, 1, 0, UNKNOWN, 1]
    assert check.count_missed(ROWS[[1, 2, 5]], cheap).tolist() == [0, 1, 1]
    assert check.count_missed(ROWS[[4]], cheap).tolist() == [UNKNOWN]
    # The first three say what is cheap, however many follow: the same items miss the same.
    first = [1, 2, 5]
    assert check.count_missed(ROWS[[*first, 0, 3, 4]], cheap, depth=3).tolist() == [0, 1, 1, 0, 0, UNKNOWN]


def test_items_are_told_apart_whatever_their_order(check):
    query, order = PARSER.parse("half gallon gum no sugar"), ROWS[::-1].copy()
    assert check.count_missed(order, query).tolist() == check.count_missed(ROWS, query)[::-1].tolist()


def test_a_query_that_states_nothing_is_missed_by_none_nor_are_conditions_by_no_items(check):
    assert check.count_missed(ROWS, UnderstoodQuery.plain("gum")).tolist() == [0.0] * len(ROWS)
    assert check.count_missed(ROWS[:0], PARSER.parse("cheap gum no sugar")).tolist() == []
