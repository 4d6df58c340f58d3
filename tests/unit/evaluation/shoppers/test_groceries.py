"""Groceries in shoppers' words: figures by half, and what typing errors and single parts of the product change."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_evaluation.datasets.shoppers import Answers
from fuserank_evaluation.shoppers import groceries
from fuserank_evaluation.shoppers.groceries import Asked, ask_mistyped, measure, typo_figures, typos_by_error
from fuserank_evaluation.shoppers.typos import ERRORS
from support.grocery_shop import WordProduct, shopper_query


def answers(grades):
    graded = np.asarray(grades, np.int8)
    return Answers(graded, graded == 2, graded == 0)


def asked_plainly(product, *queries):
    return [Asked(one, "h1", answers(grades), {"product": product.answer(one.text)}, True) for one, grades in queries]


@pytest.fixture
def product():
    return WordProduct()


@pytest.fixture
def asked(product):
    return asked_plainly(
        product,
        (shopper_query("towels", ("towels",)), [0, 0, 0, 2]),
        (shopper_query("body lotion", ("lotion",)), [0, 0, 2, 0]),
        (shopper_query("towles", ("towels",), kind="typo"), [0, 0, 0, 2]),
        (shopper_query("spaceship", ()), [0, 0, 0, 0]),
    )


def test_answered_queries_without_an_error_of_their_own_are_asked_with_each(product, asked):
    mistyped = ask_mistyped(product, asked)
    assert [one.error for one in mistyped] == [*ERRORS, *ERRORS]
    assert {one.asked.query.text for one in mistyped} == {"towels", "body lotion"}
    assert [query for query, *_ in product.asked[-8:]] == [one.text for one in mistyped]


def test_the_loss_is_that_of_the_mean_and_its_table_says_which_errors_cost_it(product, asked, monkeypatch):
    monkeypatch.setattr(groceries.ShopperQuery, "half", property(lambda query: "tuned"))
    mistyped = ask_mistyped(product, asked)
    # The fourth item sinks from first to fourth place where its only word is unknown: 1 / log2(5) is left.
    left = [measure([one.asked], "mistyped")["ndcg_at_10"][0] for one in mistyped]
    assert left[:4] == [pytest.approx(1 / np.log2(5), abs=1e-4)] * 4
    figures = typo_figures(mistyped)
    assert figures == {
        "shopper_tuned_typo_loss": pytest.approx(1 - np.mean(left), abs=1e-4),
        "shopper_held_typo_loss": 0,
    }
    head, *rows = typos_by_error(mistyped, "tuned")
    assert [row[0] for row in rows] == list(ERRORS)
    assert rows[0][1:] == ["2", "1.000", f"{(left[0] + left[4]) / 2:.3f}", f"{1 - (left[0] + left[4]) / 2:.3f}"]
    assert len(head) == 5


def test_ndcg_counts_better_items_that_the_list_left_out():
    query = shopper_query("milk", ("milk",))
    many = Asked(query, "", answers([1] + [0] * 5 + [2] * 30), {"product": np.arange(10, dtype=np.int32)}, True)
    gains = [1, 0, 0, 0, 0, 0, 2, 2, 2, 2]
    discounts = 1 / np.log2(np.arange(2, 12))
    assert measure([many], "product")["ndcg_at_10"][0] == pytest.approx(gains @ discounts / (2 * discounts.sum()))
