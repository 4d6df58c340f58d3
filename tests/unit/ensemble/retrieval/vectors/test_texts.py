"""The cosines of items' texts, several of which are one text."""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.retrieval.vectors.texts import text_cosines


def test_each_item_has_the_cosine_of_its_text_in_the_items_order():
    draw = np.random.default_rng(3)
    vectors, vector = draw.normal(size=(9, 8)).astype(np.float16), draw.normal(size=8).astype(np.float32)
    texts = np.asarray([5, 0, 5, 8, 8, 0, 3], np.int32)
    expected = vectors[texts].astype(np.float32) @ vector
    np.testing.assert_allclose(text_cosines(vectors, texts, vector), expected, rtol=1e-6)
    assert text_cosines(vectors, texts[:0], vector).shape == (0,)
