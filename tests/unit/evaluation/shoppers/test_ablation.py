"""Parts of the product can be left out one by one, each for a while, and the table says what each one adds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.contract.options import UNDERSTOOD_PARTS
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_evaluation.datasets.esci import EsciQueries
from fuserank_evaluation.datasets.shoppers import Answers
from fuserank_evaluation.shoppers.ablation import NOTHING, NOTHING_PERSONAL, PARTS, ablate, ablation_rows
from fuserank_evaluation.shoppers.groceries import HALVES, Asked
from support.grocery_shop import WordProduct, shopper_query

BY_NAME = {part.name: part for part in PARTS}
# A query on which leaving a part out shows in what the ranker reads, and the columns where it does.
EFFECTS = {
    "heads of titles": ("whole milk small", ("lexical_score",)),
    "category prediction": ("milk", ("category_of_query",)),
    "guesses weighed by the encoder": ("whole mlik", ("votes",)),
    "fillers": ("soap for dish", ("lexical_score",)),
}
USER = "u03"


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle, verify=()))


def features(graph, query, user="", **options):
    """What the ranker reads of a query's candidates, in the order of their rows."""
    inputs = dict(graph.trace([(query, user, options)]))["finalize"]
    return inputs["FEATURES"][0][np.argsort(inputs["CANDIDATES"][0], kind="stable")]


@pytest.mark.parametrize("name", EFFECTS)
def test_a_part_without_an_option_is_left_out_for_a_while_and_then_back(graph, name):
    query, columns = EFFECTS[name]
    positions = [POSITION[column] for column in columns]
    before = features(graph, query)
    with BY_NAME[name].left_out() as options:
        without = features(graph, query, **options)
    assert not np.array_equal(before[:, positions], without[:, positions], equal_nan=True)
    np.testing.assert_array_equal(features(graph, query), before)


def test_without_the_pool_habits_bring_in_what_the_query_does_not_match(graph):
    part = BY_NAME["habits only among matches"]

    def habitual(query):
        return int((~np.isnan(features(graph, query, USER)[:, POSITION["history_rank"]])).sum())

    before = habitual("dish soap")
    with part.left_out():
        assert habitual("dish soap") > before
    assert part.personal


def test_parts_of_a_query_are_left_out_by_the_options_of_a_request(graph):
    query = "please cheap whole milk 12 oz no sugar under $3"

    def understood(name):
        with BY_NAME[name].left_out() as options:
            return json.loads(graph.search(query, **options)["STATUS"][0, 0]).get("understood", {})

    assert set(understood("heads of titles")) == {"text", "price_to", "cheap", "ruled_out", "sizes"}
    assert "sizes" not in understood("sizes and units")
    assert not {"price_to", "cheap"} & set(understood("price limits"))
    assert "ruled_out" not in understood("negation")
    assert understood("fillers")["text"].startswith("please")
    assert understood("all understanding") == {}


def test_every_part_of_understanding_is_a_line_of_the_table():
    left_out = [set(UNDERSTOOD_PARTS) - set(part.options["understand"] or ()) for part in PARTS if part.options]
    assert [{name} for name in UNDERSTOOD_PARTS] == left_out[:-1]
    assert left_out[-1] == set(UNDERSTOOD_PARTS)


def asked(text, right):
    grades = np.asarray([2 if row == right else 0 for row in range(4)], np.int8)
    return Asked(shopper_query(text, ("x",)), "h2", Answers(grades, grades == 2, grades == 0), {}, True)


def test_queries_are_asked_without_each_part_and_figures_stand_beside_their_difference():
    queries = [asked("milk", 0), asked("paper towels", 3), asked("lotion", 2), asked("chips", 1)]
    assert {one.query.half for one in queries} == set(HALVES)
    product, shop = WordProduct(), WordProduct()
    figures = ablate(product, queries, shop, EsciQueries(["q"], ["chips"], {"q": {"chips": 3, "milk": 0}}))
    assert list(figures) == [NOTHING.name, NOTHING_PERSONAL.name, *BY_NAME]
    assert {user for _, user, _ in product.asked[4:8]} == {"h2"}
    assert {user for _, user, _ in product.asked[:4] + product.asked[8:-8]} == {""}
    assert {user for _, user, _ in product.asked[-8:]} == {"h2"}, "the last two parts are of requests with a user"
    assert figures[NOTHING.name]["tuned_type_first"] == figures[NOTHING.name]["amazon"] == 1
    head, whole, _, first, *_ = ablation_rows(figures)
    assert len(head) == len(whole) == len(first) == 1 + 2 * 4 + 1
    assert whole[:2] == ["nothing", "1.000"]
    assert first[:2] == ["sizes and units", "1.000 (+0.000)"]


def test_a_loss_is_told_with_its_sign():
    columns = ("type_in_10", "type_first", "ndcg_at_10", "absurd_at_3")
    names = [f"{half}_{name}" for half in HALVES for name in columns]
    whole, worse = dict.fromkeys(names, 0.5), dict.fromkeys(names, 0.25)
    rows = list(ablation_rows({NOTHING.name: whole, NOTHING_PERSONAL.name: whole, "negation": worse}))
    assert rows[-1] == ["negation", *["0.250 (-0.250)"] * 8]
