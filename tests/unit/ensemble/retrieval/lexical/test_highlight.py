"""Matched words are marked as the text writes them, and nothing of a text is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.lexical.highlight import Highlighter


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("milk", "Organic Milk, half gallon", ["Milk"]),
        ("tomato", "Ripe TOMATOES 500g", ["TOMATOES"]),
        ("creme brulee", "Crème Brûlée (2)", ["Crème", "Brûlée"]),
        ("crème", "cre\u0300me fraiche", ["cre\u0300me"]),
        ("mens shoes", "Men's shoe", ["Men's", "shoe"]),
        ("women coat", "woman’s coats", ["woman’s", "coats"]),
        ("500 ml", "Shampoo 500ml", ["500", "ml"]),
        ("绿茶", "特级绿茶 200克", ["绿茶"]),
        ("绿茶", "特級綠茶", ["綠茶"]),
        ("tea", "绿茶tea bags", ["tea"]),
        ("the milk", "the milk of the day", ["milk"]),
        ("milk", "milkshake", []),
        ("bread", "Milk", []),
    ],
)
def test_words_are_marked_whatever_their_case_accents_inflection_and_script(query, text, marked):
    parts = Highlighter(query).parts(text)
    assert parts[1::2] == marked
    assert "".join(parts) == (text if marked else "")


def test_a_synonym_is_marked():
    def replace(text):
        return text.replace("Pop", "soda")

    assert Highlighter("soda", replace).parts("Cola Pop")[1::2] == ["Pop"]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(alphabet="a é绿's1 .", max_size=12))
def test_parts_joined_are_the_text(text, query):
    parts = Highlighter(query).parts(text)
    assert "".join(parts) == (text if parts else "")
    assert all(parts[1::2])
