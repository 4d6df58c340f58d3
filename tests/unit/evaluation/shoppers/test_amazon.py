"""Amazon's queries: what is measured over the judged items, and what typing errors and parts of the product change."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.shoppers.amazon import judged_by_gain, typo_figures
from fuserank_evaluation.shoppers.answers import measure_ndcg
from fuserank_evaluation.shoppers.typos import ERRORS
from support.grocery_shop import WordProduct

QUERIES = EsciQueries(["q0", "q1"], ["lotion", "a b c"], {"q0": {"lotion": 3, "milk": 0}, "q1": {"milk": 3}})


@pytest.fixture
def product():
    return WordProduct()


def test_ndcg_follows_the_gains_of_the_grades(product):
    listed = [np.asarray([2, 0], np.int32), np.asarray([1, 0], np.int32)]
    np.testing.assert_allclose(measure_ndcg(product, judged_by_gain(QUERIES), listed), [1, 1 / np.log2(3)], atol=1e-6)


def test_a_typing_error_costs_what_its_lists_lose_and_queries_without_long_words_take_no_part(product):
    listed = [product.answer(text) for text in QUERIES.texts]
    product.asked.clear()
    figures = typo_figures(product, QUERIES, listed)
    assert len(product.asked) == len(ERRORS)
    # Without its word the item stands third.
    assert figures == {"esci_typo_loss": pytest.approx(0.5)}
