"""What a channel's list counts beside the others': guesses, conditions, ties, and what it can know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.channel_search import AGREEMENT, LEAST_GUESS, MOST_GUESS
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.filler import Filler
from fuserank_ensemble.retrieval.channel import (
    Knowledge,
    trust_in_log,
)
from fuserank_ensemble.retrieval.conditions import MISSED_WORTH
from fuserank_ensemble.understanding.query import UnderstoodQuery
from support.channel_shop import NOW, history
from support.fake_channel import DIM, ITEMS, FakeChannel, channel_query

SEEN = history([1, 2])

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


def test_a_guess_counts_as_far_as_the_encoder_agrees_with_it(made):
    words = FakeChannel("lexical", [0, 39, 24, 10], [25.0, 24.0, 23.0, 22.0])
    retriever = made(words, FakeChannel("dense", [39], [1.0]))
    lists, _ = retriever.search_channels([channel_query()], ["query"])
    low, high = AGREEMENT
    agreed = np.clip((np.asarray([0, 39, 24, 10]) / 39 - low) / (high - low), 0, 1)
    expected = LEAST_GUESS + (MOST_GUESS - LEAST_GUESS) * agreed
    np.testing.assert_allclose(lists[0]["lexical"].shares, expected, atol=2e-3)
    assert lists[0]["lexical"].voting.rows.tolist() == [39, 24]
    found = retriever.retrieve([channel_query()], [9])[0]
    assert found.rows[0] == 39, "the channel's own order has 0 before it"
    votes = found.features[:, POSITION["votes"]]
    assert votes[found.rows.tolist().index(0)] < LEAST_GUESS, "the encoder knows nothing like it"


def test_a_guess_that_the_encoder_disagrees_with_is_in_no_pool(made):
    trending = FakeChannel("trending", [1])
    retriever = made(
        FakeChannel("lexical", [0, 39], [25.0, 24.0]), FakeChannel("dense", [39, 38], [1.0, 0.97]), trending
    )
    retriever.retrieve([channel_query()], [9])
    assert sorted(trending.asked[0][0].pool.tolist()) == [38, 39]


def test_what_matches_for_certain_has_its_whole_vote_whatever_the_encoder_says(made):
    retriever = made(FakeChannel("lexical", [0, 1, 2], [45.0, 31.0, 20.0]), FakeChannel("dense", [39], [1.0]))
    lists, _ = retriever.search_channels([channel_query()], ["query"])
    assert lists[0]["lexical"].shares.tolist() == [1.0, 1.0, pytest.approx(LEAST_GUESS)]
    certain = made(FakeChannel("lexical", [0, 1], [45.0, 31.0]), FakeChannel("dense", [39], [1.0]))
    assert certain.search_channels([channel_query()], ["query"])[0][0]["lexical"].shares is None


def test_where_the_encoder_finds_nothing_near_guesses_stand_as_they_are(made):
    retriever = made(FakeChannel("lexical", [0, 1], [25.0, 24.0]))
    blind = replace(channel_query(), embedding=np.zeros(DIM, np.float32))
    assert retriever.search_channels([blind], ["query"])[0][0]["lexical"].shares is None


def test_a_query_that_the_encoder_cannot_read_has_no_text_score(made):
    retriever = made(FakeChannel("lexical", [3, 4], [40.0, 39.0]))
    unread = replace(channel_query("抹茶"), embedding=np.zeros(DIM, np.float32))
    for found, is_known in zip(retriever.retrieve([channel_query(), unread], [9, 9]), (True, False), strict=True):
        assert found.rows.tolist() == [3, 4]
        assert (~np.isnan(found.features[:, POSITION["text_score"]]) == is_known).all()


def test_an_item_that_misses_a_condition_has_fewer_votes_and_says_so_in_a_feature(made):
    retriever = made(FakeChannel("dense", [5, 6], [1.0, 0.9]))
    stated = UnderstoodQuery("item", "item", ruled_out=("5",))
    found = retriever.retrieve([channel_query("item", understood=stated)], [9])[0]
    assert found.rows.tolist() == [6, 5]
    assert found.features[:, POSITION["missed"]].tolist() == [0.0, 1.0]
    assert found.features[:, POSITION["votes"]] == pytest.approx([60 / 62, MISSED_WORTH * 60 / 61])
    plain = retriever.retrieve([channel_query("item", understood=UnderstoodQuery.plain("item"))], [9])[0]
    assert plain.rows.tolist() == [5, 6]
    assert np.isnan(plain.features[:, POSITION["missed"]]).all()


# From here on the channels are the real ones.


def test_a_recommendation_that_no_channel_answers_is_filled_with_the_newest_first(made):
    retriever = made(FakeChannel("content"))
    arrived = np.full(ITEMS, np.nan)
    arrived[[30, 7]] = [NOW, NOW - 100]
    retriever._filler = Filler(arrived)
    found = retriever.retrieve([channel_query("", SEEN), channel_query("")], [9, 9])
    for each in found:
        assert each.rows[:2].tolist() == [30, 7]
        assert len(each.rows) == 9
        assert np.abs(np.diff(each.rows[2:])).tolist() != [1] * 6
        assert each.channel_counts == {"content": 0, "fused": 9}
        assert (each.features[:, POSITION["votes"]] == 0).all()
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[[3, 7]] = True
    assert retriever.retrieve([channel_query("", SEEN, allowed=allowed)], [9])[0].rows.tolist() == [7, 3]
    assert len(retriever.retrieve([channel_query()], [9])[0].rows) == 0, "a search is never filled"


def test_a_list_that_was_cut_within_ties_does_not_vote_for_them(made):
    tied, clear = FakeChannel("trending", [5, 6, 7, 8], [3, 1, 1, 1]), FakeChannel("history", [7, 9])
    retriever = made(tied, clear, channel_depth=3)
    votes = dict(zip(*_votes(retriever), strict=True))
    assert votes[5] == pytest.approx(60 / 61)
    assert votes[7] == pytest.approx(60 / 61), "only `history` votes: which of the ties are listed is chance"
    assert votes[6] == 0


def _votes(retriever):
    found = retriever.retrieve([channel_query("", SEEN)], [9])[0]
    return found.rows.tolist(), found.features[:, POSITION["votes"]].tolist()


def test_what_a_channel_can_know_nothing_of_is_judged_by_the_others(made):
    knows, sees_all = FakeChannel("collaborative", [2, 1]), FakeChannel("content", [1, 2, 3])
    known = np.ones(ITEMS, np.bool_)
    known[3] = False
    knows.knowledge = Knowledge(known)
    votes = dict(zip(*_votes(made(knows, sees_all)), strict=True))
    assert votes[3] == pytest.approx(2 * 60 / 63)
    assert votes[1] == pytest.approx(60 / 61 + 60 / 62)
    # Little is not made to count much: at most twice what the others give.
    votes = dict(zip(*_votes(made(knows, sees_all, weights={"collaborative": 9.0, "content": 1.0})), strict=True))
    assert votes[3] == pytest.approx(2 * 60 / 63)


def test_a_channel_that_learned_from_little_has_a_small_part_of_its_vote(made):
    popular = FakeChannel("trending", [4])
    popular.knowledge = Knowledge(trust=trust_in_log(20))
    votes = dict(zip(*_votes(made(popular, FakeChannel("history", [5]))), strict=True))
    assert votes[4] == pytest.approx(60 / 61 / 101)
    assert trust_in_log(0) == 0
    assert trust_in_log(50_000) > 0.99


def test_similar_puts_a_less_near_item_first_for_a_relation_alone(made):
    cosines = [0.9, 0.88, 0.86, 0.1]
    content, graph = FakeChannel("content", [1, 2, 3, 4], cosines), FakeChannel("graph", [3])
    known = np.zeros(ITEMS, np.bool_)
    known[[1, 3]] = True
    graph.knowledge = Knowledge(known)
    retriever = made(content, graph)
    similar = retriever.retrieve([channel_query("", SEEN)], [9], "similar")[0].rows.tolist()
    # Item 3 has a relation; item 2, of which the graph can know nothing, stays behind the nearer item 1.
    assert similar == [3, 1, 2, 4]
    assert made(content).retrieve([channel_query("", SEEN)], [9], "similar")[0].rows.tolist() == [1, 2, 3, 4]


def test_without_a_log_a_relation_counts_as_far_as_the_texts_agree(made):
    content, graph = FakeChannel("content", [1, 2, 3, 4], [0.9, 0.58, 0.5, 0.1]), FakeChannel("graph", [4, 2, 9])
    retriever = made(content, graph)
    votes = dict(zip(*_votes(retriever), strict=True))
    trust = trust_in_log(0)
    least, most = AGREEMENT
    agreed = ((0.58 - 0.1) / (0.9 - 0.1) - least) / (most - least)
    assert votes[2] == pytest.approx(60 / 62 + (trust + (1 - trust) * agreed) * 60 / 62)
    assert votes[4] == pytest.approx(60 / 64 + trust * 60 / 61)
    assert votes[9] == pytest.approx(trust * 60 / 63)
