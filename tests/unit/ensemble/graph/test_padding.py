"""Padding that no row needs is cut off before an engine whose shapes are free."""

from __future__ import annotations

import numpy as np
import pytest
from fuserank_ensemble.graph.padding import STEP, trimmed

PAD = 7


def tokens(*lengths: int, width: int = 32) -> dict[str, np.ndarray]:
    mask = (np.arange(width) < np.asarray(lengths)[:, None]).astype(np.int64)
    return {"INPUT_IDS": mask * 5, "ATTENTION_MASK": mask}


@pytest.mark.parametrize(("lengths", "kept"), [((1,), 4), ((4,), 4), ((5, 2), 8), ((31,), 32), ((32,), 32)])
def test_a_query_is_as_long_as_the_longest_of_its_call(lengths, kept):
    found = trimmed(tokens(*lengths), PAD)
    assert {array.shape for array in found.values()} == {(len(lengths), kept)}
    assert found["ATTENTION_MASK"].sum() == sum(lengths)


def test_a_bucket_that_is_no_multiple_of_the_step_stays_whole():
    assert trimmed(tokens(6, width=6), PAD)["INPUT_IDS"].shape == (1, 6)
    assert 6 % STEP


def pairs(lengths: list[int], of: list[int]) -> dict[str, np.ndarray]:
    ids = np.full((1, len(of), 32), PAD)
    for row, length in enumerate(lengths):
        ids[0, row, :length] = 3
    features = np.zeros((1, 16, 2), np.float32)
    return {"PAIR_IDS": ids, "PAIR_TYPES": np.zeros_like(ids), "PAIR_OF": np.asarray([of]), "FEATURES": features}


def test_pairs_that_no_candidate_has_are_cut_off():
    found = trimmed(pairs([9, 11], [0, 1, 1, 0, 0]), PAD)
    assert found["PAIR_IDS"].shape == found["PAIR_TYPES"].shape == (1, 2, 12)
    assert found["PAIR_OF"].shape == (1, 5)
    assert found["FEATURES"].shape == (1, 16, 2)


def test_a_request_without_pairs_keeps_one_token():
    assert trimmed(pairs([], [-1] * 5), PAD)["PAIR_IDS"].shape == (1, 1, 1)


def test_what_holds_no_tokens_stays():
    embedding = {"EMBEDDING": np.ones((2, 3), np.float32)}
    assert trimmed(embedding, PAD)["EMBEDDING"] is embedding["EMBEDDING"]
