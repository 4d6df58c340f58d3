"""Dense search is measured on vectors with the intended noise, against exact neighbours."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

pytest.importorskip("matplotlib")
from fuserank_benchmarks.inputs.vectors import noisy_copies
from fuserank_benchmarks.retrieval import stages
from fuserank_benchmarks.retrieval.dense import DEPTH, MEANINGS, Exact, measure_dense, recall


def unit(count, dim=32, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("cosine", [0.8, 0.95, 1.0])
def test_copies_have_the_wanted_mean_cosine_to_their_originals(cosine):
    originals = unit(50, 256)
    draw = np.random.default_rng(1)
    copies = noisy_copies(originals, draw.integers(0, 50, 2_000), cosine, draw).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(copies, axis=1), 1, atol=2e-3)
    assert (copies @ originals.T).max(axis=1).mean() == pytest.approx(cosine, abs=0.01)


def test_copies_depend_on_the_seed_alone():
    rows = np.arange(200) % 9
    drawn = [noisy_copies(unit(9), rows, 0.9, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_recall_ignores_order_and_counts_missing_rows_of_short_answers():
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert recall([np.array([4, 3, 2, 1]), np.array([5, 9])], exact) == pytest.approx((1 + 0.25) / 2)
    assert recall([np.array([], int)] * 2, exact) == 0


def test_exact_neighbours_are_exact_and_faiss_keeps_its_setting():
    vectors, queries = unit(900), unit(48, seed=3)
    before = faiss.cvar.distance_compute_blas_threshold
    exact = Exact.over(vectors, queries)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :DEPTH]
    assert recall(list(exact.neighbours), expected) > 0.999
    assert min(exact.qps, exact.qps_batch) > 0
    assert faiss.cvar.distance_compute_blas_threshold == before


def test_a_small_catalogue_is_measured_from_end_to_end(tmp_path):
    figures = measure_dense(unit(300), unit(96, seed=3), 2_000, tmp_path, build_threads=1)
    assert set(MEANINGS) <= set(figures)
    assert figures["dense_recall_at_100"] > 0.99
    assert figures["dense_filtered50_found"] == 50
    ratio = figures["dense_qps"] / figures["exact_qps"]
    assert figures["dense_speedup_vs_exact"] == pytest.approx(ratio, rel=0.02, abs=0.005)  # it is rounded to 2 places


def test_prefixes_begin_phrases_and_some_have_two_letters_swapped():
    phrases = ["oat drink", "milk", "无糖可乐"]
    prefixes = stages.draw_prefixes(phrases, 500, seed=3)
    assert prefixes == stages.draw_prefixes(phrases, 500, seed=3)
    beginnings = {phrase[:end] for phrase in phrases for end in range(1, len(phrase) + 1)}
    typos = [prefix for prefix in prefixes if prefix not in beginnings]
    assert set(prefixes) >= beginnings
    assert {tuple(sorted(typo)) for typo in typos} <= {tuple(sorted(beginning)) for beginning in beginnings}
    assert 0.05 < len(typos) / len(prefixes) < stages.TYPO_SHARE + 0.05
