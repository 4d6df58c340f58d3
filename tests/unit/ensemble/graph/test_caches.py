"""Caches ask their engine once for what is equal, and never answer one thing with another."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.graph.caches import EmbeddingCache, PairScoreCache


class Encoder:
    """Embeds a query as its first token, and counts the queries that it reads."""

    def __init__(self):
        self.read = []

    def execute(self, requests):
        self.read += [int(row[0]) for tensors in requests for row in tensors["INPUT_IDS"]]
        return [{"EMBEDDING": tensors["INPUT_IDS"][:, :1].astype(np.float32)} for tensors in requests]


def query(*first):
    ids = np.asarray([[token, 9] for token in first])
    return {"INPUT_IDS": ids, "ATTENTION_MASK": np.ones_like(ids)}


def test_a_query_is_encoded_once_also_within_a_batch():
    encoder = Encoder()
    cache = EmbeddingCache(encoder)
    answers = cache.execute([query(1, 2), query(2)]) + cache.execute([query(3, 1)])
    assert encoder.read == [1, 2, 3]
    assert [answer["EMBEDDING"][:, 0].tolist() for answer in answers] == [[1, 2], [2], [3, 1]]
    assert (cache.counts.hits, cache.counts.misses) == (1, 4)


def test_a_full_cache_answers_a_batch_that_is_larger_than_it():
    cache = EmbeddingCache(Encoder(), size=2)
    for _ in range(2):
        assert cache.execute([query(1, 2, 3, 4)])[0]["EMBEDDING"][:, 0].tolist() == [1, 2, 3, 4]


class Tower:
    """Scores a pair by the sum of its tokens, and counts the pairs that it reads."""

    def __init__(self):
        self.read = 0

    def score(self, ids, types):
        self.read += len(ids)
        return np.asarray([tokens.sum() + kinds.sum() / 10 for tokens, kinds in zip(ids, types, strict=True)])


def scored(cache, *pairs, kinds=0):
    ids = [np.asarray(pair) for pair in pairs]
    return cache.score(ids, [np.full(len(pair), kinds) for pair in pairs]).tolist()


def test_only_pairs_that_were_not_read_are_read_and_repeats_once():
    tower = Tower()
    cache = PairScoreCache(tower)
    assert scored(cache, [1, 2], [5], [1, 2]) == [3, 5, 3]
    assert tower.read == 2
    assert scored(cache, [5], [7], [1, 2]) == [5, 7, 3]
    assert tower.read == 3
    assert (cache.counts.hits, cache.counts.misses) == (2, 3)


def test_equal_tokens_of_other_types_are_another_pair():
    cache = PairScoreCache(Tower())
    assert scored(cache, [1, 2]) == [3]
    assert np.allclose(scored(cache, [1, 2], kinds=1), [3.2])


def test_the_least_used_pair_is_forgotten_first():
    tower = Tower()
    cache = PairScoreCache(tower, size=2)
    for token in (3, 4, 3, 5, 3, 4):
        scored(cache, [token])
    assert tower.read == 4


def test_what_was_not_scored_is_not_remembered_as_scored():
    tower = Tower()
    cache = PairScoreCache(tower)
    tower.score = lambda ids, types: 1 / 0
    with pytest.raises(ZeroDivisionError):
        scored(cache, [1])
    del tower.score
    assert scored(cache, [1]) == [1]
