"""Variety by texts and by categories, with numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.ranking.diversity import CATEGORY_LIKENESS, mmr, similarity_to


def unit(*angles):
    return np.asarray([[math.cos(a), math.sin(a)] for a in np.radians(angles)], np.float32)


def categories(*codes):
    return np.asarray(codes, np.int32)


NONE = categories(-1, -1, -1, -1)


def test_without_diversity_the_order_stays():
    scores = np.asarray([5, 4, 3, 2], np.float32)
    assert mmr(scores, unit(0, 1, 2, 90), categories(0, 0, 0, 1), 3, 0.0).tolist() == [0, 1, 2]


def test_full_diversity_picks_what_is_far_from_the_first():
    scores = np.asarray([5, 4, 3, 2], np.float32)
    assert mmr(scores, unit(0, 1, 2, 90), NONE, 2, 1.0).tolist() == [0, 3]


def test_some_diversity_passes_over_a_copy_of_the_best():
    scores = np.asarray([1.0, 0.99, 0.6, 0.0], np.float32)
    assert mmr(scores, unit(0, 0, 90, 180), NONE, 3, 0.5).tolist()[:2] != [0, 1]


def test_items_of_one_category_have_the_stated_similarity_though_texts_differ():
    vectors = unit(0, 90, 60, 0)
    found = similarity_to(vectors, categories(4, 4, 4, 5), 0)
    half = CATEGORY_LIKENESS
    assert found.tolist() == pytest.approx([1.0, half, 0.5 + half * 0.5, 1.0], abs=1e-6)
    # What has no category is of no category, and not of one with all others that have none.
    assert similarity_to(vectors, NONE, 0).tolist() == pytest.approx([1.0, 0.0, 0.5, 1.0], abs=1e-6)


def test_diversity_prefers_another_category_of_equal_texts_and_another_text():
    scores = np.asarray([1.0, 0.9, 0.9], np.float32)
    assert mmr(scores, unit(0, 60, 60), categories(1, 1, 2), 2, 0.5).tolist() == [0, 2]
    assert mmr(scores, unit(0, 10, 60), categories(1, 1, 1), 2, 0.5).tolist() == [0, 2]


def test_what_stands_in_the_list_already_is_not_picked_and_counts_as_seen():
    scores = np.asarray([1.0, 0.99, 0.5], np.float32)
    assert mmr(scores, unit(0, 0, 90), NONE[:3], 3, 0.6, np.asarray([0])).tolist() == [2, 1]


@given(st.integers(0, 12), st.integers(0, 4), st.integers(1, 15), st.floats(0, 1), st.integers(0, 99))
def test_diversity_never_repeats_or_loses_an_item(count, standing, k, diversity, seed):
    draw = np.random.default_rng(seed)
    scores = -np.sort(draw.integers(0, 4, count)).astype(np.float32)
    vectors = draw.normal(size=(count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    there = np.arange(min(standing, count))
    picked = mmr(scores, vectors, draw.integers(-1, 3, count).astype(np.int32), k, diversity, there).tolist()
    assert len(picked) == len(set(picked)) == min(k, count - len(there))
    assert not set(picked) & set(there.tolist())
