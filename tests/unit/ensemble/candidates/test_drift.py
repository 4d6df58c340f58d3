"""The features that a ranker learned from: their shares by bin, the index of the formula, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fuserank_ensemble.candidates.drift import BINS, KINDS, LEAST_CASES, FeatureReference, count_bins, stability_index

FEATURES, CANDIDATES = 3, 16


@pytest.fixture
def reference():
    """Of cases with normal values, a tenth of them missing; `user` has fewer cases than shares are taken from."""
    rng = np.random.default_rng(1)
    kinds = np.asarray(["query"] * 100 + ["both"] * 90 + ["user"] * (LEAST_CASES - 1))
    features = rng.standard_normal((len(kinds), CANDIDATES, FEATURES)).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    return FeatureReference.from_cases(kinds, features, np.ones((len(kinds), CANDIDATES), np.bool_))


def test_shares_are_tenths_of_the_known_values_and_one_of_the_missing(reference):
    shares = reference.shares[KINDS.index("query")]
    np.testing.assert_allclose(shares.sum(-1), 1.0)
    np.testing.assert_allclose(shares[:, :BINS], 0.09, atol=0.01)
    np.testing.assert_allclose(shares[:, BINS], 0.1, atol=0.03)


def test_a_kind_with_too_few_cases_has_no_shares(reference):
    assert reference.shares[KINDS.index("both")].any()
    assert not reference.shares[KINDS.index("user")].any()


def test_values_are_counted_in_their_bins_and_missing_ones_in_the_last():
    edges = np.arange(1, BINS, dtype=np.float32)[None]
    values = np.asarray([[0.5], [1.5], [1.6], [99.0], [np.nan]], np.float32)
    assert count_bins(values, edges).tolist() == [[1, 2, *[0] * (BINS - 3), 1, 1]]


def test_the_index_is_that_of_the_formula():
    expected, counts = np.asarray([[0.5, 0.5, 0.0]]), np.asarray([[25, 75, 0]])
    # (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5), worked by hand
    assert stability_index(expected, counts)[0] == pytest.approx(0.274653, abs=1e-6)


def test_a_reference_survives_its_file(reference, tmp_path: Path):
    path = tmp_path / "reference.npz"
    reference.write(path)
    again = FeatureReference.open(path)
    np.testing.assert_array_equal(again.edges, reference.edges)
    np.testing.assert_array_equal(again.shares, reference.shares)
