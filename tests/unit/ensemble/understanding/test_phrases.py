"""Quotation marks make phrases where they enclose words; marks of inches and feet never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.understanding.phrases import find_phrases


def phrases(text):
    return [text[phrase.start : phrase.end] for phrase in find_phrases(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"cast iron" pan', ["cast iron"]),
        ('pan 10" "cast iron"', ["cast iron"]),
        ('"size 9" and "navy"', ["size 9", "navy"]),
        ('galaxy 24 "clear case"', ["clear case"]),
        ("“wool socks” warm", ["wool socks"]),
        ("„rote Lampe“ groß", ["rote Lampe"]),
        ("«настольная лампа»", ["настольная лампа"]),
        ('牛奶"纯牛奶"盒装', ["纯牛奶"]),
        ("「抹茶」ラテ", ["抹茶"]),
        ('"10" pan"', ['10" pan']),
    ],
)
def test_what_quotation_marks_enclose_is_a_phrase(text, expected):
    assert phrases(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'pan 10" lid 2" deep',
        'frame 8"x10" oak 2"',
        '10" 12" 14"',
        '55 "TV 60" stand',
        '"milk',
        'milk"',
        '""',
        '"-"',
        '" pan "',
        'pan " iron',
    ],
)
def test_inches_and_stray_marks_are_no_phrase(text):
    assert phrases(text) == []


@given(st.text(alphabet='ab1 "“”', max_size=40))
def test_a_phrase_has_a_mark_on_each_side_and_a_word_within(text):
    for phrase in find_phrases(text):
        assert text[phrase.start - 1] in '"“”'
        assert text[phrase.end] in '"“”'
        assert any(map(str.isalnum, text[phrase.start : phrase.end]))
