"""Half precision is read as NumPy reads it."""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.retrieval.vectors.half import to_float32


def test_every_finite_number_in_half_precision_is_widened_to_itself():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 31)
    widened = to_float32(halves)
    assert widened.dtype == np.float32
    np.testing.assert_array_equal(widened.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_rows_of_another_precision_and_none_are_widened_too():
    assert to_float32(np.ones((2, 3))).dtype == np.float32
    assert to_float32(np.empty((0, 3), np.float16)).shape == (0, 3)
    kept = np.ones((2, 3), np.float32)
    assert to_float32(kept) is kept
