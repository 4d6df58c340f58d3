"""The gate before a small query encoder: what is lost of nDCG@10 at most, and what is kept of the first ten."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_export.engines.parity.gate import Ranking
from fuserank_export.query_encoder.gate import compare_rankings

TEN = [f"i{at}" for at in range(10)]


def ranking(values, ids=TEN):
    return Ranking([list(ids)] * len(values), np.asarray(values, np.float64))


def test_equal_lists_pass():
    row = compare_rankings("as served", ranking([0.5, 0.7]), ranking([0.5, 0.7]))
    assert (row.lost, row.lost_low, row.lost_high, row.overlap, row.problems) == (0.0, 0.0, 0.0, 1.0, ())


def test_a_loss_is_a_share_of_what_the_full_one_has_with_its_interval():
    full = np.full(100, 0.8)
    row = compare_rankings("as served", ranking(full), ranking(full - np.tile([0.0, 0.08], 50)))
    assert row.lost == pytest.approx(0.05)
    assert (row.lost_low, row.lost_high) == pytest.approx((0.04, 0.06), abs=0.001)
    assert row.problems[0].startswith("as served: nDCG@10 of 100 queries is 0.760 instead of 0.800, 5.0% lost (4.0% to")


def test_what_may_lose_too_much_does_not_pass_though_it_lost_nothing():
    differs = np.tile([0.3, -0.3], 4)
    row = compare_rankings("as served", ranking(np.full(8, 0.5)), ranking(0.5 + differs))
    assert row.lost == 0.0
    assert "at the upper end of that interval" in row.problems[0]


def test_by_meaning_alone_more_may_be_lost():
    full = np.full(100, 0.8)
    worse = full - np.tile([0.02, 0.03], 50)
    assert compare_rankings("as served", ranking(full), ranking(worse)).problems
    assert not compare_rankings("by meaning alone", ranking(full), ranking(worse)).problems


def test_other_items_of_the_same_worth_are_told():
    row = compare_rankings("as served", ranking([0.5, 0.5]), ranking([0.5, 0.5], [*TEN[:5], *"abcde"]))
    assert row.problems == ("as served: 0.50 of the first ten are kept; allowed: 0.8",)


def test_nothing_is_shown_by_queries_that_the_full_one_cannot_answer():
    assert compare_rankings("as served", ranking([0.0, 0.0]), ranking([0.0, 0.0])).problems
