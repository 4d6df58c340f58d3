"""Permutation tests of a hundred draws: what these tests protect is not how fine a p is."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="package")
def few_permutations():
    significance = pytest.importorskip("fuserank_evaluation.metrics.significance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(significance, "_RESAMPLES", 99)
        yield
