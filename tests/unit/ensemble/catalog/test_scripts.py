"""A text's letters tell which scripts it is written in; digits and marks tell nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.scripts import SCRIPTS, blank_unread, count_letters, is_written_in, script_runs


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Käse 250 g", {"latin": 5}),
        ("настольная LED", {"cyrillic": 10, "latin": 3}),
        ("抹茶ラテ 2", {"han": 2, "kana": 2}),
        ("녹차", {"hangul": 2}),
        ("ชาเขียว", {"thai": 7}),
        ("شاي أخضر", {"arabic": 7}),
        ("12½ — !", {}),
    ],
)
def test_letters_are_counted_by_script(text, counts):
    assert count_letters(text) == counts


@pytest.mark.parametrize(
    ("text", "scripts", "expected"),
    [
        ("抹茶", ("han",), True),
        ("matcha 抹茶", ("han",), False),
        ("tea 抹茶茶", ("han",), True),
        ("抹茶ラテ", ("han",), True),
        ("green tea", ("han",), False),
        ("green tea", ("latin",), True),
        ("抹茶", (), False),
        ("12", ("han", "latin"), False),
        ("", ("han",), False),
    ],
)
def test_a_text_is_written_in_what_half_of_its_letters_are_of(text, scripts, expected):
    assert is_written_in(text, scripts) == expected


@given(st.text(max_size=30))
def test_runs_are_of_one_script_and_in_the_texts_order(text):
    runs = script_runs(text)
    assert all(re.fullmatch(f"[{SCRIPTS[script]}]+", run) for script, run in runs)
    assert re.search(".*".join(re.escape(run) for _, run in runs), text, re.DOTALL)


def test_only_the_embeddings_of_unread_texts_become_zeros():
    embeddings = np.ones((3, 2), np.float32)
    blanked = blank_unread(embeddings, ["抹茶", "matcha", ""], ("han",))
    assert blanked.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert blanked.dtype == np.float32
    assert blank_unread(embeddings, ["抹茶", "matcha", ""], ()) is embeddings
    assert embeddings.all()
