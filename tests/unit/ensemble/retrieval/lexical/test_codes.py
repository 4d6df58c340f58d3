"""A code has one key, however it is written and wherever its cell holds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.lexical.codes import LONGEST, code_key, code_keys, tells_apart


@pytest.mark.parametrize(
    "written", ["KLM-90.17", "klm 90 17", "KLM9017", "KLM_90/17", " klm-9017\u200b", "ＫＬＭ－９０１７"]
)
def test_separators_case_and_width_make_no_difference(written):
    assert code_key(written) == "klm9017"


def test_zeros_fill_up_a_barcode_but_are_part_of_a_short_code():
    assert code_key("036000291452") == code_key("0036000291452") == "36000291452"
    assert code_key("007") == "007"


@pytest.mark.parametrize(
    ("cell", "keys"),
    [
        ("AB-1, AB-2 | AB-3", ["ab1", "ab2", "ab3"]),
        (["AB-1", "AB-2"], ["ab1", "ab2"]),
        (4006381333931.0, ["4006381333931"]),
        (4006381333931, ["4006381333931"]),
        (0.5, []),
        (float("nan"), []),
        (float("inf"), []),
        (None, []),
        (True, []),
        ("", []),
        ("--", []),
        ("x" * (LONGEST + 1), []),
    ],
)
def test_a_cell_holds_any_number_of_codes(cell, keys):
    assert code_keys(cell) == keys


@pytest.mark.parametrize(
    ("key", "does"), [("klm9", True), ("40063", True), ("4006", False), ("klm", False), ("klmn", False)]
)
def test_few_characters_or_letters_alone_are_no_beginning_of_a_code(key, does):
    assert tells_apart(key) == does


@given(st.text(max_size=100))
def test_a_key_is_its_own_key(text):
    assert code_key(code_key(text)) == code_key(text)
