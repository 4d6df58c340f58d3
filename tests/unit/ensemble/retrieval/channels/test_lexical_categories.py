"""A category that is called as the query is, and lists more things, is meant before what only has the query's words."""

from __future__ import annotations

import pytest

from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical.documents import first_part
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_export.index.units import unit_table
from support.lexical import FIELDS, rows

SHOP = [
    {"title": "Ice Cream Toppings", "category": "Grocery > Syrups/Toppings > Ice Cream Toppings"},
    {"title": "Traditional, half gallon", "category": "Frozen > Ice Cream/Milk/Sherbets > Traditional"},
    {"title": "Smoked pork", "category": "Meat > Beef/Pork Ribs"},
    {"title": "Beef jerky", "category": "Snacks"},
    {"title": "可可甜筒", "category": "冷冻食品 > 冰淇淋/雪糕"},
    {"title": "冰淇淋配料 可可", "category": "烘焙 > 配料"},
]


@pytest.fixture(scope="module")
def channel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("categories") / "index"
    LexicalIndex.write(folder, SHOP, FIELDS, unit_table())
    return LexicalChannel(LexicalIndex.open(folder), len(SHOP))


@pytest.mark.parametrize(
    ("query", "best"),
    [("ice cream", [1, 0]), ("Ice-Creams", [1, 0]), ("ice cream toppings", [0]), ("syrup", [0]), ("冰淇淋", [4, 5])],
)
def test_a_list_of_things_is_called_by_the_first_of_them(channel, query, best):
    assert rows(channel, query)[: len(best)] == best


def test_things_that_share_their_last_word_are_not_told_apart(channel):
    assert rows(channel, "beef")[0] == 3


@pytest.mark.parametrize(
    ("level", "part"),
    [
        ("Ice Cream/Milk/Sherbets", "Ice Cream"),
        ("Cookies / Cones", "Cookies"),
        ("Beef/Pork Ribs", ""),
        ("Cookies", ""),
        ("/Cones", ""),
        ("Cones/", ""),
        ("/", ""),
        ("", ""),
    ],
)
def test_the_first_part_of_a_level(level, part):
    assert first_part(level) == part
