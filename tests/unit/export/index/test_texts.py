"""Texts outside of Python's heap are the texts that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_export.index import texts as module
from fuserank_export.index.texts import TextColumn, TextNumbers

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=12)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)


@given(TEXTS, st.slices(12))
def test_a_column_reads_as_a_list_does(texts, part):
    column = TextColumn(iter(texts))
    assert list(column) == texts
    assert len(column) == len(texts)
    assert [column[number] for number in range(len(texts))] == texts
    assert list(column[part]) == texts[part]
    numbers = np.arange(len(texts), dtype=np.int32)[::-1]
    assert column.take(numbers) == texts[::-1]
    assert list(TextColumn(column)) == texts


@given(TEXTS)
def test_distinct_texts_are_numbered_as_they_come(texts):
    codes, distinct = TextColumn(texts).distinct()
    assert list(distinct) == list(dict.fromkeys(texts))
    assert [distinct[code] for code in codes.tolist()] == texts
    assert codes.dtype == np.int32


@given(TEXTS, st.text(max_size=3))
def test_the_last_number_of_a_text_is_found(texts, other):
    numbers = TextNumbers(TextColumn(texts))
    last = {text: number for number, text in enumerate(texts)}
    assert {text: numbers.find(text) for text in texts} == last
    assert numbers.find(other) == last.get(other, -1)


def test_texts_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "hash", len, raising=False)
    numbers = TextNumbers(TextColumn(["ab", "cd", "ab", "e"]))
    assert [numbers.find(text) for text in ("ab", "cd", "e", "ef", "abc")] == [2, 1, 3, -1, -1]
