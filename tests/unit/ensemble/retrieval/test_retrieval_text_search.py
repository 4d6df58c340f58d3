"""Every text search is exact: it finds what a plain look at all vectors finds, filtered or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.retrieval.dense import FaissTextSearch, TorchTextSearch

COUNT, DIM = 3_000, 48
TOLERANCE = 2e-3  # of a cosine: a GPU multiplies in half precision


def unit(draw, count, dim=DIM):
    vectors = draw.normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


DRAW = np.random.default_rng(11)
VECTORS = unit(DRAW, COUNT).astype(np.float16)
QUERIES = unit(DRAW, 5).astype(np.float32)


def on_gpu(vectors):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return TorchTextSearch(vectors, "cuda:0")


SEARCHES = {
    "faiss": FaissTextSearch,
    "torch-cpu": lambda vectors: TorchTextSearch(vectors, "cpu"),
    "torch-cuda": on_gpu,
}


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=[pytest.mark.gpu] * (n == "torch-cuda")) for n in SEARCHES]
)
def build(request):
    return SEARCHES[request.param]


@pytest.fixture(scope="module")
def search(build):
    return build(VECTORS)


def assert_exact(found, query, vectors, depth, among=None):
    """As a plain look at all allowed vectors, but for the order of what is equal within the tolerance."""
    rows, scores = found
    exact = vectors.astype(np.float32) @ query
    candidates = np.arange(len(vectors)) if among is None else np.flatnonzero(among)
    best = np.sort(exact[candidates])[::-1][:depth]
    assert len(rows) == len(set(rows.tolist())) == len(best)
    assert np.isin(rows, candidates).all()
    np.testing.assert_allclose(scores, best, atol=TOLERANCE)
    np.testing.assert_allclose(exact[rows], scores, atol=TOLERANCE)
    assert (np.diff(scores) <= 0).all()
    sure = candidates[exact[candidates] > best[-1] + TOLERANCE] if len(best) else []
    assert set(sure) <= set(rows.tolist())


@pytest.mark.parametrize("depth", [1, 10, 300, COUNT, 2 * COUNT])
def test_the_nearest_texts_are_found_exactly(search, depth):
    found = search.search(QUERIES, depth, [None] * len(QUERIES))
    for query, each in zip(QUERIES, found, strict=True):
        assert_exact(each, query, VECTORS, depth)


def test_every_request_of_a_batch_keeps_its_own_filter(search):
    rows = np.arange(COUNT)
    few, many = np.isin(rows, [7, 2_000, 2_999]), rows % 3 == 0
    allowed = [None, few, np.zeros(COUNT, np.bool_), many, None]
    found = search.search(QUERIES, 50, allowed)
    for query, each, among in zip(QUERIES, found, allowed, strict=True):
        assert_exact(each, query, VECTORS, 50, among)


def test_an_answer_does_not_depend_on_its_batch(search):
    together = search.search(QUERIES, 40, [None] * len(QUERIES))
    for query, (rows, scores) in zip(QUERIES, together, strict=True):
        alone_rows, alone_scores = search.search(query[None], 40, [None])[0]
        np.testing.assert_allclose(alone_scores, scores, atol=TOLERANCE)
        assert len(set(alone_rows.tolist()) & set(rows.tolist())) >= 38


def test_a_catalogue_of_one_text_is_searched(build):
    search = build(VECTORS[:1])
    assert_exact(search.search(QUERIES[:1], 10, [None])[0], QUERIES[0], VECTORS[:1], 10)
    assert_exact(search.search(QUERIES[:1], 10, [np.ones(1, np.bool_)])[0], QUERIES[0], VECTORS[:1], 10)


def test_more_texts_than_one_block_of_the_index_are_all_searched():
    vectors = unit(np.random.default_rng(1), 70_000, 8).astype(np.float16)
    query = vectors[69_999].astype(np.float32)
    assert FaissTextSearch(vectors).search(query[None], 1, [None])[0][0].tolist() == [69_999]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20), st.floats(0, 1))
def test_faiss_and_torch_agree_on_any_vectors_and_any_filter(seed, count, depth, share):
    draw = np.random.default_rng(seed)
    vectors, query = unit(draw, count, 8).astype(np.float16), unit(draw, 1, 8).astype(np.float32)
    among = draw.random(count) < share if share < 0.9 else None
    for name in ("faiss", "torch-cpu"):
        assert_exact(SEARCHES[name](vectors).search(query, depth, [among])[0], query[0], vectors, depth, among)
