"""Methods that rank candidates by their features, and their candidates, which see nothing from after the cut."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_ensemble.candidates.features import FEATURES, POSITION
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.understanding.query import UnderstoodQuery
from fuserank_evaluation.baselines.channels import Fusion
from fuserank_evaluation.baselines.lightgbm import LabelledLists, LightGbm
from fuserank_evaluation.datasets import grocery
from fuserank_evaluation.datasets.cases import recommendation_cases, search_cases
from fuserank_evaluation.metrics.measures import measure_all
from fuserank_evaluation.ranking.ranker import Ranker
from fuserank_evaluation.ranking.training import train_methods
from fuserank_evaluation.retrieval.candidates import CandidateFinder, training_queries
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.fitting.settings import FitSettings
from support import habits, hand_log
from support.hand_log import CUT, TYPES

FUTURE = habits.LOG.timestamp >= habits.FROM
LEAVES = np.asarray([habits.QUERIES[leaf] for leaf in habits.LEAF], object)


def candidates(rows, values=()):
    features = np.full((len(rows), len(FEATURES)), np.nan, np.float32)
    features[:, 3] = values if len(values) else np.zeros(len(rows))
    return SimpleNamespace(rows=np.asarray(rows, np.int32), features=features)


def finder_of(*lists):
    return SimpleNamespace(find=lambda _: SimpleNamespace(candidates=list(lists)))


def ranker(finder, weights=(1.0, 0.0, 0.0), first=3, trained=("relevance", "purchase")):
    """A ranker whose relevance logit is the feature, and whose purchase logit is its negative."""

    def score(candidates):
        values = [one.features[:first, 3] for one in candidates]
        return [np.stack([value, value * 0, -value], -1).astype(np.float32) for value in values]

    return Ranker(finder, score, ITEMS, True, weights, trained)


CATEGORY = np.asarray([-1] * 10 + [0] * 10, np.int32)
ITEMS = SimpleNamespace(category=CATEGORY, department=np.full(20, -1, np.int32))  # items 0 to 19
CASES = search_cases(hand_log.LOG, TYPES, CUT, 2, seed=1)


def test_the_ranker_orders_scored_candidates_and_keeps_the_rest():
    finder = finder_of(candidates([5, 6, 7, 8, 9], [1, 3, 2, 9, 8]), candidates([4]))
    assert [rows.tolist() for rows in ranker(finder).rank(CASES)] == [[6, 7, 5, 8, 9], [4]]


def test_it_orders_as_a_served_graph_does():
    meant = candidates([5, 6, 7], [1, 1.1, 0.5])
    meant.features[:, POSITION["category_of_query"]] = [-0.1, -4, -0.1]
    assert ranker(finder_of(meant, candidates([]))).rank(CASES)[0].tolist() == [5, 7, 6]
    varied = candidates([10, 11, 12, 13, 14, 5], [1, 2, 3, 4, 5, 0.5])
    no_query = CASES.without_query()
    listed = ranker(finder_of(varied, candidates([])), weights=(0.0, 0.0, 1.0), first=6).rank(no_query)[0].tolist()
    assert listed == [5, 10, 11, 12, 13, 14]
    ahead = candidates([10, 11, 12, 13, 14, 5], [1, 2, 3, 4, 5, 5.1])
    listed = ranker(finder_of(ahead, candidates([])), weights=(0.0, 0.0, 1.0), first=6).rank(no_query)[0].tolist()
    assert listed == [10, 11, 12, 13, 5, 14]  # the fifth of one category gives way


def test_relevance_has_no_weight_without_a_query():
    finder = finder_of(candidates([5, 6, 7], [1, 3, 2]), candidates([4]))
    no_query = CASES.without_query()
    assert ranker(finder, weights=(1.0, 0.0, 1.0)).rank(no_query)[0].tolist() == [5, 7, 6]
    assert ranker(finder).rank(no_query)[0].tolist() == [5, 6, 7]  # nothing weighs: the order of fusion


def test_equal_scores_keep_the_order_of_fusion():
    assert ranker(finder_of(candidates([9, 2, 5]), candidates([]))).rank(CASES)[0].tolist() == [9, 2, 5]


def test_probabilities_are_of_trained_heads_and_real_candidates():
    finder = finder_of(candidates([5, 6], [0.0, 2.0]), candidates([]))
    first, second = ranker(finder).probabilities(CASES)
    assert first.by_head.keys() == {"purchase"}
    np.testing.assert_allclose(first.by_head["purchase"], 1 / (1 + np.exp([0.0, 2.0])), rtol=1e-6)
    assert HEADS.index("purchase") == 2
    assert len(second.rows) == len(second.by_head["purchase"]) == 0


def make_cases(kinds, values, bought):
    """Cases whose only feature is a value; label 1 where bought, NaN values stand for no candidate."""
    values = np.asarray(values, np.float32)
    cases = Cases.blank(kinds, values.shape[1], 4)
    cases.features[..., 3] = values
    cases.rows[:] = np.where(np.isnan(values), -1, np.arange(values.shape[1]))
    cases.labels[..., HEADS.index("purchase")] = bought
    return cases


def test_lists_in_which_nothing_was_bought_are_left_out():
    nan = np.nan
    cases = make_cases(
        ["both", "both", "user", "both"],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, nan]],
        [[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]],
    )
    lists = LabelledLists.from_cases(cases, "both")
    assert lists.features[:, 3].tolist() == [1, 2, 3, 10, 11]
    assert lists.labels.tolist() == [0, 1, 0, 1, 0]
    assert lists.sizes.tolist() == [3, 2]


def test_lambdamart_learns_the_informative_feature():
    draw = np.random.default_rng(2)
    values = draw.random((400, 10))
    cases = make_cases(["both"] * 400, values, values == values.max(1, keepdims=True))
    finder = finder_of(candidates([7, 8, 9, 1], [0.2, 0.98, 0.8, 0.99]), candidates([]))
    model = LightGbm(finder, candidates=3, seed=1, threads=1)
    assert model.rank(CASES) is None
    model.fit(
        "both",
        LabelledLists.from_cases(cases.part(slice(0, 300)), "both"),
        LabelledLists.from_cases(cases.part(slice(300, 400)), "both"),
    )
    assert [rows.tolist() for rows in model.rank(CASES)] == [[8, 9, 7, 1], []]


def test_each_set_of_cases_is_of_one_kind():
    recommendation = recommendation_cases(hand_log.LOG, CUT)
    sets = (CASES, CASES.without_history(), recommendation, recommendation.new_to_user(habits.ITEMS))
    assert [cases.kind for cases in sets] == ["both", "query", "user", "discover"]
    for cases in sets[1:]:
        assert {query.kind for query in training_queries(cases)} == {cases.kind}
    searches = training_queries(search_cases(hand_log.LOG, TYPES, CUT, 100, seed=1))
    assert {query.kind for query in searches} == {"both", "query"}  # household 2 has no history
    assert {query.relevant is query.clicked is query.purchased is None for query in searches} == {True}


@pytest.fixture(scope="module")
def retrieve(tmp_path_factory):
    builder = habits.case_builder(tmp_path_factory.mktemp("lexical") / "index")

    def find(log, cases):
        return CandidateFinder(builder, habits.knowing(log)(habits.FROM), 50).find(cases)

    return find


@pytest.mark.parametrize("kind", ["search", "recommendation", "new"])
def test_events_after_the_cut_change_no_candidate_and_no_feature(retrieve, kind):
    def drawn(log):
        if kind == "search":
            return search_cases(log, LEAVES, habits.FROM, 10_000, seed=1)
        cases = recommendation_cases(log, habits.FROM)
        return cases if kind == "recommendation" else replace(cases, excluded=[seen.rows for seen in cases.seen])

    planted = habits.altered(habits.LOG, FUTURE)
    original, leaky = drawn(habits.LOG), drawn(planted)
    case = {(int(user), query): i for i, (user, query) in enumerate(zip(leaky.users, leaky.queries, strict=True))}
    expected, found = retrieve(habits.LOG, original), retrieve(planted, leaky)
    compared = 0
    for i, key in enumerate(zip(original.users.tolist(), original.queries, strict=True)):
        if key in case:
            one, two = expected.candidates[i], found.candidates[case[key]]
            np.testing.assert_array_equal(one.rows, two.rows)
            np.testing.assert_array_equal(one.features, two.features)
            compared += 1
    assert compared > 20


def test_seen_items_are_no_candidates_where_the_cases_exclude_them(retrieve):
    cases = recommendation_cases(habits.LOG, habits.FROM)
    assert any(_has_seen_items(retrieve, cases))
    excluding = replace(cases, excluded=[seen.rows for seen in cases.seen])
    assert not any(_has_seen_items(retrieve, excluding))


def _has_seen_items(retrieve, cases):
    candidates = retrieve(habits.LOG, cases).candidates
    return [np.isin(one.rows, seen.rows).any() for one, seen in zip(candidates, cases.seen, strict=True)]


def test_the_price_of_an_item_without_earlier_sales_is_unknown(tmp_path):
    catalog = habits.case_builder(tmp_path / "index").catalog
    parser = SimpleNamespace(parse=UnderstoodQuery.plain)
    bundle = SimpleNamespace(items=habits.ITEMS, catalog=lambda device: catalog, spec=habits.SPEC, query_parser=parser)
    moment = habits.START + 2 * SECONDS_PER_DAY
    prices = grocery.Grocery(bundle, habits.LOG, habits.FROM, habits.embed).case_builder(moment).catalog.items.log_price
    sold = np.isin(np.arange(habits.COUNT), habits.LOG.item[habits.LOG.timestamp < moment])
    assert 0 < sold.sum() < habits.COUNT
    assert np.isnan(prices[~sold]).all()
    assert not np.isnan(habits.ITEMS.log_price[~sold]).all()
    np.testing.assert_array_equal(prices[sold], habits.ITEMS.log_price[sold])


def test_ranker_and_lambdamart_learn_habits_from_before_the_cut(tmp_path):
    builder = habits.case_builder(tmp_path / "index")
    known = habits.LOG.as_of(habits.FROM)
    moments = []
    shop = SimpleNamespace(
        known_log=known,
        shop=habits.SHOP,
        cut=habits.FROM,
        case_builder=lambda moment: builder,
        interaction_index=lambda moment: moments.append(moment) or habits.knowing(known)(moment),
    )
    cases = recommendation_cases(habits.LOG, habits.FROM)
    finder = CandidateFinder(builder, habits.knowing(known)(habits.FROM), 50)
    network, boosted, report = train_methods(shop, finder, 200, FitSettings(epochs=3), lambda step, done, total: None)
    assert report.source == "log"
    assert len(moments) > 0
    assert max(moments) < habits.FROM - 2 * habits.WINDOW
    ndcg = {}
    for method in (network, boosted, Fusion(finder)):
        lists = method.rank(cases)
        assert [sorted(rows) for rows in lists] == [sorted(rows) for rows in Fusion(finder).rank(cases)]
        ndcg[method.name] = measure_all(lists, cases.relevant)["ndcg_at_10"].mean()
    # This log holds habits alone, which fusion's history channel knows already: there is little to gain.
    assert ndcg["ranker"] > ndcg["rrf"] - 0.02
    backwards = [rows[::-1] for rows in boosted.rank(cases)]
    assert ndcg["lightgbm"] > measure_all(backwards, cases.relevant)["ndcg_at_10"].mean()
    assert all((case.by_head["purchase"] >= 0).all() for case in network.probabilities(cases))
