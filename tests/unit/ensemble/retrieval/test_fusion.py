"""Fusion is the published formula with weights, forgets nothing a channel said, and remembers no request before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import Knowledge, RankedItems, starts_of_ties
from fuserank_ensemble.retrieval.fusion import ReciprocalRankFusion

ITEMS = 30
NAMES = ["dense", "history", "trending", "other"]
ROWS = st.permutations(range(ITEMS)).flatmap(lambda rows: st.integers(0, ITEMS).map(lambda n: rows[:n]))
LISTS = st.dictionaries(st.sampled_from(NAMES), ROWS, min_size=1)
WEIGHTS = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.25, 1.0, 3.0]) for name in NAMES})
EQUAL = dict.fromkeys(NAMES, 1.0)


def ranked(rows):
    scores = np.linspace(0.9, 0.1, len(rows)) if rows else np.empty(0)
    return RankedItems(np.asarray(rows, np.int32), scores.astype(np.float32))


def formula(lists, weights, depth):
    """Cormack, Clarke, Buettcher: the sum of 1 / (60 + rank), here each times its channel's weight."""
    scores = {}
    for name, rows in lists.items():
        for rank, row in enumerate(rows[:depth], 1):
            scores[row] = scores.get(row, 0.0) + weights[name] / (60 + rank)
    return scores


@given(LISTS, WEIGHTS, st.integers(1, 40), st.integers(1, 40))
def test_the_order_is_by_the_weighted_sum_of_reciprocal_ranks(lists, weights, depth, limit):
    fusion = ReciprocalRankFusion(ITEMS, depth)
    scores = formula(lists, weights, depth)
    fused = fusion.fuse({name: ranked(rows) for name, rows in lists.items()}, weights, limit)
    expected = sorted(scores, key=lambda row: -round(scores[row], 12))
    assert [round(scores[row], 12) for row in fused.rows] == [round(scores[row], 12) for row in expected[:limit]]
    assert len(set(fused.rows.tolist())) == len(fused.rows) == min(limit, len(scores))


def test_weights_decide_by_numbers_worked_out_by_hand():
    lists = {"dense": ranked([7, 8, 9]), "history": ranked([9, 5])}
    fusion = ReciprocalRankFusion(ITEMS, 10)
    # 9: 1/63 + 1/61 = 0.0323; 7: 1/61 = 0.0164; 8 and 5: 1/62.
    assert fusion.fuse(lists, {"dense": 1.0, "history": 1.0}, 9).rows.tolist() == [9, 7, 8, 5]
    # 9: 1/63 + 0.01/61 = 0.01604; 7: 0.01639; 8: 0.01613; 5: 0.01/62.
    assert fusion.fuse(lists, {"dense": 1.0, "history": 0.01}, 9).rows.tolist() == [7, 8, 9, 5]
    # 9: 1/63 + 2/61 = 0.0487; 5: 2/62 = 0.0323.
    assert fusion.fuse(lists, {"dense": 1.0, "history": 2.0}, 9).rows.tolist() == [9, 5, 7, 8]


@given(LISTS, WEIGHTS, st.integers(1, 40), st.integers(1, 40), ROWS)
def test_required_rows_stay_and_the_others_are_the_best_of_the_rest_in_order(lists, weights, depth, limit, also):
    named = {name: ranked(rows) for name, rows in lists.items()}
    fusion = ReciprocalRankFusion(ITEMS, depth)
    whole = fusion.fuse(named, weights, 2 * ITEMS).rows.tolist()
    must = also[:limit]
    fused = fusion.fuse(named, weights, limit, np.asarray(also, np.int32))
    found = fused.rows.tolist()
    assert set(must) <= set(found)
    assert len(set(found)) == len(found) == min(limit, len(set(whole) | set(must)))
    others = [row for row in whole if row not in must]
    assert [row for row in found if row not in must] == others[: limit - len(must)]
    assert [row for row in found if row in whole] == [row for row in whole if row in found]
    for name, rows in lists.items():
        known = [rows.index(row) if row in rows else -1 for row in found]
        assert np.nan_to_num(fused.ranks[name], nan=-1).tolist() == known
    assert fusion.fuse(named, weights, 2 * ITEMS).rows.tolist() == whole


def test_what_only_a_channel_of_no_weight_named_comes_last():
    lists = {"other": ranked([1, 2]), "dense": ranked([3])}
    assert ReciprocalRankFusion(ITEMS, 10).fuse(lists, {"other": 0.0, "dense": 0.5}, 9).rows.tolist() == [3, 1, 2]


@given(LISTS, WEIGHTS, st.integers(1, 40))
def test_every_channels_rank_and_score_are_kept(lists, weights, depth):
    named = {name: ranked(rows) for name, rows in lists.items()}
    fused = ReciprocalRankFusion(ITEMS, depth).fuse(named, weights, ITEMS)
    assert fused.ranks.keys() == fused.scores.keys() == lists.keys()
    for name, rows in lists.items():
        assert fused.ranks[name].dtype == fused.scores[name].dtype == np.float32
        for position, row in enumerate(fused.rows.tolist()):
            rank, score = fused.ranks[name][position], fused.scores[name][position]
            if row in rows:
                assert rank == rows.index(row)
                assert score == named[name].scores[rows.index(row)]
            else:
                assert np.isnan(rank)
                assert np.isnan(score)


def test_beyond_its_depth_a_list_names_no_candidate_but_still_says_where_it_has_one():
    lists = {"dense": ranked([1, 2, 3, 4]), "history": ranked([4])}
    fused = ReciprocalRankFusion(ITEMS, 2).fuse(lists, EQUAL, 9)
    assert fused.rows.tolist() == [1, 4, 2]
    assert fused.ranks["dense"].tolist() == [0, 3, 1]
    assert fused.scores["dense"].tolist() == lists["dense"].scores[[0, 3, 1]].tolist()


@given(st.lists(LISTS, min_size=2, max_size=4), st.integers(1, 40))
def test_a_request_leaves_no_trace_for_the_next(requests, depth):
    used = ReciprocalRankFusion(ITEMS, depth)
    for lists in requests:
        named = {name: ranked(rows) for name, rows in lists.items()}
        found = used.fuse(named, EQUAL, 20)
        fresh = ReciprocalRankFusion(ITEMS, depth).fuse(named, EQUAL, 20)
        assert found.rows.tolist() == fresh.rows.tolist()
        for name in named:
            np.testing.assert_array_equal(found.scores[name], fresh.scores[name])
            np.testing.assert_array_equal(found.ranks[name], fresh.ranks[name])


def test_equal_sums_keep_the_order_in_which_they_were_named():
    lists = {"history": ranked([5, 2]), "trending": ranked([9, 7])}
    assert ReciprocalRankFusion(ITEMS, 10).fuse(lists, EQUAL, 9).rows.tolist() == [5, 9, 2, 7]


@pytest.mark.parametrize("lists", [{}, {"dense": RankedItems.empty(), "trending": RankedItems.empty()}])
def test_nothing_found_is_an_empty_list(lists):
    fused = ReciprocalRankFusion(ITEMS, 10).fuse(lists, EQUAL, 9)
    assert len(fused.rows) == 0
    assert fused.rows.dtype == np.int32
    assert all(len(each) == 0 for each in (*fused.ranks.values(), *fused.scores.values()))


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from([0.0, -1.0, 0.5, 2.0])), max_size=60), st.integers(1, 20)
)
def test_the_best_of_scored_rows_are_the_first_of_all_in_stable_order(pairs, depth):
    rows = np.arange(len(pairs), dtype=np.int32)
    scores = np.asarray([score for _, score in pairs], np.float32)
    best = RankedItems.best(rows, scores, depth)
    expected = sorted(rows.tolist(), key=lambda row: -scores[row])[:depth]
    assert best.rows.tolist() == expected
    assert best.scores.tolist() == scores[expected].tolist()
    assert (best.rows.dtype, best.scores.dtype) == (np.int32, np.float32)


def test_a_share_of_a_vote_counts_that_share_and_votes_are_told_in_first_places():
    half = RankedItems(np.asarray([4, 5], np.int32), np.asarray([9, 8], np.float32), np.asarray([0.5, 0.0], np.float32))
    fused = ReciprocalRankFusion(ITEMS, 10).fuse({"dense": ranked([6]), "history": half}, EQUAL, 9)
    assert fused.rows.tolist() == [6, 4, 5]
    assert fused.votes.tolist() == pytest.approx([60 / 61, 0.5 * 60 / 61, 0.0])
    assert fused.votes.dtype == np.float32


def test_what_an_item_is_worth_multiplies_its_votes_and_so_orders():
    lists = {"dense": ranked([7, 8, 9])}

    def worth(rows):
        return np.where(rows == 7, 0.5, 1.0).astype(np.float32)

    fused = ReciprocalRankFusion(ITEMS, 10).fuse(lists, EQUAL, 9, worth=worth)
    assert fused.rows.tolist() == [8, 9, 7]
    assert fused.votes.tolist() == pytest.approx([60 / 62, 60 / 63, 0.5 * 60 / 61])
    kept = ReciprocalRankFusion(ITEMS, 10).fuse(lists, EQUAL, 2, np.asarray([7], np.int32), worth)
    assert kept.rows.tolist() == [8, 7], "what is required stays whatever it is worth"


def test_equal_scores_share_the_mean_of_their_places():
    tied = RankedItems(np.asarray([4, 5, 6, 7], np.int32), np.asarray([9, 2, 2, 1], np.float32))
    fused = ReciprocalRankFusion(ITEMS, 10).fuse({"dense": tied}, EQUAL, 9)
    assert fused.rows.tolist() == [4, 5, 6, 7]
    assert fused.ranks["dense"].tolist() == [0, 1.5, 1.5, 3]
    assert fused.votes.tolist() == pytest.approx([60 / 61, 60 / 62.5, 60 / 62.5, 60 / 64])


@pytest.mark.parametrize(
    ("dense", "history", "expected"),
    [
        # 5 is known to all but dense: its votes count 1.2 / 0.9 times. What did not answer has no part in the sum.
        (0.3, 0.9, {5: 0.9 * 60 / 61 * 1.2 / 0.9, 0: 0.3 * 60 / 61 + 0.9 * 60 / 62, 1: 0.3 * 60 / 62}),
        # 1.2 / 0.3 would be four times: twice is the most.
        (0.9, 0.3, {5: 0.3 * 60 / 61 * 2, 0: 0.9 * 60 / 61 + 0.3 * 60 / 62, 1: 0.9 * 60 / 62}),
        # A channel of no weight that knows nothing of an item takes nothing from it.
        (0.0, 0.9, {5: 0.9 * 60 / 61, 0: 0.9 * 60 / 62, 1: 0.0}),
    ],
)
def test_what_a_channel_can_know_nothing_of_is_judged_by_those_that_answered(dense, history, expected):
    fusion = ReciprocalRankFusion(ITEMS, 10, {"dense": Knowledge(items=np.arange(ITEMS) != 5)})
    lists = {"dense": ranked([0, 1]), "history": ranked([5, 0]), "trending": ranked([])}
    fused = fusion.fuse(lists, {"dense": dense, "history": history, "trending": 7.0}, 9)
    votes = dict(zip(fused.rows.tolist(), fused.votes.tolist(), strict=True))
    assert votes == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dense", "trending"])
def test_what_one_channel_comes_to_know_changes_what_no_other_knows(name):
    blind = Knowledge(items=np.arange(ITEMS) != 5)
    fusion = ReciprocalRankFusion(ITEMS, 10, {"dense": blind, "trending": blind})
    lists = {"dense": ranked([0]), "history": ranked([5]), "trending": ranked([0])}

    def votes_of_5(fused_by, **weights):
        fused = fused_by.fuse(lists, {"dense": 0.2, "history": 1.0, "trending": 0.2, **weights}, 9)
        return fused.votes[fused.rows.tolist().index(5)]

    for known in (Knowledge(items=np.ones(ITEMS, np.bool_)), Knowledge()):
        assert votes_of_5(fusion.with_knowledge(name, known)) == pytest.approx(60 / 61 * 1.4 / 1.2)
    assert votes_of_5(fusion.with_knowledge(name, blind)) == pytest.approx(60 / 61 * 1.4 / 1.0)
    assert votes_of_5(fusion) == pytest.approx(60 / 61 * 1.4 / 1.0), "it is another that knows more"


def test_equal_sums_stand_by_popularity_and_those_without_a_vote_as_they_are_listed():
    counts = np.zeros(ITEMS, np.float32)
    counts[[5, 6]] = [8, 9]
    popularity = replace(Popularity.empty(ITEMS), counts=counts, trend=counts)
    lists = {"dense": ranked([4]), "history": ranked([5]), "other": ranked([7, 6])}
    fused = ReciprocalRankFusion(ITEMS, 10, popularity=popularity).fuse(lists, {**EQUAL, "other": 0.0}, 9)
    assert fused.rows.tolist() == [5, 4, 7, 6]


@given(st.permutations(range(12)), st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=12, max_size=12))
def test_the_order_in_which_ties_are_listed_changes_no_vote(order, values):
    values = np.sort(np.asarray(values, np.float32))[::-1]
    groups = [np.flatnonzero(values == value) for value in np.unique(values)[::-1]]
    other = np.concatenate([sorted(group, key=lambda row: order[row]) for group in groups]).astype(np.int32)
    both = [
        ReciprocalRankFusion(ITEMS, 20).fuse({"dense": RankedItems(rows, values)}, EQUAL, 12)
        for rows in (np.arange(12, dtype=np.int32), other)
    ]
    votes = [dict(zip(fused.rows.tolist(), fused.votes.tolist(), strict=True)) for fused in both]
    assert votes[0] == votes[1]


def test_what_is_equal_and_stands_by_popularity_is_told_apart_by_it_alone():
    counts = np.zeros(ITEMS, np.float32)
    counts[[3, 5]] = [8, 2]
    popularity = replace(Popularity.empty(ITEMS), counts=counts, trend=counts)
    tied = RankedItems(np.asarray([3, 5, 1, 2], np.int32), np.full(4, 0.5, np.float32))
    lists = {"dense": tied, "other": tied}
    fused = ReciprocalRankFusion(ITEMS, 10, popularity=popularity, by_popularity=["dense"]).fuse(lists, EQUAL, 9)
    assert fused.rows.tolist() == [3, 5, 1, 2]
    assert fused.ranks["dense"].tolist() == [0, 1, 2.5, 2.5]
    assert fused.ranks["other"].tolist() == [1.5] * 4


def test_what_rounding_alone_tells_apart_is_equal():
    scores = np.asarray([0.3, 0.3 * (1 - 1e-7), 0.2], np.float32)
    assert starts_of_ties(scores).tolist() == [True, False, True]
    assert starts_of_ties(np.asarray([0.0, 0.0, -1.0], np.float32)).tolist() == [True, False, True]


@given(LISTS, st.lists(WEIGHTS, min_size=1, max_size=3), st.integers(1, 40), st.integers(1, 40), ROWS)
def test_lists_that_are_joined_once_are_ordered_for_each_weights_as_fusing_does(lists, several, depth, limit, unknown):
    known = np.ones(ITEMS, np.bool_)
    known[unknown] = False
    fusion = ReciprocalRankFusion(ITEMS, depth, {"dense": Knowledge(items=known), "other": Knowledge(trust=0.5)})
    named = {name: ranked(rows) for name, rows in lists.items()}
    joined = fusion.join(named)
    for weights in several:
        assert fusion.rank(joined, weights, limit).tolist() == fusion.fuse(named, weights, limit).rows.tolist()
