"""What ranks candidates by their features: the ranker, LambdaMART, and retrieval before them, without a look ahead."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
import hand_log
from hand_log import CUT, TYPES

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
import habits
from relevance import grocery
from relevance.baselines.lightgbm import LightGbm, Lists, kind_of_cases
from relevance.cases import recommendation_cases, search_cases
from relevance.ranker import Ranker
from relevance.retrieved import Retrieved, asks

from ensemble.contract import HEADS
from ensemble.features import FEATURES

FUTURE = habits.LOG.timestamp >= habits.FROM
LEAVES = np.asarray([habits.QUERIES[leaf] for leaf in habits.LEAF], object)


def candidates(rows, values=()):
    features = np.full((len(rows), len(FEATURES)), np.nan, np.float32)
    features[:, 3] = values if len(values) else np.zeros(len(rows))
    return SimpleNamespace(rows=np.asarray(rows, np.int32), features=features)


def found_by(*lists):
    return SimpleNamespace(of=lambda _: SimpleNamespace(candidates=list(lists)))


def ranker(found, weights=(1.0, 0.0, 0.0), first=3, trained=("relevance", "purchase")):
    """Its relevance is the feature, its purchase the contrary; of what is missing it knows nothing."""

    def score(features):
        value = np.nan_to_num(features[..., 3], nan=-99.0)
        return np.stack([value, value * 0, -value], -1).astype(np.float32)

    return Ranker(found, first, score, weights, trained)


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


def test_lists_without_a_right_candidate_teach_no_order_and_are_left_out():
    lists = Lists.of([candidates([1, 2]), candidates([3]), candidates([4, 5, 6])], [[2], [9], [4, 6]])
    assert lists.sizes.tolist() == [2, 3]
    assert lists.labels.tolist() == [0, 1, 1, 0, 1]
    assert lists.part(np.asarray([False, True])).labels.tolist() == [1, 0, 1]
    assert Lists.joined([lists, lists]).sizes.tolist() == [2, 3, 2, 3]
    assert not len(Lists.of([candidates([1])], [[2]]).sizes)


def test_lambdamart_learns_which_feature_tells():
    draw = np.random.default_rng(2)
    learned = [candidates(range(10), draw.random(10)) for _ in range(400)]
    right = [[int(np.argmax(each.features[:, 3]))] for each in learned]
    found = found_by(candidates([7, 8, 9, 1], [0.2, 0.98, 0.8, 0.99]), candidates([]))
    model = LightGbm(found, candidates=3, seed=1, threads=1)
    assert model.rank(CASES) is None
    model.fit("both", Lists.of(learned, right))
    assert [rows.tolist() for rows in model.rank(CASES)] == [[8, 9, 7, 1], []]


def test_each_set_is_of_one_kind():
    everybody = recommendation_cases(hand_log.LOG, CUT)
    sets = (CASES, CASES.without_history(), everybody, everybody.new_to_user())
    assert [kind_of_cases(each) for each in sets] == ["both", "query", "user", "new"]
    assert {ask.kind for ask in asks(CASES.without_history())} == {"query"}
    assert {ask.kind for ask in asks(everybody)} == {"user"}
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


def test_a_price_that_was_first_paid_later_is_not_known_yet():
    known = np.arange(habits.COUNT) % 2 == 0
    priced = grocery.priced(habits.ITEMS, known)
    assert np.isnan(priced.log_price[~known]).all()
    np.testing.assert_array_equal(priced.log_price[known], habits.ITEMS.log_price[known])
    assert not np.isnan(habits.ITEMS.log_price[~known]).all()
    np.testing.assert_array_equal(priced.category, habits.ITEMS.category)
