"""Scores of each baseline against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("implicit")
from fuserank_evaluation.baselines.als import Als
from fuserank_evaluation.baselines.channels import search_baselines
from fuserank_evaluation.baselines.item_item import ItemItem
from fuserank_evaluation.baselines.personal_frequency import PersonalFrequency
from fuserank_evaluation.baselines.popularity import Popularity
from fuserank_evaluation.baselines.random import Random
from fuserank_evaluation.baselines.tifu_knn import TifuKnn, basket_weights
from fuserank_evaluation.baselines.up_cf import UpCf
from fuserank_evaluation.datasets.cases import NOBODY, recommendation_cases, search_cases
from fuserank_evaluation.datasets.past import Baskets, PastLog
from fuserank_evaluation.ranking.method import ScoringMethod
from support.hand_log import CATALOG, CUT, LOG, make_items

PAST = PastLog.before(LOG, CUT, CATALOG)


def scores(baseline, *users, past=PAST):
    baseline.fit(past)
    values = baseline.scores(np.asarray(users, np.int32))
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def test_popularity_counts_the_events_of_all_users():
    assert scores(Popularity(), 0, NOBODY).tolist() == [[4, 2, 1, 1, 0]] * 2


def test_personal_frequency_counts_the_users_own_events():
    assert scores(PersonalFrequency(), 0, 1, NOBODY).tolist() == [[3, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0] * 5]


def test_random_scores_differ_by_user_and_not_by_batch():
    together, alone = scores(Random(7), 0, 1, NOBODY), scores(Random(7), 1)
    np.testing.assert_array_equal(together[1], alone[0])
    assert len({tuple(row) for row in together}) == 3
    assert (scores(Random(8), 1) != alone).all()


def test_item_item_sums_cosines_by_how_often_the_user_had_each():
    # Households by item: 0 {0, 1}, 1 {0, 3}, 2 {0}, 3 {1}; household 1 had items 0 and 3 once each.
    half, root = 1 / 2, 1 / np.sqrt(2)
    np.testing.assert_allclose(scores(ItemItem(neighbours=5), 1), [[1 + root, half, root, 1 + root, 0]], rtol=1e-6)
    # Household 0 had item 0 three times, items 1 and 2 once.
    expected = [3 + half + root, 3 * half + 1 + root, 3 * root + root + 1, 3 * root, 0]
    np.testing.assert_allclose(scores(ItemItem(neighbours=5), 0), [expected], rtol=1e-6)


def test_item_item_keeps_only_the_nearest_neighbours():
    assert np.count_nonzero(scores(ItemItem(neighbours=1), 1)) == 2  # each item is its own nearest


def test_als_scores_items_of_similar_users_above_the_others():
    user, item = np.nonzero(np.kron(np.eye(2), np.ones((8, 6))))  # two camps with six items each
    kept = (user != 0) | (item != 5)  # household 0 never had item 5 of its camp
    past = PastLog(user[kept].astype(np.int32), item[kept].astype(np.int32), np.arange(kept.sum()), 17, 12)
    values = scores(Als(seed=3), 0, past=past)[0]
    assert values[5] > 0
    assert values[5] > values[6:].max()


@pytest.mark.parametrize(
    ("count", "groups", "sizes"), [(3, 7, [1, 1, 1]), (7, 7, [1] * 7), (9, 7, [1, 1, 1, 1, 1, 2, 2]), (5, 2, [2, 3])]
)
def test_a_history_is_cut_into_even_groups_the_later_ones_longer(count, groups, sizes):
    baskets = Baskets(np.zeros(count, np.int32), np.arange(count), np.full(count, count), None)
    weights = basket_weights(baskets, groups, within_decay=1.0, group_decay=0.5)
    expected = [
        0.5 ** (len(sizes) - 1 - group) / size / len(sizes) for group, size in enumerate(sizes) for _ in range(size)
    ]
    np.testing.assert_allclose(weights, expected)


def test_tifu_knn_scores_are_as_worked_out_by_hand():
    # m 2, r_b 0.5, r_g 0.5. Household 0: days {0, 1} | {0}, {0, 2}: the first group weighs 0.5/2, in the second the
    # first day 0.5/2/2 and the last 1/2/2. Household 1: {0} | {3} weigh 0.25 and 0.5. Household 3: {1} weighs 1.
    tifu = TifuKnn(groups=2, within_decay=0.5, group_decay=0.5, own_share=0.6, neighbours=1)
    values = scores(tifu, 0, 1, NOBODY)
    first, second = np.array([0.625, 0.25, 0.25, 0, 0]), np.array([0.25, 0, 0, 0.5, 0])
    np.testing.assert_allclose(tifu.vectors.toarray(), [first, second, [0] * 5, [0, 1, 0, 0, 0], [0] * 5])
    # Households 0 and 1 are each other's nearest (0.52 against 1.02 and 1.31, squared); the shortest vector,
    # household 1's, lies nearest to somebody new. Household 2, without events, is nobody's neighbour.
    expected = [0.6 * first + 0.4 * second, 0.6 * second + 0.4 * first, 0.4 * second]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_tifu_knn_works_with_fewer_users_than_neighbours():
    values = scores(TifuKnn(neighbours=300, own_share=0.0), 1)[0]
    others = TifuKnn(neighbours=300)
    others.fit(PAST)
    np.testing.assert_allclose(values, others.vectors[[0, 3]].toarray().mean(0), rtol=1e-6)


def test_up_cf_scores_are_as_worked_out_by_hand():
    # r 2: household 0's last days {0}, {0, 2}; 1's {0}, {3}; 3's {1}. Sets: {0, 1, 2}, {0, 3}, {1}.
    near, far = (1 / (3**0.75 * 2**0.25)) ** 2, (1 / 3**0.75) ** 2
    expected = [1 + near * 0.5, far, 0.5, near * 0.5, 0]
    np.testing.assert_allclose(scores(UpCf(recent=2, locality=2, asymmetry=0.75), 0), [expected], rtol=1e-5)


def test_up_cf_of_one_basket_uses_the_last_basket_alone():
    assert scores(UpCf(recent=1, locality=1_000), 0)[0].tolist() == [1, 0, 1, 0, 0]


def scoring_method(baseline, candidates=None):
    baseline.fit(PAST)
    return ScoringMethod(baseline, PAST, candidates or (lambda cases: pytest.fail("candidates of a recommendation")))


def test_a_recommendation_ranks_all_items_with_events_ties_by_popularity():
    ranked = scoring_method(PersonalFrequency()).rank(recommendation_cases(LOG, CUT))
    assert [rows.tolist() for rows in ranked] == [[0, 1, 2, 3], [0, 3, 1, 2]]


def test_seen_items_are_left_out_where_the_cases_exclude_them():
    ranked = scoring_method(Popularity()).rank(recommendation_cases(LOG, CUT).new_to_user(make_items()))
    assert [rows.tolist() for rows in ranked] == [[3], [1, 2]]


def test_a_search_ranks_its_candidates_and_ties_keep_their_order():
    cases = search_cases(LOG, np.asarray(["milk", "milk", "tea", "tea", "milk"], object), CUT, 100, seed=1)
    candidates = [np.asarray([4, 3, 0], np.int32)] * len(cases)
    ranked = scoring_method(PersonalFrequency(), lambda _: candidates).rank(cases)
    expected = {0: [0, 4, 3], 1: [3, 0, 4], 2: [4, 3, 0]}
    assert [rows.tolist() for rows in ranked] == [expected[int(user)] for user in cases.users]


def test_a_new_user_is_ranked_by_popularity_and_not_by_history_methods():
    cases = recommendation_cases(LOG, CUT).without_history()
    assert scoring_method(TifuKnn()).rank(cases) is None
    assert [rows.tolist() for rows in scoring_method(Popularity()).rank(cases)] == [[0, 1, 2, 3]] * 2


def test_text_channels_rank_by_their_own_lists_and_cannot_recommend():
    def rows(*items):
        return np.asarray(items, np.int32)

    cases = search_cases(LOG, np.asarray(["milk"] * 5, object), CUT, 1, seed=1)
    found = SimpleNamespace(text_lists=[{"lexical": rows(2, 1), "dense": rows(3)}])
    finder = SimpleNamespace(find=lambda _: found, fused_rows=lambda _: [rows(1, 2, 3)])
    ranked = {method.name: method.rank(cases) for method in search_baselines(finder)}
    assert {name: lists[0].tolist() for name, lists in ranked.items()} == {
        "bm25": [2, 1],
        "dense": [3],
        "rrf": [1, 2, 3],
    }
    without = replace(cases, queries=[""])
    assert [method.rank(without) is None for method in search_baselines(finder)] == [True, True, False]
