"""The pool of a query: what matches it about as well as the best match, by words first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.channel import RankedItems
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_ensemble.retrieval.lexical.tiers import WORDS_SCORE
from fuserank_ensemble.retrieval.pool import select_pool


def ranked(rows, scores):
    return RankedItems(np.asarray(rows, np.int32), np.asarray(scores, np.float32))


def select(lists):
    return select_pool(lists, DECLARATIONS.values())


def test_where_items_have_all_words_of_the_query_they_are_the_pool():
    lists = {"lexical": ranked([4, 2, 9], [WORDS_SCORE + 20, WORDS_SCORE + 1, 12]), "dense": ranked([7, 4], [0.9, 0.8])}
    assert select(lists).tolist() == [4, 2]


def test_where_no_item_has_all_words_dense_matches_come_before_lexical_ones():
    lists = {"lexical": ranked([4, 2, 9], [20, 13, 11]), "dense": ranked([7, 4, 5], [0.8, 0.7, 0.6])}
    # 60 % of the best score by words, 85 % of the best cosine.
    assert select(lists).tolist() == [7, 4, 2]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, []),
        ({"dense": RankedItems.empty(), "lexical": RankedItems.empty()}, []),
        ({"dense": ranked([3, 1], [0.5, 0.1])}, [3]),
        ({"lexical": ranked([3, 1], [5, 4])}, [3, 1]),
        ({"lexical": ranked([8], [WORDS_SCORE]), "dense": ranked([3], [1.0])}, [8]),
    ],
)
def test_one_text_channel_alone_or_none_still_gives_a_pool(lists, expected):
    found = select(lists)
    assert found.tolist() == expected
    assert found.dtype == np.int32


@given(
    st.lists(st.integers(0, 39), unique=True, max_size=20), st.lists(st.integers(0, 39), unique=True, max_size=20),
    st.floats(1, 89), st.floats(-1, 1),
)  # fmt: skip
def test_a_pool_repeats_nothing_and_holds_the_best_of_each_text_channel(words, meaning, top, cosine):
    lists = {
        "lexical": ranked(words, np.linspace(top, top / 3, len(words))),
        "dense": ranked(meaning, np.linspace(cosine, cosine - 0.5, len(meaning))),
    }
    pool = select(lists).tolist()
    assert len(set(pool)) == len(pool)
    assert set(pool) <= {*words, *meaning}
    if words:
        assert words[0] in pool
    elif meaning:
        assert meaning[0] in pool


def test_a_guess_without_a_share_of_a_vote_is_in_no_pool():
    lexical = RankedItems(
        np.asarray([4, 2, 9], np.int32), np.asarray([20, 19, 18], np.float32), np.asarray([0, 1, 0.75], np.float32)
    )
    assert select({"lexical": lexical}).tolist() == [2, 9]
    unknown = RankedItems(lexical.rows, lexical.scores, np.zeros(3, np.float32))
    assert select({"lexical": unknown, "dense": ranked([7], [0.5])}).tolist() == [7]
