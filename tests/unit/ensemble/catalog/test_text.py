"""The text that the encoder reads is the same for equal items, whatever their catalogue's typing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.text import TemplateError, normalise, query_text, render, template_fields

TEMPLATE = "{title} | {brand} | {category} | {description:.10}"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"title": "Milk", "brand": "Acme", "category": "Food > Dairy"}, "Milk. Acme. Food, Dairy"),
        ({"title": "Milk"}, "Milk"),
        ({"title": "Milk", "brand": None, "category": float("nan"), "description": ""}, "Milk"),
        ({"title": "Milk", "description": "0123456789abc"}, "Milk. 0123456789"),
        ({"title": "Milk", "brand": ["Acme", "Zenith"]}, "Milk. Acme, Zenith"),
        ({"title": "Milk", "brand": []}, "Milk"),
        ({"title": "Milk", "brand": 0}, "Milk. 0"),
        ({"title": "1 {brand} | x", "brand": "a"}, "1 {brand} | x. a"),
        ({}, ""),
    ],
)
def test_segments_of_missing_fields_are_left_out_and_the_others_kept(record, text):
    assert render(TEMPLATE, record) == text


def test_a_segment_of_several_fields_needs_all_of_them():
    assert render("{title} ({year}) | {genres}", {"title": "Heat", "year": 1995.0, "genres": ["Crime"]}) == (
        "Heat (1995). Crime"
    )
    assert render("{title} ({year}) | {genres}", {"title": "Heat", "genres": ["Crime"]}) == "Crime"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("ＡＢＣ　１２３", "ABC 123"),
        ("绿茶（大）", "绿茶(大)"),
        ("ｶﾞﾑ", "ガム"),
        ("e\u0301", "é"),
        (" a\t\tb\r\nc\x00d ", "a b c d"),
        ("\x01\x02", ""),
        ("①kg ﬁne", "1kg fine"),
        ("Tarn™ Vorelo® Quell℠", "Tarn Vorelo Quell"),
        ("Tarnᵀᴹ", "Tarn"),
        ("2½ l, 1⅜″, ¾", '2 1/2 l, 1 3/8", 3/4'),
        ("10² 5×10⁻³ m² Tarnᴮ", "10 2 5×10 −3 m2 Tarn B"),
        ("H₂O Nº 5", "H2O No 5"),
        ("6′ 2″", "6' 2\""),
    ],
)
def test_full_width_and_control_characters_do_not_make_equal_texts_differ(written, text):
    assert normalise(written) == text


@given(st.text())
def test_normalising_is_idempotent_and_leaves_no_control_character_or_double_space(text):
    once = normalise(text)
    assert normalise(once) == once
    assert "  " not in once
    assert not any(ord(c) < 32 for c in once)


@pytest.mark.parametrize(
    ("template", "query", "text"),
    [
        ("query: {query}", "  ＭＩＬＫ\n2% ", "query: MILK 2%"),
        ("query: {query}", " \t ", ""),
        ("{query}", "{braces} and %s", "{braces} and %s"),
    ],
)
def test_a_query_is_wrapped_after_cleaning_and_an_empty_one_stays_empty(template, query, text):
    assert query_text(template, query) == text


def test_the_fields_of_a_template_are_found():
    assert template_fields(TEMPLATE) == {"title", "brand", "category", "description"}


@pytest.mark.parametrize("template", ["{title", "title}", "{title:{", "{title!}"])
def test_a_broken_template_is_refused_with_what_is_allowed(template):
    with pytest.raises(TemplateError, match=r"allowed: '\{field\}'"):
        render(template, {"title": "x"})


@pytest.mark.parametrize("template", ["{price:.2f}", "{}", "{title!x}", "{title:{width}}"])
def test_a_template_that_cannot_be_formatted_is_a_template_error(template):
    with pytest.raises(TemplateError, match="template"):
        render(template, {"title": "x", "price": 2.5, "": "y"})
