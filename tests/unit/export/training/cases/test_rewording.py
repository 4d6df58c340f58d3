"""Made-up queries are worded as people do, often as they were, and what is right for them stays right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_export.training.cases.rewording import FILLERS, SHARES, reword
from fuserank_export.training.cases.synthetic import SyntheticQueries
from support.habits import ITEMS, LEAVES, TITLES


def worded(query, count=2_000, seed=1):
    draw = np.random.default_rng(seed)
    return [reword(query, draw) for _ in range(count)]


def test_about_half_of_the_queries_stay_as_they_are():
    unchanged = Counter(worded("whole milk"))["whole milk"] / 2_000
    assert 1 - sum(SHARES.values()) - 0.05 < unchanged < 1 - sum(SHARES.values()) + 0.1


def test_every_way_of_wording_occurs_and_each_keeps_the_query_recognisable():
    found = set(worded("whole milk"))
    assert {"milk whole", "milk", "whole", "whole milks", "whole milk please", "best whole milk"} <= found
    slips = {text for text in found if len(text.split()) == 2 and sorted(text) != sorted("whole milk")} - {
        "whole milks"
    }
    assert {len(text) for text in slips if " ".join(sorted(text.split())) != text} <= {9, 10, 11, 15}
    assert "whloe milk" in found, "two letters swapped"
    assert "whoe milk" in found, "one left out"
    assert "whoole milk" in found, "one doubled"


def test_the_same_draws_word_alike_and_others_differently():
    assert worded("whole milk", 50) == worded("whole milk", 50)
    assert worded("whole milk", 50) != worded("whole milk", 50, seed=2)


@pytest.mark.parametrize("query", ["", "绿茶", "café"])
def test_what_is_no_plain_latin_text_stays_as_it_is(query):
    assert set(worded(query, 200)) == {query}


def test_short_words_and_numbers_get_no_slips():
    fillers = {filler.format("tea 100") for filler in FILLERS}
    assert set(worded("tea 100")) <= {"tea 100", "100 tea", "tea", "100", "tea 100s", *fillers}


@given(st.text(alphabet="abcs '1-", min_size=1, max_size=20), st.integers(0, 2**20))
def test_a_query_with_words_never_becomes_one_without(query, seed):
    if query.strip():
        assert reword(query, np.random.default_rng(seed)).strip()


def test_a_reworded_query_means_what_it_meant_before():
    # No two titles share a word, so that each query is of one item or of one category.
    titles = [f"{chr(97 + i // 10)}{chr(97 + i % 10)}qu {chr(107 + i // 10)}{chr(107 + i % 10)}ze" for i in range(90)]
    synthetic, rows = SyntheticQueries(ITEMS, titles, 1), np.arange(len(ITEMS)).repeat(20)
    reworded = 0
    for row, query in zip(rows.tolist(), synthetic.draw(rows, np.random.default_rng(5)).tolist(), strict=True):
        relevant = synthetic.relevant(query).tolist()
        assert relevant in ([row], list(range(row % len(LEAVES), len(ITEMS), len(LEAVES)))), query
        reworded += query not in (*titles[row].split(), titles[row], LEAVES[row % len(LEAVES)].lower())
    assert reworded > 300


def test_a_query_that_was_never_drawn_has_no_right_items():
    assert SyntheticQueries(ITEMS, TITLES, 1).relevant("caviar").tolist() == []
