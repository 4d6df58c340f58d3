"""All channels together: who is asked what, what a filter leaves, and what is said when a channel does not answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.retriever import request_kind
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from support.channel_shop import history
from support.fake_channel import ITEMS, FakeChannel, channel_query

SEEN = history([1, 2])

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


@pytest.mark.parametrize(
    ("query", "seen", "kind"),
    [("q", None, "query"), ("q", SEEN, "both"), ("", SEEN, "user"), ("", None, "user")],
)
def test_the_kind_of_a_request_follows_from_what_it_holds(query, seen, kind):
    assert request_kind(channel_query(query, seen)) == kind


def test_a_channel_is_asked_only_for_the_kinds_it_weighs_something_for(made):
    dense, trending, unknown = FakeChannel("dense", [1]), FakeChannel("trending", [2]), FakeChannel("new", [3])
    retriever = made(dense, trending, unknown)
    weights = {"query": {"dense": 1.0, "new": 0.0}, "both": {"dense": 0.5, "trending": 0.5}, "user": {"trending": 1.0}}
    retriever._spec = replace(retriever._spec, channel_weights={**weights, "similar": {}})
    queries = [channel_query(), channel_query(seen=SEEN), channel_query("", SEEN)]
    found = retriever.retrieve(queries, [9] * 3)
    assert [[q.query + str(len(q.seen)) for q in asked] for asked in dense.asked] == [["q0", "q2"]]
    assert [[q.query + str(len(q.seen)) for q in asked] for asked in trending.asked] == [["q2", "2"]]
    assert unknown.asked == []
    assert [set(each.channel_counts) for each in found] == [
        {"dense", "fused"},
        {"dense", "trending", "fused"},
        {"trending", "fused"},
    ]
    # A recommendation is filled up behind what has votes.
    assert [sorted(each.rows.tolist()) for each in found[:2]] == [[1], [1, 2]]
    assert (found[2].rows[0], len(found[2].rows)) == (2, 9)


def test_everything_can_be_asked_nevertheless_as_tuning_does(made):
    fakes = [FakeChannel(name, [1]) for name in CHANNELS]
    retriever = made(*fakes, weights={"dense": 1.0})
    lists, unavailable = retriever.search_channels([channel_query()], ["query"], everything=True)
    assert set(lists[0]) == set(CHANNELS)
    assert unavailable == []


def test_a_kind_given_by_the_caller_decides_over_the_querys_own(made):
    retriever = made(FakeChannel("dense", [1]), FakeChannel("content", [2]))
    spec = retriever._spec
    retriever._spec = replace(spec, channel_weights={**spec.channel_weights, "similar": {"content": 1.0}})
    assert retriever.retrieve([channel_query()], [9], "similar")[0].rows.tolist() == [2]


def test_weights_decide_the_order(made):
    for weights, order in (({"dense": 1.0, "trending": 0.1}, [3, 5]), ({"dense": 0.1, "trending": 1.0}, [5, 3])):
        found = made(FakeChannel("dense", [3]), FakeChannel("trending", [5]), weights=weights).retrieve(
            [channel_query()], [9]
        )[0]
        assert found.rows.tolist() == order


def test_a_channel_that_does_not_answer_is_named_and_the_others_answer(made):
    broken, words, popular = (
        FakeChannel("dense", broken=True),
        FakeChannel("lexical", [4, 6], [50, 40]),
        FakeChannel("trending", [6, 8]),
    )
    found = made(broken, words, popular).retrieve([channel_query(), channel_query("", SEEN)], [9, 9])
    for each in found:
        assert each.degraded == ["channel:dense"]
        assert "dense" not in each.channel_counts
        assert sorted(each.rows[:3].tolist()) == [4, 6, 8]
    # What the text channels that answer found is what the others choose from.
    assert popular.asked[0][0].pool.tolist() == [4, 6]
    score = found[0].features[:, POSITION["text_score"]]
    assert not np.isnan(score).any()
    assert np.isnan(found[0].features[:, POSITION["text_rank"]]).all()


def test_a_request_that_does_without_the_channel_is_not_degraded_by_its_neighbour(made):
    retriever = made(FakeChannel("dense", broken=True), FakeChannel("trending", [6]))
    weights = {"query": {"dense": 1.0, "trending": 1.0}, "user": {"trending": 1.0}}
    retriever._spec = replace(retriever._spec, channel_weights={**weights, "both": {}, "similar": {}})
    found = retriever.retrieve([channel_query(), channel_query("", SEEN)], [9, 9])
    assert [each.degraded for each in found] == [["channel:dense"], []]


def test_where_no_channel_answers_the_list_is_empty_and_every_one_is_named(made):
    names = ("dense", "lexical", "trending")
    found = made(*(FakeChannel(name, broken=True) for name in names)).retrieve([channel_query()], [9])[0]
    assert found.degraded == [f"channel:{name}" for name in names]
    assert len(found.rows) == len(found.features) == 0
    assert found.channel_counts == {"fused": 0}


def test_another_error_is_no_degraded_answer(made):
    class Mistaken(FakeChannel):
        def search(self, queries, depth):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made(Mistaken("dense")).retrieve([channel_query()], [9])


def test_lists_are_cut_to_the_depth_of_fusion_and_counted_so(made):
    dense, new = FakeChannel("dense", range(ITEMS)), FakeChannel("new", range(ITEMS))
    found = made(dense, new, channel_depth=5).retrieve([channel_query()], [99])[0]
    # Text channels look deeper: they also say what the others choose from.
    assert dense.depths[0] > new.depths[0] == 5
    assert found.channel_counts == {"dense": 5, "new": 5, "fused": 5}


def test_newcomers_that_a_request_asks_for_are_candidates_whatever_they_weigh(made):
    dense, new = FakeChannel("dense", range(30)), FakeChannel("new", range(30, 40))
    for weights in ({"dense": 1.0, "new": 0.01}, {"dense": 1.0}):
        retriever = made(dense, new, weights=weights)
        plain, exploring = retriever.retrieve([channel_query(), channel_query(newcomers=3)], [16, 16])
        assert plain.rows.tolist() == list(range(16))
        assert exploring.rows.tolist() == [*range(13), 30, 31, 32]
        assert exploring.features[-3:, POSITION["new_rank"]] == pytest.approx(np.log1p([0, 1, 2]))
        # At most a quarter of all candidates.
        assert retriever.retrieve([channel_query(newcomers=9)], [8])[0].rows.tolist() == [0, 1, 2, 3, 4, 5, 30, 31]


def test_an_item_that_must_be_a_candidate_is_described_like_any_other(made):
    wanted = np.asarray([39, 2], np.int32)
    found = made(FakeChannel("dense", [20, 2, 3]), FakeChannel("new", [5])).retrieve(
        [channel_query(required=wanted, newcomers=1)], [4]
    )[0]
    assert set(found.rows.tolist()) == {39, 2, 5, 20}
    text = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert text[39] == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(found.features[found.rows == 39, POSITION["text_rank"]]).all()


def test_no_more_candidates_than_asked_for_by_each_request(made):
    found = made(FakeChannel("dense", range(ITEMS))).retrieve([channel_query()] * 3, [1, 7, 99])
    assert [len(each.rows) for each in found] == [1, 7, ITEMS]
    assert [each.channel_counts["fused"] for each in found] == [1, 7, ITEMS]


def test_candidates_that_only_other_channels_found_have_a_text_score(made):
    found = made(FakeChannel("dense", [39]), FakeChannel("trending", [20])).retrieve([channel_query()], [9])[0]
    by_row = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert by_row == pytest.approx({39: 1.0, 20: 20 / 39}, abs=1e-3)
    assert np.isnan(found.features[found.rows == 20, POSITION["text_rank"]]).all()


def test_without_a_query_there_is_no_pool_and_no_text_score(made):
    popular = FakeChannel("trending", [20])
    found = made(popular).retrieve([channel_query("", SEEN)], [9])[0]
    assert popular.asked[0][0].pool is None
    assert np.isnan(found.features[:, POSITION["text_score"]]).all()


# The vectors of `made` make the cosine of row r and the query r / 39.
