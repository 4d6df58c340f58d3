"""Plain search is BM25, cosine and their fusion over the same texts, and nothing of this project's own."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_evaluation.baselines import plain_search
from fuserank_evaluation.baselines.plain_search import PlainSearch

TEXTS = ["whole milk", "goat cheese", "milk chocolate with milk", "paper towels", "whole milk"]
TEXT_OF = np.asarray([0, 1, 2, 3, 0], np.int32)
VECTORS = np.asarray([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float16)


@pytest.fixture(scope="module")
def plain():
    return PlainSearch(TEXTS, VECTORS, TEXT_OF)


def search(plain, query, embedding=(1, 0)):
    return {name: rows.tolist() for name, rows in plain.search(query, np.asarray(embedding, np.float32)).items()}


def test_words_are_ranked_by_bm25_and_meaning_by_cosine(plain):
    found = search(plain, "goat milk", (0, 1))
    assert found["bm25"][0] == 1, "the rarer word counts more"
    assert set(found["bm25"]) == {0, 1, 2, 4}
    assert found["dense"] == [3, 2, 1, 0, 4]


def test_items_of_one_text_stand_beside_each_other_in_the_order_of_rows(plain):
    assert search(plain, "milk")["dense"][:2] == [0, 4]


def test_fusion_prefers_what_both_lists_have_high(plain):
    found = search(plain, "chocolate", (0.6, 0.8))
    assert found["bm25"] == [2]
    assert found["dense"][:2] == [2, 1]
    assert found["rrf"][0] == 2
    assert set(found["rrf"]) == set(range(len(TEXTS)))


@pytest.mark.parametrize("query", ["", "zebra", "AND (title:* OR ~^", '"milk', "牛奶", "-milk"])
def test_a_query_that_words_do_not_find_is_answered_by_meaning(plain, query):
    found = search(plain, query)
    assert len(found["dense"]) == len(TEXTS)
    assert set(found["bm25"]) <= set(found["rrf"]) == set(range(len(TEXTS)))


def test_a_colon_in_a_query_names_no_field(plain):
    assert search(plain, "goat: cheese")["bm25"] == search(plain, "goat cheese")["bm25"] == [1]


def test_lists_are_cut_to_the_depth_that_a_shop_would_ask_for(monkeypatch):
    monkeypatch.setattr(plain_search, "DEPTH", 2)
    found = search(PlainSearch(TEXTS, VECTORS, TEXT_OF), "milk")
    assert [len(rows) for rows in found.values()] == [2, 2, 2]
