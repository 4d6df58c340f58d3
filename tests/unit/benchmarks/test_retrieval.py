"""The retrieval bench measures what it says: believable vectors, true recall, and reports that share a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from fuserank_benchmarks import retrieval as bench
from fuserank_benchmarks import stages as bench_stage
from fuserank_evaluation import report


def unit(count, dim=32, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("cosine", [0.8, 0.95, 1.0])
def test_copies_lie_as_near_to_their_originals_as_asked(cosine):
    originals = unit(50, 256)
    copies = bench.noisy_copies(originals, 2_000, cosine, seed=1).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(copies, axis=1), 1, atol=2e-3)
    assert (copies @ originals.T).max(axis=1).mean() == pytest.approx(cosine, abs=0.01)


def test_copies_depend_on_the_seed_alone():
    drawn = [bench.noisy_copies(unit(9), 200, 0.9, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_recall_counts_what_is_missing_and_is_not_fooled_by_order_or_short_answers():
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert bench.recall([np.array([4, 3, 2, 1]), np.array([5, 9])], exact) == pytest.approx((1 + 0.25) / 2)
    assert bench.recall([np.array([], int)] * 2, exact) == 0


def test_the_exact_neighbours_are_exact_and_the_library_is_left_as_it_was():
    vectors, queries = unit(900), unit(48, seed=3)
    before = bench.faiss.cvar.distance_compute_blas_threshold
    exact = bench.Exact.over(vectors, queries)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, : bench.DEPTH]
    assert bench.recall(list(exact.neighbours), expected) > 0.999
    assert min(exact.qps, exact.qps_batch) > 0
    assert bench.faiss.cvar.distance_compute_blas_threshold == before


def test_a_small_catalogue_is_measured_from_end_to_end(tmp_path):
    measured = bench.measure_dense(unit(300), unit(96, seed=3), 2_000, tmp_path, build_threads=1)
    assert set(bench.MEANINGS) <= set(measured)
    assert measured["dense_recall_at_100"] > 0.99
    assert measured["dense_filtered50_found"] == 50
    ratio = measured["dense_qps"] / measured["exact_qps"]
    assert measured["dense_speedup_vs_exact"] == pytest.approx(ratio, rel=0.02, abs=0.005)  # it is rounded to 2 places


def test_a_part_of_a_report_replaces_its_own_figures_and_keeps_the_others(reports):
    report.merge_report("retrieval", "quality", "b-1", {"recall": 0.9, "old": 1}, {"recall": "share"}, {})
    path = report.merge_report("retrieval", "cost", "b-2", {"p50_ms": 3, "old": 2}, {"p50_ms": "ms"}, {})
    written = json.loads(path.read_text("utf-8"))
    assert path == reports / "retrieval.json"
    assert {name: written[name] for name in ("bundle", "recall", "old", "p50_ms")} == {
        "bundle": "b-2", "recall": 0.9, "old": 2, "p50_ms": 3
    }  # fmt: skip
    assert "`recall` | 0.9" in (reports / "retrieval-quality.md").read_text("utf-8")
    page = (reports / "retrieval-cost.md").read_text("utf-8")
    assert "`p50_ms` | 3 | ms" in page
    assert "recall" not in page


def test_a_report_of_one_command_forgets_the_last_run(reports):
    report.write_report("demo", "b-1", {"a": 1}, {"a": "one"}, {})
    path = report.write_report("demo", "b-1", {"b": 2}, {"b": "two"}, {})
    assert "a" not in json.loads(path.read_text("utf-8"))
    assert "`b` | 2 | two" in (reports / "demo.md").read_text("utf-8")


def test_what_is_typed_begins_phrases_and_some_of_it_has_two_letters_swapped():
    phrases = ["oat drink", "milk", "无糖可乐"]
    prefixes = bench_stage.typed(phrases, 500, seed=3)
    assert prefixes == bench_stage.typed(phrases, 500, seed=3)
    beginnings = {phrase[:end] for phrase in phrases for end in range(1, len(phrase) + 1)}
    slips = [prefix for prefix in prefixes if prefix not in beginnings]
    assert set(prefixes) >= beginnings
    assert {tuple(sorted(slip)) for slip in slips} <= {tuple(sorted(beginning)) for beginning in beginnings}
    assert 0.05 < len(slips) / len(prefixes) < bench_stage.SLIPS + 0.05
