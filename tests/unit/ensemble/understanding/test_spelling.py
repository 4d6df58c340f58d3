"""Words that nobody knows are corrected; words of a language, of the shop and of its synonyms are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from fuserank_ensemble.understanding.spelling import MOST_WORDS, Spelling

SHOP = ["cone", "milk", "toothpaste", "bread", "beef", "bed"]
ENGLISH = {"coke", "the", "milk"}
SYNONYMS = ("kitchen", "mascara", "mayo", "roll")


def similar(word, errors):
    return [known for known in SHOP if OSA.distance(word, known) <= errors]


SPELLING = Spelling(SHOP.__contains__, ENGLISH, similar, SYNONYMS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mlik", "milk"),
        ("milkk", "milk"),
        ("mascra", "mascara"),
        ("kitchen rlol", "kitchen roll"),
        ("toothpasst", "toothpaste"),
        ("tothpastee", "toothpaste"),  # two errors in a long word
        ("ground bef", "ground beef"),  # a short word that lacks a letter
        ("fresh Mlik please", "fresh milk please"),
    ],
)
def test_a_misspelt_word_is_corrected_and_said(typed, meant):
    text, corrected = SPELLING.correct(typed)
    assert text == meant
    assert [pair for pair in zip(typed.split(), meant.split(), strict=True) if pair[0] != pair[1]] == list(corrected)


@pytest.mark.parametrize("typed", ["mlik-20", "MLIK 20", "bread mlik-20", "mlik20/9"])
def test_the_letters_of_a_code_are_no_misspelt_word(typed):
    codes = {"mlik-20", "MLIK 20", "mlik20/9"}
    assert Spelling(SHOP.__contains__, ENGLISH, similar, SYNONYMS, codes.__contains__).correct(typed) == (typed, ())
    assert SPELLING.correct(typed)[0] != typed


@pytest.mark.parametrize(
    "typed",
    [
        "coke",  # no item has it, but it is a word
        "milk",
        "mayo",  # a synonym's word
        "zzzzzz",
        "bxd",  # three letters with one exchanged could be anything
        "mi",
        "boothpasta",  # two errors, one in the first letter
        "9f8g",
        "mílk",
        "牛奶 mi",
        "",
        "please",
    ],
)
def test_what_is_a_word_or_like_none_stays(typed):
    assert SPELLING.correct(typed) == (typed, ())


def test_a_word_with_the_same_first_letter_is_likelier():
    spelling = Spelling(lambda word: False, (), lambda word, errors: ["bread", "tread"])
    assert spelling.correct("tead")[0] == "tread"
    assert spelling.correct("bead")[0] == "bread"


def test_two_words_of_the_shop_that_were_written_as_one_are_parted():
    assert SPELLING.correct("beefbread please") == ("beef bread please", (("beefbread", "beef bread"),))
    assert SPELLING.correct("beefbr")[0] == "beefbr", "a part has three letters at least"


def test_fewer_errors_are_likelier_than_a_synonym():
    spelling = Spelling(lambda word: False, (), lambda word, errors: ["toothpick"], ["toothbrick"])
    assert spelling.correct("toothpck")[0] == "toothpick"


def test_a_word_of_the_language_is_likelier_than_an_abbreviation_of_the_catalogue():
    spelling = Spelling(lambda word: False, {"flour"}, lambda word, errors: ["flvr", "flour"])
    assert spelling.correct("flur")[0] == "flour"


def test_neither_a_word_without_end_nor_a_query_without_end_is_looked_up():
    looked_up = []

    def like_none(word, errors):
        looked_up.append(word)
        return []

    spelling = Spelling(lambda word: False, (), like_none, ["toothbrush"])
    for text in ("x" * 4_000, "ab" * 2_000):
        assert spelling.correct(text) == (text, ())
    assert looked_up == []
    spelling.correct(" ".join(["zqzqzq"] * 500))
    assert 0 < len(looked_up) <= 2 * MOST_WORDS


@given(st.text(max_size=60))
def test_any_text_is_answered_and_only_what_is_said_changes(text):
    corrected_text, corrected = SPELLING.correct(text)
    for typed, meant in corrected:
        assert typed in text
        assert meant in corrected_text
    assert corrected or corrected_text == text
