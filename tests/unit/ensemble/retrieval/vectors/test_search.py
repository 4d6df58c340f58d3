"""Every vector search keeps one contract, whatever index is behind it, and no filter shortens an answer."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.vectors.build import CODES_FROM, FLAT_UP_TO, build_index
from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
from fuserank_ensemble.retrieval.vectors.gpu import TorchSearch
from fuserank_ensemble.retrieval.vectors.open import open_search

COUNT, DIM = 12_000, 32  # more than the 8,000 to which a filter is answered without the index
EXACT = ("flat", "torch-cpu", "torch-cuda")
INDEXES = ("flat", "pq", "hnsw", "ivf")
TOLERANCE = 8e-3  # of a cosine: 8 bits a component, or half precision on a GPU


def clustered(draw, count, dim=DIM):
    """Unit vectors around a few dozen directions, as texts are."""
    vectors = draw.normal(size=(40, dim))[draw.integers(0, 40, count)] + 0.4 * draw.normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


DRAW = np.random.default_rng(11)
EVERYTHING = clustered(DRAW, COUNT + 6)
VECTORS, QUERIES = EVERYTHING[6:].astype(np.float16), EVERYTHING[:6].astype(np.float32)


def scattered(count, dim, directions):
    """Unit vectors that use only so many of the directions there are, as texts' do."""
    return clustered(DRAW, count, directions) @ np.linalg.qr(DRAW.normal(size=(dim, directions)))[0].T


def built(kind, vectors, folder):
    if kind == "torch-cuda":
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
        return open_search(vectors, folder / "unused", "cuda:0")
    if kind == "torch-cpu":
        return TorchSearch(vectors, "cpu")
    build_index(vectors, folder / "index.faiss", kind)
    return open_search(vectors, folder / "index.faiss")


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.gpu] * (n == "torch-cuda")) for n in (*EXACT, "pq", "hnsw", "ivf")],
)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def search(kind, tmp_path_factory):
    return built(kind, VECTORS, tmp_path_factory.mktemp(kind))


def best(vectors, query, depth, among=None):
    """A plain look at all vectors: the scores of the best, and all exact scores."""
    exact = vectors.astype(np.float32) @ query
    candidates = np.arange(len(vectors)) if among is None else np.flatnonzero(among)
    return candidates[np.argsort(-exact[candidates], kind="stable")[:depth]], exact


def assert_contract(found, query, vectors, depth, among=None, least_recall=0.95):
    rows, scores = found
    true, exact = best(vectors, query, depth, among)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    assert len(rows) == len(scores) == len(set(rows.tolist())) == len(true)
    assert among is None or among[rows].all()
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(exact[rows], scores, atol=TOLERANCE)
    if len(true):
        # What ties with the last true one counts as found.
        assert np.mean(exact[rows] >= exact[true[-1]] - TOLERANCE) >= least_recall


@pytest.mark.parametrize("depth", [1, 10, 300, 2 * COUNT])
def test_as_many_are_found_as_there_are_best_first(search, depth):
    found = search.search(QUERIES, depth, [None] * len(QUERIES))
    for query, each in zip(QUERIES, found, strict=True):
        assert_contract(each, query, VECTORS, depth)


@pytest.mark.parametrize("keep", [1, 50, 399, 8_000, 8_001, 11_000, COUNT])
def test_a_filter_is_filled_to_the_depth_or_to_all_it_keeps(search, keep):
    among = np.zeros(COUNT, np.bool_)
    among[np.random.default_rng(keep).choice(COUNT, keep, replace=False)] = True
    for query, each in zip(QUERIES, search.search(QUERIES, 100, [among] * len(QUERIES)), strict=True):
        assert_contract(each, query, VECTORS, 100, among)


def test_a_filter_that_keeps_only_what_is_far_from_the_query_still_fills_the_answer(search, kind):
    exact = VECTORS.astype(np.float32) @ QUERIES[0]
    for keep in (50, 9_000, COUNT - 100):
        far = np.zeros(COUNT, np.bool_)
        far[np.argsort(exact)[:keep]] = True
        # Nothing near the query is wanted: an approximate index may then miss some, but never come short.
        least = {"hnsw": 0.4, "ivf": 0.8}.get(kind, 1.0)
        found = search.search(QUERIES[:1], 100, [far])[0]
        assert_contract(found, QUERIES[0], VECTORS, 100, far, least)


def test_every_request_of_a_batch_keeps_its_own_filter(search):
    rows = np.arange(COUNT)
    allowed = [None, np.isin(rows, [7, 2_000, 3_999]), np.zeros(COUNT, np.bool_), rows % 3 > 0, None, rows == 0]
    for query, each, among in zip(QUERIES, search.search(QUERIES, 50, allowed), allowed, strict=True):
        assert_contract(each, query, VECTORS, 50, among)


def test_an_answer_does_not_depend_on_its_batch(search):
    together = search.search(QUERIES, 40, [None] * len(QUERIES))
    for query, (rows, scores) in zip(QUERIES, together, strict=True):
        alone_rows, alone_scores = search.search(query[None], 40, [None])[0]
        np.testing.assert_allclose(alone_scores, scores, atol=2e-3)
        assert len(set(alone_rows.tolist()) & set(rows.tolist())) >= 38


def test_an_empty_batch_and_a_depth_of_nothing_find_nothing(search):
    assert search.search(np.empty((0, DIM), np.float32), 10, []) == []
    assert [len(rows) for rows, _ in search.search(QUERIES, 0, [None] * len(QUERIES))] == [0] * len(QUERIES)


@pytest.mark.parametrize("dim", [8, 24, 384, 1_024])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_tiny_catalogues_of_any_width_are_searched_whole(kind, count, dim, tmp_path):
    draw = np.random.default_rng(count)
    vectors, query = clustered(draw, count, dim).astype(np.float16), clustered(draw, 1, dim).astype(np.float32)
    search = built(kind, vectors, tmp_path)
    for among in (None, np.ones(count, np.bool_), np.arange(count) == 1):
        assert_contract(search.search(query, 10, [among])[0], query[0], vectors, 10, among)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_vectors_that_are_all_equal_or_zero_are_each_found_once(kind, value, tmp_path):
    vectors, query = np.full((2_500, 16), value, np.float16), np.full((1, 16), 0.25, np.float32)
    search, among = built(kind, vectors, tmp_path), np.arange(2_500) != 5
    assert_contract(search.search(query, 200, [None])[0], query[0], vectors, 200)
    assert_contract(search.search(query, 200, [among])[0], query[0], vectors, 200, among)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20), st.floats(0, 1))
def test_faiss_and_torch_agree_on_any_vectors_and_any_filter(seed, count, depth, share):
    draw = np.random.default_rng(seed)
    vectors, query = clustered(draw, count, 8).astype(np.float16), clustered(draw, 1, 8).astype(np.float32)
    among = draw.random(count) < share if share < 0.9 else None
    scanned = FaissSearch(vectors).search(query, depth, [among])[0]
    multiplied = TorchSearch(vectors, "cpu").search(query, depth, [among])[0]
    np.testing.assert_allclose(scanned[1], multiplied[1], atol=2e-3)
    for found in (scanned, multiplied):
        assert_contract(found, query[0], vectors, depth, among, least_recall=1.0)


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(0, "flat"), (CODES_FROM - 1, "flat"), (CODES_FROM, "pq"), (FLAT_UP_TO, "pq"), (FLAT_UP_TO + 1, "ivf")],
)
def test_the_kind_of_index_follows_from_the_size(count, chosen, tmp_path):
    vectors = scattered(count, 128, 16).astype(np.float16)
    report = build_index(vectors, tmp_path / "index.faiss")
    assert (report["kind"], report["vectors"]) == (chosen, count)
    if count:
        query = vectors[-1:].astype(np.float32)
        rows, scores = open_search(vectors, tmp_path / "index.faiss").search(query, 1, [None])[0]
        assert scores[0] == pytest.approx(vectors[rows[0]].astype(np.float32) @ query[0], abs=TOLERANCE)


@pytest.mark.parametrize("kind", ["flat", "pq", "ivf"])
def test_more_vectors_than_one_block_are_all_searched(kind, tmp_path):
    vectors = clustered(np.random.default_rng(1), 70_000, 8).astype(np.float16)
    vectors[-1] = -3 * vectors[0]
    build_index(vectors, tmp_path / "index.faiss", kind)
    query = vectors[-1:].astype(np.float32)
    assert open_search(vectors, tmp_path / "index.faiss").search(query, 1, [None])[0][0].tolist() == [69_999]


def test_building_twice_gives_the_same_file(tmp_path):
    for kind in INDEXES:
        files = [tmp_path / f"{kind}.{i}" for i in range(2)]
        for file in files:
            build_index(VECTORS[:5_000], file, kind)
        assert files[0].read_bytes() == files[1].read_bytes(), kind


def test_a_quantised_index_takes_little_more_than_a_byte_a_component(tmp_path):
    vectors = clustered(DRAW, 3_000, 384).astype(np.float16)
    assert build_index(vectors, tmp_path / "index.faiss", "ivf")["bytes_per_vector"] < 700


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """Vectors that are found by their codes, the search, and queries."""
    path = tmp_path_factory.mktemp("coded") / "index.faiss"
    both = scattered(10_050, 384, 48)
    vectors, queries = both[50:].astype(np.float16), both[:50].astype(np.float32)
    assert build_index(vectors, path)["kind"] == "pq"
    return vectors, open_search(vectors, path), queries


@pytest.mark.parametrize("depth", [1, 10, 300, 512])
def test_codes_lose_next_to_nothing_of_a_scan_at_any_depth(depth, coded):
    vectors, search, queries = coded
    found = search.search(queries, depth, [None] * len(queries))
    pairs = zip(queries, found, strict=True)
    assert np.mean([np.isin(best(vectors, query, depth)[0], rows).mean() for query, (rows, _) in pairs]) >= 0.99


def test_codes_that_miss_much_are_not_taken(tmp_path):
    vectors = DRAW.normal(size=(CODES_FROM, 8)).astype(np.float16)  # two bits a component, and nothing alike
    assert build_index(vectors, tmp_path / "index.faiss")["kind"] == "flat"
    assert_contract(
        open_search(vectors, tmp_path / "index.faiss").search(QUERIES[:1, :8].copy(), 9, [None])[0],
        QUERIES[0, :8], vectors, 9,
    )  # fmt: skip


@pytest.mark.parametrize(("count", "dim"), [(100, 16), (5_000, 15)])
def test_codes_are_not_for_few_vectors_nor_for_an_odd_width(count, dim, tmp_path):
    vectors = clustered(DRAW, count, dim).astype(np.float16)
    assert build_index(vectors, tmp_path / "index.faiss", "pq")["kind"] == "flat"


def test_an_index_of_other_vectors_is_refused(tmp_path):
    build_index(VECTORS, tmp_path / "index.faiss")
    with pytest.raises(ValueError, match="export the bundle again"):
        open_search(VECTORS[:-1], tmp_path / "index.faiss")


def test_an_unknown_kind_and_vectors_without_width_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"kind: found 'annoy'; allowed: one of auto, flat"):
        build_index(VECTORS, tmp_path / "index.faiss", "annoy")
    with pytest.raises(ValueError, match="at least one dimension"):
        build_index(np.empty((3, 0), np.float16), tmp_path / "index.faiss")


class OnlyDlpack:
    """A tensor that can do nothing but hand itself over, as Triton's do."""

    def __init__(self, tensor):
        self._tensor = tensor

    def __dlpack__(self, stream=None):
        return self._tensor.__dlpack__()

    def __dlpack_device__(self):
        return self._tensor.__dlpack_device__()


def test_torch_takes_whatever_speaks_dlpack_and_answers_in_kind():
    torch = pytest.importorskip("torch")
    search, readonly = TorchSearch(VECTORS, "cpu"), QUERIES.copy()
    readonly.flags.writeable = False
    expected = search.search(QUERIES, 20, [None] * len(QUERIES))
    for queries in (torch.from_numpy(QUERIES), OnlyDlpack(torch.from_numpy(QUERIES)), readonly):
        rows, scores = search.search_on_device(queries, 20, [None] * len(QUERIES))
        assert np.from_dlpack(rows).tolist() == [each[0].tolist() for each in expected]
        assert np.from_dlpack(scores).dtype == np.float32


def test_on_the_device_an_answer_that_a_filter_shortened_is_padded():
    search = TorchSearch(VECTORS, "cpu")
    rows, scores = search.search_on_device(QUERIES[:1], 5, [np.isin(np.arange(COUNT), [3, 9])])
    assert sorted(rows[0, :2].tolist()) == [3, 9]
    assert rows[0, 2:].tolist() == [-1] * 3
    assert np.isneginf(scores[0, 2:].numpy()).all()


def test_quantisers_of_an_older_index_are_taken_where_it_is_of_the_same_kind(tmp_path):
    old, new = tmp_path / "old.faiss", tmp_path / "new.faiss"
    build_index(VECTORS[:5_000], old, "ivf")
    build_index(VECTORS[:5_000], new, "ivf", trained=old)
    assert new.read_bytes() == old.read_bytes()
    build_index(VECTORS[:4_500], new, "ivf", trained=old)
    assert faiss.read_index(str(new)).ntotal == 4_500
    build_index(VECTORS[:5_000], new, "flat", trained=old)
    assert isinstance(faiss.downcast_index(faiss.read_index(str(new))), faiss.IndexScalarQuantizer)


@pytest.mark.parametrize("scores", [1, 7, 600, 10**9])
def test_a_scan_in_parts_finds_what_a_scan_of_all_does(scores):
    mask = DRAW.random(200) < 0.3
    whole, parts = TorchSearch(VECTORS[:200], "cpu"), TorchSearch(VECTORS[:200], "cpu", scores)
    for depth in (0, 1, 50, 500):
        for allowed in ([None] * 6, [mask, None] * 3, [np.zeros(200, np.bool_)] * 6):
            expected = whole.search_on_device(QUERIES, depth, allowed)
            found = parts.search_on_device(QUERIES, depth, allowed)
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_half_precision_vectors_have_products_in_single_precision():
    """A CPU has no such product: torch's device without data says what types come out."""
    torch = pytest.importorskip("torch")
    halves = [torch.empty((rows, 8), dtype=torch.float16, device="meta") for rows in (3, 5)]
    products = TorchSearch(VECTORS[:5], "cpu")._products(*halves)
    assert (products.dtype, tuple(products.shape)) == (torch.float32, (3, 5))


@pytest.mark.gpu
def test_on_a_gpu_scores_are_not_rounded_to_half_precision(tmp_path):
    search = built("torch-cuda", VECTORS, tmp_path)
    exact = np.sort(VECTORS.astype(np.float32) @ QUERIES[0].astype(np.float16).astype(np.float32))[::-1][:300]
    np.testing.assert_allclose(search.search(QUERIES[:1], 300, [None])[0][1], exact, atol=1e-4)
