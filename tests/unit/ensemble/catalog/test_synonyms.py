"""Synonyms replace whole words and phrases, once, the longest first, and leave the rest of a text as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.synonyms import Synonyms

SYNONYMS = Synonyms(
    {
        "coke": "cola",
        "Coke Zero": "sugar-free cola",
        "pop": "soft drink",
        "cola": "soft drink",
        "tp": "toilet paper",
        "7-up": "lemon soda",
        "酸奶": "yogurt",
        "纸": "纸巾",
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coke", "cola"),
        ("COKE and Pop", "cola and soft drink"),
        ("a coke zero can", "a sugar-free cola can"),
        ("coke zeros", "cola zeros"),
        ("cokes", "cokes"),
        ("popcorn", "popcorn"),
        ("lollipop", "lollipop"),
        ("(tp)", "(toilet paper)"),
        ("7-up, cold", "lemon soda, cold"),
        ("原味酸奶", "原味yogurt"),
        ("酸奶纸", "yogurt纸巾"),
        ("milk", "milk"),
        ("", ""),
    ],
)
def test_whole_words_and_phrases_are_replaced_and_parts_of_words_never(text, expected):
    assert SYNONYMS.replace(text) == expected


def test_what_replaces_a_word_is_not_replaced_again():
    assert SYNONYMS.replace("coke") == "cola"
    assert Synonyms({"a": "b", "b": "a"}).replace("a b") == "b a"


def test_a_letter_whose_small_form_is_longer_leaves_a_text_as_it_is():
    assert SYNONYMS.replace("İ coke") == "İ coke"


def test_without_synonyms_every_text_stays():
    assert len(Synonyms({})) == 0
    assert Synonyms({}).replace("İ Coke") == "İ Coke"


def test_they_are_read_from_a_bundle_as_they_were_saved(tmp_path):
    SYNONYMS.save(tmp_path / "synonyms.json")
    opened = Synonyms.open(tmp_path / "synonyms.json")
    assert opened.replacements == SYNONYMS.replacements
    assert len(opened) == 8
    assert opened.replace("Coke Zero 酸奶") == "sugar-free cola yogurt"


@given(st.text(max_size=60))
def test_a_text_without_any_of_the_words_is_never_changed(text):
    strange = Synonyms({"qzqzqz": "x", "qzqzqz wv": "y"})
    if "qzqzqz" not in text.lower():
        assert strange.replace(text) == text


def test_the_words_of_all_phrases_are_sorted_and_in_lower_case():
    assert Synonyms({"Kitchen roll": "paper towels", "mascara": "makeup"}).words == ("kitchen", "mascara", "roll")
