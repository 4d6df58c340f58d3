"""Evidence: cut, and put in another order."""

from __future__ import annotations

import numpy as np
import pytest

from support.hand_shop import evidence_of


@pytest.fixture
def evidence():
    values = np.arange(5, dtype=np.float32)
    return evidence_of(range(10, 15), {"dense": 1 - values / 10}, {"dense": values}, 9 - values)


def test_a_list_that_is_cut_keeps_what_is_required_of_it(evidence):
    assert evidence.head(2).rows.tolist() == [10, 11]
    assert evidence.head(3, np.asarray([14, 11], np.int32)).rows.tolist() == [10, 11, 14]
    assert evidence.head(1, np.asarray([14, 11], np.int32)).rows.tolist() == [14]
    assert evidence.head(9).rows.tolist() == evidence.rows.tolist()


def test_the_end_of_a_list_is_ordered_by_more_votes_and_stays_behind_its_beginning(evidence):
    found = evidence.with_tail_votes(np.asarray([9.0, 9.0, 0.0, 0.5, 90.0]), 2)
    assert found.rows.tolist() == [10, 11, 14, 12, 13]
    assert found.votes.tolist() == [9, 8, 7, 6, 5]
    assert found.scores["dense"].tolist() == pytest.approx([1.0, 0.9, 0.6, 0.8, 0.7])
    assert found.ranks["dense"].tolist() == [0, 1, 4, 2, 3]
    assert evidence.with_tail_votes(np.ones(5), 9).rows.tolist() == evidence.rows.tolist()
