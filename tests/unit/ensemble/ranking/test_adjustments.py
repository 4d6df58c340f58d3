"""What is added to scores: missed conditions cost, the category that is meant counts, and candidates beyond the depth
never pass those within it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.candidates.features import FEATURES, POSITION
from fuserank_ensemble.ranking.adjustments import (
    CATEGORY_LOGITS,
    CODE_LOG_SCORE,
    DISLIKED_LOGITS,
    DISLIKED_WORTH,
    MISSED_LOGITS,
    NEAR_SHARE,
    NEW_LOGITS,
    OUTSIDE_LOGITS,
    OUTSIDE_WORTH,
    TEXT_LOGITS,
    CandidatePlaces,
    adjust,
)

SCORES = st.lists(st.floats(-9, 9, width=32), max_size=30)


def adjusted(
    scores,
    missed=np.nan,
    depth=99,
    ranked=True,
    meant=np.nan,
    category=None,
    department=None,
    text=np.nan,
    priors=True,
    lexical=np.nan,
    disliked=0.0,
):
    scores = np.asarray(scores, np.float32)
    none = np.full(len(scores), -1, np.int32)
    places = CandidatePlaces(
        np.arange(len(scores), dtype=np.int32) if category is None else np.asarray(category, np.int32),
        none if department is None else np.asarray(department, np.int32),
    )
    features = np.full((len(scores), len(FEATURES)), np.nan, np.float32)
    features[:, POSITION["missed"]], features[:, POSITION["category_of_query"]] = missed, meant
    features[:, POSITION["text_score"]], features[:, POSITION["lexical_score"]] = text, lexical
    lowered = np.broadcast_to(np.asarray(disliked, np.float32), len(scores))
    adjustments = adjust(scores, features, places, lowered, depth, ranked, priors)
    return adjustments, adjustments.add_to(scores)


def test_each_missed_condition_costs_as_many_logits():
    adjustments, scores = adjusted([3, 2, 1], [1, 0, 0.5])
    assert set(adjustments.by_name) == {"fit"}
    assert scores.tolist() == [3 - MISSED_LOGITS, 2, 1 - 0.5 * MISSED_LOGITS]


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        (True, [4, 3 - DISLIKED_LOGITS, 1 - DISLIKED_LOGITS / 2]),
        (False, [4, 3 * DISLIKED_WORTH, (1 + DISLIKED_WORTH) / 2]),
    ],
)
def test_what_the_user_disliked_loses_and_stays(ranked, expected):
    adjustments, scores = adjusted([4, 3, 1], ranked=ranked, disliked=[0, 1, 0.5], priors=False)
    assert set(adjustments.by_name) == {"disliked"}
    assert scores.tolist() == pytest.approx(expected)


def test_where_fusion_orders_conditions_already_cost_votes_and_cost_nothing_more():
    adjustments, scores = adjusted([3, 2, 1], [1, 0, 0.5], ranked=False)
    assert adjustments.by_name == {}
    assert scores.tolist() == [3, 2, 1]


@pytest.mark.parametrize("missed", [np.nan, [0, 0, 0]])
def test_where_nothing_is_missed_nothing_is_added(missed):
    adjustments, scores = adjusted([3, 2, 1], missed)
    assert adjustments.by_name == {}
    assert scores.tolist() == [3, 2, 1]


def test_the_category_that_is_meant_counts_by_the_logarithm_of_its_share():
    adjustments, scores = adjusted([3, 2, 1], meant=[-4, -2, -1])
    assert set(adjustments.by_name) == {"category"}
    expected = [3 - 4 * CATEGORY_LOGITS, 2 - 2 * CATEGORY_LOGITS, 1 - CATEGORY_LOGITS]
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)


def test_nearness_in_meaning_counts_by_its_cosine_and_what_is_near_counts_alike():
    adjustments, scores = adjusted([3, 2, 1, 0], text=[0.25, 0.5, np.nan, 0.48])
    assert set(adjustments.by_name) == {"text"}
    near = NEAR_SHARE * 0.5 * TEXT_LOGITS
    assert scores.tolist() == pytest.approx([3 + 0.25 * TEXT_LOGITS, 2 + near, 1, near])


def test_the_nearest_text_is_one_of_those_that_are_compared():
    for far in ([], [0.9, 0.9]):
        _, scores = adjusted([3, 2, *(0 for _ in far)], text=[0.25, 0.5, *far], depth=2)
        assert scores[:2].tolist() == pytest.approx([3 + 0.25 * TEXT_LOGITS, 2 + NEAR_SHARE * 0.5 * TEXT_LOGITS])


def test_where_no_text_is_near_nearness_adds_nothing():
    _, scores = adjusted([3, 2], text=[-0.25, 0.0])
    assert scores.tolist() == [3 - 0.25 * TEXT_LOGITS, 2]


def test_a_ranker_that_learned_from_peoples_queries_needs_no_priors():
    assert adjusted([3, 2], text=[0.2, 0.5], meant=[-4, -2], priors=False)[0].by_name == {}
    adjustments, scores = adjusted([0, 0, 0, 0], **SPREAD, priors=False)
    assert set(adjustments.by_name) == {"category"}
    assert scores.tolist() == [0, 0, -OUTSIDE_LOGITS, -OUTSIDE_LOGITS]


@pytest.mark.parametrize(
    ("has_query", "ranked", "expected"), [(1, True, [0, NEW_LOGITS, 0]), (0, True, [0, 0, 0]), (1, False, [0, 0, 0])]
)
def test_a_search_gives_a_start_to_what_nobody_has_had_yet(has_query, ranked, expected):
    features = np.full((3, len(FEATURES)), np.nan, np.float32)
    features[:, POSITION["reach"]], features[:, POSITION["has_query"]] = [2.0, 0.0, 0.5], has_query
    none, scores = np.full(3, -1, np.int32), np.zeros(3, np.float32)
    adjustments = adjust(
        scores, features, CandidatePlaces(none, none), np.zeros(3, np.float32), 99, ranked, priors=True
    )
    assert adjustments.add_to(scores).tolist() == expected


def test_an_item_without_a_category_is_taken_for_the_mean_one():
    _, scores = adjusted([0, 0, 0], meant=[-4, np.nan, -2])
    assert scores[1] == pytest.approx(scores[[0, 2]].mean())


# Two categories of department 0 have most of the meaning together, departments 1 and 2 have little.
SPREAD = {
    "meant": np.log([0.45, 0.44, 0.1, 0.011]),
    "category": [5, 6, 7, 8],
    "department": [0, 0, 1, 2],
}


def test_an_item_of_a_department_that_is_hardly_meant_loses_more_than_habits_can_give():
    _, within = adjusted([0, 0, 0, 0], **{**SPREAD, "department": None})
    _, scores = adjusted([0, 0, 0, 0], **SPREAD)
    assert (within - scores).tolist() == pytest.approx([0, 0, OUTSIDE_LOGITS, OUTSIDE_LOGITS], abs=1e-6)


def test_where_fusion_orders_such_an_item_keeps_a_quarter_of_its_votes():
    adjustments, scores = adjusted([4, 3, 2, 1], **SPREAD, ranked=False)
    assert set(adjustments.by_name) == {"category"}
    assert scores.tolist() == pytest.approx([4, 3, 2 * OUTSIDE_WORTH, OUTSIDE_WORTH])


def test_two_departments_that_are_both_meant_lose_nothing():
    even = {"meant": np.log([0.5, 0.3, 0.2]), "category": [5, 6, 7], "department": [0, 1, 1]}
    assert adjusted([4, 3, 2], **even, ranked=False)[0].by_name == {}


def test_a_category_counts_once_however_many_items_it_has():
    many = {"meant": np.log([0.3] * 4 + [0.7]), "category": [5] * 4 + [6], "department": [0] * 4 + [1]}
    assert adjusted([4, 3, 2, 1, 0], **many, ranked=False)[0].by_name == {}


def test_of_an_item_without_a_department_nothing_is_held_against_it():
    unknown = {**SPREAD, "category": [5, 6, 7, -1], "department": [0, 0, 1, -1]}
    unknown["meant"] = [*np.log([0.45, 0.44, 0.1]), np.nan]
    _, scores = adjusted([4, 3, 2, 1], **unknown, ranked=False)
    assert scores.tolist() == pytest.approx([4, 3, 2 * OUTSIDE_WORTH, 1])


def test_where_fusion_orders_the_category_already_counts_in_the_votes():
    assert adjusted([3, 2], meant=[-4, -2], ranked=False)[0].by_name == {}


def test_candidates_beyond_the_depth_follow_all_others_in_their_own_order():
    adjustments, scores = adjusted([1, 2, 9, 5], depth=2)
    assert set(adjustments.by_name) == {"depth"}
    assert np.argsort(-scores, kind="stable").tolist() == [1, 0, 2, 3]
    assert scores[:2].tolist() == [1, 2]
    assert scores[2] - scores[3] == pytest.approx(4)


def test_candidates_beyond_the_depth_that_are_worse_anyway_keep_their_scores():
    _, scores = adjusted([4, 3, 2, 1], depth=2)
    assert scores.tolist() == [4, 3, 2, 1]


@given(SCORES, st.integers(1, 30), st.booleans(), st.integers(0, 2**30 - 1))
def test_the_first_items_are_the_same_however_many_candidates_there_are(values, depth, ranked, seed):
    draw = np.random.default_rng(seed)
    missed = draw.choice([0.0, 0.5, 1.0, 2.0], len(values)).astype(np.float32)
    meant = draw.choice([np.nan, -6.0, -2.0, -0.1], len(values)).astype(np.float32)
    category = np.where(np.isnan(meant), -1, draw.integers(0, 5, len(values)))
    department = np.where(category >= 0, category // 2, -1)
    _, whole = adjusted(values, missed, depth, ranked, meant, category, department)
    _, first = adjusted(
        values[:depth], missed[:depth], depth, ranked, meant[:depth], category[:depth], department[:depth]
    )
    expected = np.argsort(-first, kind="stable").tolist()
    assert np.argsort(-whole, kind="stable")[: len(first)].tolist() == expected
    np.testing.assert_array_equal(whole[: len(first)], first)


def test_no_candidates_have_no_adjustments():
    adjustments, scores = adjusted([], [], depth=3)
    assert adjustments.by_name == {}
    assert len(scores) == 0


@given(SCORES, st.data())
def test_what_the_query_names_by_its_code_stands_above_all_else_and_keeps_its_order(scores, data):
    named = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))), bool)
    ranked = data.draw(st.booleans())
    adjustments, after = adjusted(scores, ranked=ranked, lexical=np.where(named, CODE_LOG_SCORE + 0.1, 3.0))
    assert ("lexical" in adjustments.by_name) == (0 < named.sum() < len(named))
    if 0 < named.sum() < len(named):
        assert after[named].min() > after[~named].max()
        assert (np.diff(after[named][np.argsort(np.float32(scores)[named])]) >= 0).all()
