"""What ranks candidates by their features: the ranker, LambdaMART, and retrieval before them, without a look ahead."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.contract.options import HEADS
from fuserank_evaluation.baselines.channels import Fusion
from fuserank_evaluation.baselines.lightgbm import LightGbm, Lists, kind_of_cases
from fuserank_evaluation.datasets import grocery
from fuserank_evaluation.datasets.cases import recommendation_cases, search_cases
from fuserank_evaluation.metrics.measures import measure
from fuserank_evaluation.ranking.ranker import Ranker
from fuserank_evaluation.ranking.retrieved import Retrieved, asks
from fuserank_evaluation.ranking.trained import trained
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


def found_by(*lists):
    return SimpleNamespace(of=lambda _: SimpleNamespace(candidates=list(lists)))


def ranker(found, weights=(1.0, 0.0, 0.0), first=3, trained=("relevance", "purchase")):
    """Its relevance is the feature, its purchase the contrary."""

    def score(found):
        values = [each.features[:first, 3] for each in found]
        return [np.stack([value, value * 0, -value], -1).astype(np.float32) for value in values]

    return Ranker(found, score, weights, trained)


CASES = search_cases(hand_log.LOG, TYPES, CUT, 2, seed=1)


def test_the_ranker_orders_what_it_gets_and_leaves_the_rest_as_it_was():
    found = found_by(candidates([5, 6, 7, 8, 9], [1, 3, 2, 9, 8]), candidates([4]))
    assert [rows.tolist() for rows in ranker(found).rank(CASES)] == [[6, 7, 5, 8, 9], [4]]


def test_without_a_query_relevance_has_no_say():
    found = found_by(candidates([5, 6, 7], [1, 3, 2]), candidates([4]))
    silent = CASES.without_query()
    assert ranker(found, weights=(1.0, 0.0, 1.0)).rank(silent)[0].tolist() == [5, 7, 6]
    assert ranker(found).rank(silent)[0].tolist() == [5, 6, 7]  # nothing weighs: the order of fusion


def test_equal_scores_keep_the_order_of_fusion():
    assert ranker(found_by(candidates([9, 2, 5]), candidates([]))).rank(CASES)[0].tolist() == [9, 2, 5]


def test_probabilities_are_those_of_trained_heads_for_real_candidates():
    found = found_by(candidates([5, 6], [0.0, 2.0]), candidates([]))
    first, second = ranker(found).probabilities(CASES)
    assert first.of.keys() == {"purchase"}
    np.testing.assert_allclose(first.of["purchase"], 1 / (1 + np.exp([0.0, 2.0])), rtol=1e-6)
    assert HEADS.index("purchase") == 2
    assert len(second.rows) == len(second.of["purchase"]) == 0


def listed(kinds, values, bought):
    """Cases whose only feature is a value; label 1 where bought, NaN values stand for no candidate."""
    values = np.asarray(values, np.float32)
    cases = Cases.blank(kinds, values.shape[1], 4)
    cases.features[..., 3] = values
    cases.rows[:] = np.where(np.isnan(values), -1, np.arange(values.shape[1]))
    cases.labels[..., HEADS.index("purchase")] = bought
    return cases


def test_lists_in_which_nothing_was_bought_teach_no_order_and_are_left_out():
    nan = np.nan
    cases = listed(
        ["both", "both", "user", "both"],
        [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, nan]],
        [[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]],
    )
    lists = Lists.of(cases, "both")
    assert lists.features[:, 3].tolist() == [1, 2, 3, 10, 11]
    assert lists.labels.tolist() == [0, 1, 0, 1, 0]
    assert lists.sizes.tolist() == [3, 2]


def test_lambdamart_learns_which_feature_tells():
    draw = np.random.default_rng(2)
    values = draw.random((400, 10))
    cases = listed(["both"] * 400, values, values == values.max(1, keepdims=True))
    found = found_by(candidates([7, 8, 9, 1], [0.2, 0.98, 0.8, 0.99]), candidates([]))
    model = LightGbm(found, candidates=3, seed=1, threads=1)
    assert model.rank(CASES) is None
    model.fit("both", Lists.of(cases.part(slice(0, 300)), "both"), Lists.of(cases.part(slice(300, 400)), "both"))
    assert [rows.tolist() for rows in model.rank(CASES)] == [[8, 9, 7, 1], []]


def test_each_set_is_of_one_kind():
    everybody = recommendation_cases(hand_log.LOG, CUT)
    sets = (CASES, CASES.without_history(), everybody, everybody.new_to_user())
    assert [kind_of_cases(each) for each in sets] == ["both", "query", "user", "discover"]
    assert {ask.kind for ask in asks(CASES.without_history())} == {"query"}
    assert {ask.kind for ask in asks(everybody)} == {"user"}
    assert {ask.kind for ask in asks(everybody.new_to_user())} == {"discover"}
    assert {ask.relevant is ask.clicked is ask.purchased is None for ask in asks(CASES)} == {True}


@pytest.fixture(scope="module")
def retrieve(tmp_path_factory):
    builder = habits.case_builder(tmp_path_factory.mktemp("lexical") / "index")

    def of(log, cases):
        return Retrieved(builder, habits.knowing(log)(habits.FROM), 50).of(cases)

    return of


@pytest.mark.parametrize("kind", ["search", "recommendation", "new"])
def test_whatever_is_bought_after_the_cut_candidates_and_features_stay_the_same(retrieve, kind):
    def drawn(log):
        if kind == "search":
            return search_cases(log, LEAVES, habits.FROM, 10_000, seed=1)
        cases = recommendation_cases(log, habits.FROM)
        return cases if kind == "recommendation" else replace(cases, exclude_seen=True)

    planted = habits.altered(habits.LOG, FUTURE)
    mine, leaky = drawn(habits.LOG), drawn(planted)
    case = {(int(user), query): i for i, (user, query) in enumerate(zip(leaky.users, leaky.queries, strict=True))}
    found, other = retrieve(habits.LOG, mine), retrieve(planted, leaky)
    compared = 0
    for i, key in enumerate(zip(mine.users.tolist(), mine.queries, strict=True)):
        if key in case:
            one, two = found.candidates[i], other.candidates[case[key]]
            np.testing.assert_array_equal(one.rows, two.rows)
            np.testing.assert_array_equal(one.features, two.features)
            compared += 1
    assert compared > 20


def test_what_the_user_had_is_no_candidate_where_it_is_no_answer(retrieve):
    cases = recommendation_cases(habits.LOG, habits.FROM)
    had = [np.isin(each.rows, seen.rows).any() for each, seen in _pairs(retrieve, cases)]
    assert any(had)
    new = [np.isin(each.rows, seen.rows).any() for each, seen in _pairs(retrieve, replace(cases, exclude_seen=True))]
    assert not any(new)


def _pairs(retrieve, cases):
    return zip(retrieve(habits.LOG, cases).candidates, cases.seen, strict=True)


def test_a_log_cut_off_keeps_rows_and_names():
    kept = grocery.before(habits.LOG, habits.FROM)
    assert len(kept) == (~FUTURE).sum()
    assert kept.user_ids is habits.LOG.user_ids
    assert kept.timestamp.max() < habits.FROM
    assert all(len(getattr(kept, name)) == len(kept) for name in ("user", "item", "event", "value", "query"))


def test_a_price_that_was_first_paid_later_is_not_known_yet(tmp_path):
    catalog = habits.case_builder(tmp_path / "index").catalog
    bundle = SimpleNamespace(items=habits.ITEMS, catalog=lambda device: catalog, spec=habits.SPEC)
    moment = habits.START + 2 * 86_400.0
    prices = grocery.Grocery(bundle, habits.LOG, habits.FROM, habits.embed).builder(moment).catalog.items.log_price
    sold = np.isin(np.arange(habits.COUNT), habits.LOG.item[habits.LOG.timestamp < moment])
    assert 0 < sold.sum() < habits.COUNT
    assert np.isnan(prices[~sold]).all()
    assert not np.isnan(habits.ITEMS.log_price[~sold]).all()
    np.testing.assert_array_equal(prices[sold], habits.ITEMS.log_price[sold])


def test_the_ranker_and_lambdamart_learn_from_the_same_cases_of_before_the_cut_and_know_habits(tmp_path):
    builder = habits.case_builder(tmp_path / "index")
    known = grocery.before(habits.LOG, habits.FROM)
    asked = []
    shop = SimpleNamespace(
        known_log=known,
        shop=habits.SHOP,
        cut=habits.FROM,
        builder=lambda moment: builder,
        learned=lambda moment: asked.append(moment) or habits.knowing(known)(moment),
    )
    cases = recommendation_cases(habits.LOG, habits.FROM)
    retrieved = Retrieved(builder, habits.knowing(known)(habits.FROM), 50)
    network, boosted, report = trained(shop, retrieved, 100, FitSettings(), lambda step, done, total: None)
    assert report.source == "log"
    assert len(asked) > 0
    assert max(asked) < habits.FROM - 2 * habits.WINDOW
    hits = {}
    for entrant in (network, boosted, Fusion(retrieved)):
        lists = entrant.rank(cases)
        assert [sorted(rows) for rows in lists] == [sorted(rows) for rows in Fusion(retrieved).rank(cases)]
        hits[entrant.name] = measure(lists, cases.relevant)["ndcg_at_10"].mean()
    # Habits are all that this log has, and fusion's history channel knows them: there is next to nothing to gain.
    assert hits["ranker"] > hits["rrf"] - 0.02
    backwards = [rows[::-1] for rows in boosted.rank(cases)]
    assert hits["lightgbm"] > measure(backwards, cases.relevant)["ndcg_at_10"].mean()
    assert all((each.of["purchase"] >= 0).all() for each in network.probabilities(cases))
