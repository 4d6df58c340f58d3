"""One typing error a query: every kind is made, nothing else is changed, and what it costs is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_evaluation.shoppers.typos import ERRORS, LEAST_LETTERS, misspell, relative_loss

QUERIES = ["whole milk", "something for a headache", "12 oz tea", "绿茶 soap", "café"]


def changed_words(before, after):
    pairs = zip(before.split(), after.split(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_each_query_gets_every_kind_of_error_once_and_one_without_a_long_latin_word_none():
    made = list(misspell(QUERIES))
    assert [(one.position, one.error) for one in made] == [(i, error) for i in (0, 1, 3) for error in ERRORS]


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyzA 12'", max_size=30), max_size=4), st.integers(0, 99))
def test_exactly_one_long_word_is_changed_by_what_its_error_is_called(texts, seed):
    for one in misspell(texts, seed):
        ((old, new),) = changed_words(texts[one.position], one.text)
        assert len(old) >= LEAST_LETTERS
        assert len(new) - len(old) == {"omitted": -1, "doubled": 1, "swapped": 0, "neighbour": 0}[one.error]
        if one.error == "swapped":
            assert sorted(old) == sorted(new)
        if one.error == "neighbour":
            assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_the_same_query_gets_the_same_errors_wherever_it_stands_and_other_ones_under_another_seed():
    first = [one.text for one in misspell(QUERIES) if one.position == 1]
    assert [one.text for one in misspell(QUERIES[1:]) if one.position == 0] == first
    assert [one.text for one in misspell(QUERIES, seed=2) if one.position == 1] != first


@pytest.mark.parametrize(
    ("right", "wrong", "loss"), [([0.8, 0.8], [0.8, 0.64], 0.1), ([0.0], [0.0], 0.0), ([], [], 0.0), ([0.5], [1], -1)]
)
def test_a_loss_is_a_share_of_the_mean(right, wrong, loss):
    assert relative_loss(np.asarray(right, float), np.asarray(wrong, float)) == pytest.approx(loss)
