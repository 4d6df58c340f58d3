"""Groceries asked for in shoppers' own words, with and without a household that asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import SEED
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.datasets.shoppers import CLOSE, RIGHT, Answers, Half, ShopperAnswers, ShopperQuery
from fuserank_evaluation.metrics.measures import measure_judged
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_evaluation.shoppers.answers import Product, Rows, plain_answers
from fuserank_evaluation.shoppers.typos import ERRORS, misspell, relative_loss

PLAIN = ("bm25", "dense", "rrf")
METHODS = (*PLAIN, "product", "product_user", "product_page")
HALVES: tuple[Half, ...] = ("tuned", "held")
MEASURES = {
    "type_in_10": "share of queries with an item of a right type among the first ten",
    "type_first": "share whose first item is of a right type",
    "ndcg_at_10": "nDCG@10 by type, size and price (grades 2 and 1)",
    "absurd_at_3": "share with an item of a wrong department among the first three",
}
DEPTHS = (10, 50, 200)  # of answers whose first ten are compared
TYPO = "typo"  # the kind of query that has a typing error already


@dataclass(frozen=True)
class Asked:
    """A query with its answers.

    Attributes:
        query: The query.
        user: The household that asks where one does.
        answers: What answers it.
        lists: Item rows, best first, by method.
        same_first_ten: Whether the first ten are the same however many are asked.
    """

    query: ShopperQuery
    user: str
    answers: Answers
    lists: Mapping[str, Rows]
    same_first_ten: bool

    @property
    def is_answered(self) -> bool:
        """Whether the shop has anything that the query asks for."""
        return bool(self.answers.of_right_type.any())


def ask(
    product: Product,
    queries: Sequence[ShopperQuery],
    seed: int = SEED,
    on_progress: ProgressCallback = ignore_progress,
) -> list[Asked]:
    """Asks every query by every method.

    `product_user` is the product asked by a household drawn at random, `product_page` by nobody and for a page of what
    matches.
    """
    answers = ShopperAnswers(pd.DataFrame.from_records(product.records))
    users = np.random.default_rng(seed).choice(product.users, len(queries))
    plain = plain_answers(product, [query.text for query in queries])
    asked = []
    for i, (query, user, lists) in enumerate(zip(queries, users, plain, strict=True)):
        own = {k: product.answer(query.text, k=k) for k in DEPTHS}
        lists |= {
            "product": own[10],
            "product_user": product.answer(query.text, str(user), k=10),
            "product_page": product.answer(query.text, k=10, offset=0),
        }
        same = all(np.array_equal(own[10], rows[:10]) for rows in own.values())
        asked.append(Asked(query, str(user), answers.find(query), lists, same))
        on_progress("shoppers' words", i + 1, len(queries))
    return asked


def figures(asked: Sequence[Asked]) -> dict[str, float]:
    """Means of `MEASURES` by half and method over the queries that have an answer, and of the product by kind."""
    answered = [one for one in asked if one.is_answered]
    out: dict[str, float] = {"shopper_same_first_ten": round(float(np.mean([one.same_first_ten for one in asked])), 4)}
    for half in HALVES:
        of_half = [one for one in answered if one.query.half == half]
        out[f"shopper_{half}_queries"] = len(of_half)
        for method in METHODS:
            for name, values in measure(of_half, method).items():
                out[f"shopper_{half}_{name}_{method}"] = round(float(values.mean()), 4)
    return out


def by_kind(asked: Sequence[Asked], half: Half) -> Iterator[list[str]]:
    """Rows of a table: one kind of query with the product's figures on one half."""
    yield ["kind", "queries", *MEASURES]
    answered = [one for one in asked if one.is_answered and one.query.half == half]
    for kind in dict.fromkeys(one.query.kind for one in answered):
        of_kind = [one for one in answered if one.query.kind == kind]
        values = measure(of_kind, "product")
        yield [kind, str(len(of_kind)), *(f"{values[name].mean():.3f}" for name in MEASURES)]


@dataclass(frozen=True)
class Mistyped:
    """An answered query with a typing error.

    Attributes:
        error: What was done, of `typos.ERRORS`.
        text: The query with the error.
        asked: The query without it; its list `mistyped` is the product's for the query with it.
    """

    error: str
    text: str
    asked: Asked


def ask_mistyped(
    product: Product, asked: Sequence[Asked], on_progress: ProgressCallback = ignore_progress
) -> list[Mistyped]:
    """Asks every answered query again with one typing error of each kind, but for those that have one of their own."""
    spelt = [one for one in asked if one.is_answered and one.query.kind != TYPO]
    misspellings = list(misspell([one.query.text for one in spelt]))
    out = []
    for i, typed in enumerate(misspellings):
        one = spelt[typed.position]
        lists = {**one.lists, "mistyped": product.answer(typed.text, k=10)}
        out.append(Mistyped(typed.error, typed.text, replace(one, lists=lists)))
        on_progress("shoppers' words with typing errors", i + 1, len(misspellings))
    return out


def typo_figures(mistyped: Sequence[Mistyped]) -> dict[str, float]:
    """Returns the share of nDCG@10 that one typing error loses, by half."""
    return {
        f"shopper_{half}_typo_loss": round(
            relative_loss(*_with_and_without([one for one in mistyped if one.asked.query.half == half])), 4
        )
        for half in HALVES
    }


def typos_by_error(mistyped: Sequence[Mistyped], half: Half) -> Iterator[list[str]]:
    """Rows of a table: one kind of error with nDCG@10 of one half without it, with it, and the share that is lost."""
    yield ["error", "queries", "nDCG@10 without", "with", "lost"]
    of_half = [one for one in mistyped if one.asked.query.half == half]
    for error in ERRORS:
        of_kind = [one for one in of_half if one.error == error]
        right, wrong = _with_and_without(of_kind)
        loss = relative_loss(right, wrong)
        yield [error, str(len(of_kind)), f"{right.mean():.3f}", f"{wrong.mean():.3f}", f"{loss:.3f}"]


def _with_and_without(mistyped: Sequence[Mistyped]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """nDCG@10 of every query without and with its error, float64 `[queries]`."""
    asked = [one.asked for one in mistyped]
    return measure(asked, "product")["ndcg_at_10"], measure(asked, "mistyped")["ndcg_at_10"]


def measure(asked: Sequence[Asked], method: str) -> dict[str, NDArray[np.float64]]:
    """Returns `MEASURES` of every query, float64 `[queries]`."""
    lists = [one.lists[method] for one in asked]
    right = [one.answers.of_right_type[rows[:10]] for one, rows in zip(asked, lists, strict=True)]
    absurd = [one.answers.absurd[rows[:3]] for one, rows in zip(asked, lists, strict=True)]
    names = {str(i): one.query.text for i, one in enumerate(asked)}
    grades = {str(i): _graded(one.answers.grades, rows) for i, (one, rows) in enumerate(zip(asked, lists, strict=True))}
    listed = [[str(row) for row in rows[:10]] for rows in lists]
    ndcg = measure_judged(JudgedQueries(names, grades), listed, {"ndcg_at_10": nDCG @ 10})
    return {
        "type_in_10": np.asarray([found.any() for found in right], np.float64),
        "type_first": np.asarray([found[:1].any() for found in right], np.float64),
        "ndcg_at_10": ndcg["ndcg_at_10"],
        "absurd_at_3": np.asarray([found.any() for found in absurd], np.float64),
    }


def _graded(grades: NDArray[np.int8], rows: Rows) -> dict[str, int]:
    """The grades that nDCG@10 of a list depends on, by row: of its first ten items, and the ten best there are."""
    best = [np.flatnonzero(grades == grade)[:10] for grade in (RIGHT, CLOSE)]
    return {str(row): int(grades[row]) for row in np.concatenate([rows[:10], *best]) if grades[row]}
