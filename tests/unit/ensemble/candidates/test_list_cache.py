"""A text channel is asked once for what everybody is answered alike, and each time for what is somebody's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.list_cache import ListCache
from fuserank_ensemble.retrieval.channel import ChannelUnavailableError
from fuserank_ensemble.understanding.query import UnderstoodQuery
from support.fake_channel import FakeChannel, channel_query

MILK = channel_query("milk", shared_mask="0")


def found(cache, channel, *queries, depth=10):
    return [ranked.rows.tolist() for ranked in cache.search(channel, list(queries), depth)]


def test_a_query_that_was_asked_before_is_not_searched_again():
    cache, channel = ListCache(), FakeChannel("lexical", [3, 1])
    assert found(cache, channel, MILK) == [[3, 1]]
    bread = replace(MILK, query="bread")
    assert found(cache, channel, MILK, bread, MILK) == [[3, 1]] * 3
    assert [[query.query for query in asked] for asked in channel.asked] == [["milk"], ["bread"]]
    assert (cache.hits, cache.misses) == (2, 2)


@pytest.mark.parametrize(
    "other",
    [
        replace(MILK, query="milk 2"),
        replace(MILK, shared_mask="1"),
        replace(MILK, understood=UnderstoodQuery.plain("milk")),
    ],
)
def test_another_query_another_filter_and_another_understanding_are_searched(other):
    cache, channel = ListCache(), FakeChannel("lexical", [1])
    found(cache, channel, MILK)
    found(cache, channel, other)
    assert len(channel.asked) == 2


def test_the_meaning_counts_where_the_channel_reads_it():
    turned = replace(MILK, embedding=np.roll(MILK.embedding, 1))
    for name, searches in (("lexical", 1), ("dense", 2)):
        cache, channel = ListCache(), FakeChannel(name, [1])
        found(cache, channel, MILK)
        found(cache, channel, turned)
        assert len(channel.asked) == searches


def test_what_is_somebodys_own_is_searched_each_time_and_not_kept():
    cache, channel = ListCache(), FakeChannel("lexical", [1])
    own = replace(MILK, shared_mask=None, allowed=np.ones(40, np.bool_))
    for _ in range(3):
        found(cache, channel, own)
    assert len(channel.asked) == 3
    assert (cache.hits, cache.misses) == (0, 0)


def test_another_depth_is_another_list():
    cache, channel = ListCache(), FakeChannel("lexical", [1, 2, 3])
    assert found(cache, channel, MILK, depth=2) == [[1, 2]]
    assert found(cache, channel, MILK, depth=3) == [[1, 2, 3]]


def test_the_least_used_list_is_forgotten_first():
    cache, channel = ListCache(2), FakeChannel("lexical", [1])
    for query in ("a", "b", "a", "c", "a", "b"):
        found(cache, channel, replace(MILK, query=query))
    assert [asked[0].query for asked in channel.asked] == ["a", "b", "c", "b"]


def test_a_channel_that_does_not_answer_leaves_nothing():
    cache = ListCache()
    with pytest.raises(ChannelUnavailableError):
        found(cache, FakeChannel("lexical", broken=True), MILK)
    assert found(cache, FakeChannel("lexical", [5]), MILK) == [[5]]


def test_an_emptied_cache_knows_nothing_and_counts_on():
    cache, channel = ListCache(2), FakeChannel("lexical", [1])
    found(cache, channel, MILK)
    found(cache, channel, MILK)
    emptied = cache.emptied()
    assert found(emptied, FakeChannel("lexical", [2]), MILK) == [[2]]
    assert (emptied.hits, emptied.misses) == (1, 2)
