"""Completions begin as typed, then hold the words, then forgive a slip; the popular come first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.lexical.suggest import Suggester, collect_phrases

PHRASES = [
    ("Milk", 50.0),
    ("milk", 5.0),
    ("whole milk", 80.0),
    ("milk chocolate", 30.0),
    ("Chocolate Milk", 20.0),
    ("Café crème", 10.0),
    ("无糖可乐", 40.0),
    ("可乐 500ml", 35.0),
    ("牛奶", 3.0),
    ("strawberry yogurt", 7.0),
    ("a very long phrase about extraordinary strawberries", 1.0),
    ("pizza 🍕", 2.0),
    ("", 1000.0),
    ("\x00 !!", 1000.0),
    ("x" * 100_000, 1000.0),
    ("broken", float("nan")),
]


@pytest.fixture(scope="module")
def suggester(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest") / "phrases"
    assert Suggester.write(folder, PHRASES) == 12
    for file in folder.iterdir():
        file.chmod(0o400)
    folder.chmod(0o500)
    before = sorted(folder.iterdir())
    opened = Suggester.open(folder)
    assert sorted(folder.iterdir()) == before
    folder.chmod(0o700)
    return opened


def texts(suggester, prefix, count=10):
    return [text for text, _ in suggester.complete(prefix, count)]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("mil", ["Milk", "milk chocolate", "whole milk", "Chocolate Milk"]),
        ("MILK", ["Milk", "milk chocolate", "whole milk", "Chocolate Milk"]),
        ("milk ", ["milk chocolate", "whole milk", "Milk", "Chocolate Milk"]),
        ("milk ch", ["milk chocolate", "Chocolate Milk"]),
        ("milk who", ["whole milk"]),
        ("chocolate mil", ["Chocolate Milk", "milk chocolate"]),
        ("cafe cr", ["Café crème"]),
        ("无糖", ["无糖可乐"]),
        ("無糖", ["无糖可乐"]),
        ("无", ["无糖可乐"]),
        ("可乐", ["可乐 500ml", "无糖可乐"]),
        ("strawbery yo", ["strawberry yogurt"]),
        ("stawberi", ["strawberry yogurt", "a very long phrase about extraordinary strawberries"]),
        ("chocolaet", ["milk chocolate", "Chocolate Milk"]),
        ("a very long phrase ab", ["a very long phrase about extraordinary strawberries"]),
        ("extraordinary str", ["a very long phrase about extraordinary strawberries"]),
        ("extraordinar", ["a very long phrase about extraordinary strawberries"]),
        ("🍕", ["pizza 🍕"]),
        ("mlk", []),
        ("zzzz", []),
        (".*", ["whole milk"]),
        ("(", ["whole milk"]),
    ],
)
def test_a_prefix_is_completed(suggester, prefix, expected):
    assert texts(suggester, prefix)[: max(len(expected), 1)] == expected


def test_equal_phrases_are_merged_and_shown_as_their_most_popular_spelling(suggester):
    assert suggester.complete("milk", 1) == [("Milk", 55.0)]


def test_an_empty_prefix_gives_the_most_popular_and_counts_are_kept(suggester):
    assert suggester.complete("", 3) == [("whole milk", 80.0), ("Milk", 55.0), ("无糖可乐", 40.0)]
    assert suggester.complete("  ", 1) == [("whole milk", 80.0)]
    assert len(texts(suggester, "", 1000)) == 12
    assert suggester.complete("milk", 0) == []


def test_a_prefix_of_100_kb_is_answered(suggester):
    assert texts(suggester, "milk " * 20_000)[0] == "whole milk"
    assert texts(suggester, "x" * 100_000) == []


@given(st.text(max_size=30), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_any_prefix_gives_at_most_the_count_without_repeats(suggester, prefix, count):
    found = texts(suggester, prefix, count)
    assert len(found) == len(set(found)) <= count


def test_no_phrases_at_all_complete_nothing(tmp_path):
    assert Suggester.write(tmp_path / "none", []) == 0
    assert Suggester.open(tmp_path / "none").complete("", 5) == []


def test_phrases_are_gathered_from_titles_and_queries():
    gathered = collect_phrases(
        ["Milk", "milk", "Tea", "!!"], np.array([1.0, 2.0, 2.5, 9.0], np.float32), {"tea": 4, "  ": 8}
    )
    assert gathered == [("tea", 6.5), ("milk", 3.0)]
    with pytest.raises(ValueError, match="zip"):
        collect_phrases(["Milk"], np.zeros(2, np.float32), {})
