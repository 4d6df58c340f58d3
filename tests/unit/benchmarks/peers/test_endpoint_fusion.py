"""Both HTTP peers answer by reciprocal-rank fusion of their lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fuserank_benchmarks.peers.endpoint import fusion


def rows(*values: int) -> fusion.Rows:
    return np.array(values, np.int32)


def test_every_list_adds_the_reciprocal_of_sixty_and_the_rank() -> None:
    fused = dict(fusion.fuse(rows(5, 6), rows(6), rows(5)))

    assert fused[5] == pytest.approx(1 / 61 + 1 / 61)
    assert fused[6] == pytest.approx(1 / 62 + 1 / 61)


def test_with_a_query_only_items_near_it_are_ranked() -> None:
    assert {row for row, _ in fusion.fuse(rows(1, 2), rows(9), rows(8))} == {1, 2}


def test_without_a_query_habits_and_popular_items_are_ranked() -> None:
    assert [row for row, _ in fusion.fuse(None, rows(9, 8), rows(8))] == [8, 9]


def test_equal_scores_stand_in_the_order_of_their_rows() -> None:
    assert [row for row, _ in fusion.fuse(None, rows(9), rows(4))] == [4, 9]


def test_no_list_adds_more_items_than_its_depth() -> None:
    assert len(fusion.fuse(None, np.arange(500, dtype=np.int32), rows())) == fusion.DEPTH


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_finds_the_vector_itself_first(kind: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(7).normal(size=(400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "vectors.npy", vectors.astype(np.float16))

    _, found = fusion.build_index(tmp_path, kind).search(vectors[:5], 1)

    assert found[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_an_unknown_index_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.eye(4, dtype=np.float16))

    with pytest.raises(ValueError, match="found 'hnsw'"):
        fusion.build_index(tmp_path, "hnsw")
