"""All channels together: who is asked what, what a filter leaves, and what is said when a channel does not answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.categories import CategoryShares
from fuserank_ensemble.candidates.channel_search import AGREEMENT, LEAST_GUESS, MOST_GUESS
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.filler import Filler
from fuserank_ensemble.candidates.retriever import MISSED_WORTH, Retriever, request_kind
from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfile
from fuserank_ensemble.retrieval.channel import (
    ChannelQuery,
    ChannelUnavailableError,
    Knowledge,
    RankedItems,
    trust_in_log,
)
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.channels.registry import CHANNELS, DECLARATIONS, open_channels
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex, RetrievalIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.spec import GraphSpec
from fuserank_ensemble.understanding.query import UnderstoodQuery
from support.channel_shop import KINDS, NOW, history, make_shop

ITEMS, DIM = 40, 8
SEEN = history([1, 2])

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


def ranked(rows, scores=None):
    given_scores = np.linspace(9, 1, len(rows)) if scores is None else scores
    return RankedItems(np.asarray(rows, np.int32), np.asarray(given_scores, np.float32))


class Fake:
    """A channel that always gives the same list, and remembers what it was asked."""

    def __init__(self, name, rows=(), scores=None, broken=False):
        self.declaration = DECLARATIONS[name]
        self._ranked, self._broken = ranked(list(rows), scores), broken
        self.asked, self.depths = [], []

    knowledge = Knowledge()

    def prepare(self, queries):
        """Nothing to compute ahead."""

    def search(self, queries, depth):
        self.asked.append(list(queries))
        self.depths.append(depth)
        if self._broken:
            raise ChannelUnavailableError(f"{self.declaration.name}: does not answer")
        return [self._ranked.top(depth)] * len(queries)


def channel_query(query="q", seen=None, **more):
    embedding = np.eye(DIM, dtype=np.float32)[0] if query else np.zeros(DIM, np.float32)
    return ChannelQuery(query, embedding, History.empty() if seen is None else seen, float(NOW), **more)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The words of the items: their rows."""
    folder = tmp_path_factory.mktemp("words") / "lexical"
    LexicalIndex.write(folder, [{"title": f"item {row}"} for row in range(ITEMS)], {"title": 1.0}, {})
    return LexicalIndex.open(folder)


@pytest.fixture
def made(monkeypatch, words):
    """A retriever over channels by hand."""

    def make(*channels, weights=None, **settings):
        monkeypatch.setattr("fuserank_ensemble.candidates.retriever.open_channels", lambda *_: list(channels))
        every = dict.fromkeys((channel.declaration.name for channel in channels), 1.0) if weights is None else weights
        spec = GraphSpec(
            embedding_dim=DIM, channel_weights=dict.fromkeys(("query", "both", "user", "similar"), every), **settings
        )
        ids = np.asarray([b"%02d" % row for row in range(ITEMS)])
        items = Items(ids, np.arange(ITEMS, dtype=np.int32), Columns(ITEMS, {}))
        vectors = np.zeros((ITEMS, DIM), np.float16)
        vectors[:, 0] = np.linspace(0, 1, ITEMS)
        return Retriever(CatalogIndex(items, vectors, None, words), InteractionIndex(Popularity.empty(ITEMS)), spec)

    return make


@pytest.mark.parametrize(
    ("query", "seen", "kind"),
    [("q", None, "query"), ("q", SEEN, "both"), ("", SEEN, "user"), ("", None, "user")],
)
def test_the_kind_of_a_request_follows_from_what_it_holds(query, seen, kind):
    assert request_kind(channel_query(query, seen)) == kind


def test_a_channel_is_asked_only_for_the_kinds_it_weighs_something_for(made):
    dense, trending, unknown = Fake("dense", [1]), Fake("trending", [2]), Fake("new", [3])
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
    fakes = [Fake(name, [1]) for name in CHANNELS]
    retriever = made(*fakes, weights={"dense": 1.0})
    lists, unavailable = retriever.search_channels([channel_query()], ["query"], everything=True)
    assert set(lists[0]) == set(CHANNELS)
    assert unavailable == []


def test_a_kind_given_by_the_caller_decides_over_the_querys_own(made):
    retriever = made(Fake("dense", [1]), Fake("content", [2]))
    spec = retriever._spec
    retriever._spec = replace(spec, channel_weights={**spec.channel_weights, "similar": {"content": 1.0}})
    assert retriever.retrieve([channel_query()], [9], "similar")[0].rows.tolist() == [2]


def test_weights_decide_the_order(made):
    for weights, order in (({"dense": 1.0, "trending": 0.1}, [3, 5]), ({"dense": 0.1, "trending": 1.0}, [5, 3])):
        found = made(Fake("dense", [3]), Fake("trending", [5]), weights=weights).retrieve([channel_query()], [9])[0]
        assert found.rows.tolist() == order


def test_a_channel_that_does_not_answer_is_named_and_the_others_answer(made):
    broken, words, popular = Fake("dense", broken=True), Fake("lexical", [4, 6], [50, 40]), Fake("trending", [6, 8])
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
    retriever = made(Fake("dense", broken=True), Fake("trending", [6]))
    weights = {"query": {"dense": 1.0, "trending": 1.0}, "user": {"trending": 1.0}}
    retriever._spec = replace(retriever._spec, channel_weights={**weights, "both": {}, "similar": {}})
    found = retriever.retrieve([channel_query(), channel_query("", SEEN)], [9, 9])
    assert [each.degraded for each in found] == [["channel:dense"], []]


def test_where_no_channel_answers_the_list_is_empty_and_every_one_is_named(made):
    names = ("dense", "lexical", "trending")
    found = made(*(Fake(name, broken=True) for name in names)).retrieve([channel_query()], [9])[0]
    assert found.degraded == [f"channel:{name}" for name in names]
    assert len(found.rows) == len(found.features) == 0
    assert found.channel_counts == {"fused": 0}


def test_another_error_is_no_degraded_answer(made):
    class Mistaken(Fake):
        def search(self, queries, depth):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made(Mistaken("dense")).retrieve([channel_query()], [9])


def test_lists_are_cut_to_the_depth_of_fusion_and_counted_so(made):
    dense, new = Fake("dense", range(ITEMS)), Fake("new", range(ITEMS))
    found = made(dense, new, channel_depth=5).retrieve([channel_query()], [99])[0]
    # Text channels look deeper: they also say what the others choose from.
    assert dense.depths[0] > new.depths[0] == 5
    assert found.channel_counts == {"dense": 5, "new": 5, "fused": 5}


def test_newcomers_that_a_request_asks_for_are_candidates_whatever_they_weigh(made):
    dense, new = Fake("dense", range(30)), Fake("new", range(30, 40))
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
    found = made(Fake("dense", [20, 2, 3]), Fake("new", [5])).retrieve(
        [channel_query(required=wanted, newcomers=1)], [4]
    )[0]
    assert set(found.rows.tolist()) == {39, 2, 5, 20}
    text = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert text[39] == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(found.features[found.rows == 39, POSITION["text_rank"]]).all()


def test_no_more_candidates_than_asked_for_by_each_request(made):
    found = made(Fake("dense", range(ITEMS))).retrieve([channel_query()] * 3, [1, 7, 99])
    assert [len(each.rows) for each in found] == [1, 7, ITEMS]
    assert [each.channel_counts["fused"] for each in found] == [1, 7, ITEMS]


def test_candidates_that_only_other_channels_found_have_a_text_score(made):
    found = made(Fake("dense", [39]), Fake("trending", [20])).retrieve([channel_query()], [9])[0]
    by_row = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert by_row == pytest.approx({39: 1.0, 20: 20 / 39}, abs=1e-3)
    assert np.isnan(found.features[found.rows == 20, POSITION["text_rank"]]).all()


def test_without_a_query_there_is_no_pool_and_no_text_score(made):
    popular = Fake("trending", [20])
    found = made(popular).retrieve([channel_query("", SEEN)], [9])[0]
    assert popular.asked[0][0].pool is None
    assert np.isnan(found.features[:, POSITION["text_score"]]).all()


# The vectors of `made` make the cosine of row r and the query r / 39.
def test_a_guess_counts_as_far_as_the_encoder_agrees_with_it(made):
    words = Fake("lexical", [0, 39, 24, 10], [25.0, 24.0, 23.0, 22.0])
    retriever = made(words, Fake("dense", [39], [1.0]))
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
    trending = Fake("trending", [1])
    retriever = made(Fake("lexical", [0, 39], [25.0, 24.0]), Fake("dense", [39, 38], [1.0, 0.97]), trending)
    retriever.retrieve([channel_query()], [9])
    assert sorted(trending.asked[0][0].pool.tolist()) == [38, 39]


def test_what_matches_for_certain_has_its_whole_vote_whatever_the_encoder_says(made):
    retriever = made(Fake("lexical", [0, 1, 2], [45.0, 31.0, 20.0]), Fake("dense", [39], [1.0]))
    lists, _ = retriever.search_channels([channel_query()], ["query"])
    assert lists[0]["lexical"].shares.tolist() == [1.0, 1.0, pytest.approx(LEAST_GUESS)]
    certain = made(Fake("lexical", [0, 1], [45.0, 31.0]), Fake("dense", [39], [1.0]))
    assert certain.search_channels([channel_query()], ["query"])[0][0]["lexical"].shares is None


def test_where_the_encoder_finds_nothing_near_guesses_stand_as_they_are(made):
    retriever = made(Fake("lexical", [0, 1], [25.0, 24.0]))
    blind = replace(channel_query(), embedding=np.zeros(DIM, np.float32))
    assert retriever.search_channels([blind], ["query"])[0][0]["lexical"].shares is None


def test_a_query_that_the_encoder_cannot_read_has_no_text_score(made):
    retriever = made(Fake("lexical", [3, 4], [40.0, 39.0]))
    unread = replace(channel_query("抹茶"), embedding=np.zeros(DIM, np.float32))
    for found, is_known in zip(retriever.retrieve([channel_query(), unread], [9, 9]), (True, False), strict=True):
        assert found.rows.tolist() == [3, 4]
        assert (~np.isnan(found.features[:, POSITION["text_score"]]) == is_known).all()


def test_an_item_that_misses_a_condition_has_fewer_votes_and_says_so_in_a_feature(made):
    retriever = made(Fake("dense", [5, 6], [1.0, 0.9]))
    stated = UnderstoodQuery("item", "item", ruled_out=("5",))
    found = retriever.retrieve([channel_query("item", understood=stated)], [9])[0]
    assert found.rows.tolist() == [6, 5]
    assert found.features[:, POSITION["missed"]].tolist() == [0.0, 1.0]
    assert found.features[:, POSITION["votes"]] == pytest.approx([60 / 62, MISSED_WORTH * 60 / 61])
    plain = retriever.retrieve([channel_query("item", understood=UnderstoodQuery.plain("item"))], [9])[0]
    assert plain.rows.tolist() == [5, 6]
    assert np.isnan(plain.features[:, POSITION["missed"]]).all()


# From here on the channels are the real ones.


@pytest.fixture(scope="module")
def shop(one_thread, tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def retriever(shop):
    return Retriever(shop.catalog, shop.interactions, GraphSpec(embedding_dim=16))


REGULAR = history(np.arange(0, 1_000, 6))
ASKED = [("organic cheese", None), ("organic cheese", REGULAR), ("", REGULAR), ("", None), ("no such thing", REGULAR)]


@pytest.mark.parametrize("keep", [1, 50, 127])
@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_fifty_of_a_thousand_returns_all_fifty(shop, retriever, query, seen, keep):
    for seed in range(3):
        kept = np.sort(np.random.default_rng(seed).choice(1_000, keep, replace=False))
        asked = replace(shop.channel_query(query, seen, np.isin(np.arange(1_000), kept)), pool=None)
        found = retriever.retrieve([asked], [128])[0]
        assert np.sort(found.rows).tolist() == kept.tolist()


@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_nothing_returns_nothing_and_no_more_is_a_whole_list(shop, retriever, query, seen):
    nothing = retriever.retrieve([shop.channel_query(query, seen, np.zeros(1_000, np.bool_))], [128])[0]
    assert len(nothing.rows) == 0
    whole = retriever.retrieve([shop.channel_query(query, seen)], [128])[0]
    assert len(whole.rows) == 128
    assert whole.degraded == nothing.degraded == []


def test_requests_of_one_batch_are_answered_as_if_each_were_alone(shop, retriever):
    half = np.arange(1_000) % 2 == 0
    queries = [shop.channel_query(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [32, 64, 128, 50, 1, 128, 10, 20, 30, 40]
    together = retriever.retrieve(queries, limits)
    for asked, limit, found in zip(queries, limits, together, strict=True):
        alone = retriever.retrieve([asked], [limit])[0]
        assert found.rows.tolist() == alone.rows.tolist()
        assert found.channel_counts == alone.channel_counts
        np.testing.assert_allclose(found.features, alone.features, atol=1e-5)
        assert len(np.unique(found.rows)) == len(found.rows) == found.channel_counts["fused"] <= limit


def test_the_category_that_is_meant_is_that_of_what_matches_and_is_asked_for(shop, retriever):
    found = retriever.retrieve([shop.channel_query("cheese")], [128])[0]
    shares = np.exp(found.features[:, POSITION["category_of_query"]]) - 0.001
    cheese = np.isin(found.rows, shop.of_kind("cheese"))
    assert cheese.any()
    assert shares[cheese] == pytest.approx(shares.max())
    assert 2 * shares[~cheese].max() < shares.max() <= 1
    without = retriever.retrieve([shop.channel_query("", REGULAR)], [128])[0]
    assert np.isnan(without.features[:, POSITION["category_of_query"]]).all()


def test_fusion_prefers_the_categories_that_are_meant_and_loses_no_candidate(shop, retriever, monkeypatch):
    query = shop.channel_query("cheese")
    found = retriever.retrieve([query], [128])[0]
    monkeypatch.setattr(CategoryShares, "worth", lambda self, codes: np.ones(len(codes)))
    plain = retriever.retrieve([query], [128])[0]
    assert sorted(found.rows.tolist()) == sorted(plain.rows.tolist())
    meant = found.features[:64, POSITION["category_of_query"]]
    before = plain.features[:64, POSITION["category_of_query"]]
    assert np.mean(meant[:20]) >= np.mean(before[:20])
    votes = found.features[:64, POSITION["votes"]]
    assert (np.diff(votes) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_for_a_kind_finds_that_kind_first(shop, retriever, kind):
    found = retriever.retrieve([shop.channel_query(kind)], [40])[0]
    assert np.isin(found.rows[:20], shop.of_kind(kind)).all()


def test_a_stand_in_for_the_dense_channel_is_asked_instead_of_it(shop):
    stand_in = Fake("dense", [5])
    retriever = Retriever(shop.catalog, shop.interactions, GraphSpec(embedding_dim=16), stand_in)
    found = retriever.retrieve([shop.channel_query("milk", REGULAR)], [50])[0]
    assert len(stand_in.asked) == 1
    assert found.channel_counts["dense"] == 1


def test_a_shop_without_a_log_has_no_collaborative_channel_and_answers(shop):
    first_day = InteractionIndex(Popularity.empty(1_000))
    opened = open_channels(RetrievalIndex(shop.catalog, first_day, 300))
    names = [channel.declaration.name for channel in opened]
    assert names == ["dense", "lexical", "history", "trending", "new", "content"]
    retriever = Retriever(shop.catalog, first_day, GraphSpec(embedding_dim=16))
    assert len(retriever.retrieve([shop.channel_query("", None)], [50])[0].rows) == 50


@pytest.mark.parametrize("kind", [None, "similar"])
def test_what_is_prefetched_is_computed_once_and_changes_no_candidate(shop, retriever, kind, monkeypatch):
    half = np.arange(1_000) % 2 == 0
    queries = [shop.channel_query(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [64] * len(queries)
    expected = retriever.retrieve(queries, limits, kind)
    blind = [replace(each, embedding=np.zeros_like(each.embedding)) for each in queries]
    prefetch = retriever.prefetch(blind, kind)
    assert prefetch.lists.keys() == {"lexical"}
    assert any(len(listed) for listed in prefetch.lists["lexical"].values())
    monkeypatch.setattr(LexicalChannel, "search", lambda *_: pytest.fail("asked twice"))
    monkeypatch.setattr(UserProfile, "from_history", lambda *_: pytest.fail("summed up twice"))
    for found, known in zip(retriever.retrieve(queries, limits, kind, prefetch), expected, strict=True):
        assert found.rows.tolist() == known.rows.tolist()
        np.testing.assert_array_equal(found.features, known.features)
        assert found.channel_counts == known.channel_counts


def test_a_recommendation_that_no_channel_answers_is_filled_with_the_newest_first(made):
    retriever = made(Fake("content"))
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
    tied, clear = Fake("trending", [5, 6, 7, 8], [3, 1, 1, 1]), Fake("history", [7, 9])
    retriever = made(tied, clear, channel_depth=3)
    votes = dict(zip(*_votes(retriever), strict=True))
    assert votes[5] == pytest.approx(60 / 61)
    assert votes[7] == pytest.approx(60 / 61), "only `history` votes: which of the ties are listed is chance"
    assert votes[6] == 0


def _votes(retriever):
    found = retriever.retrieve([channel_query("", SEEN)], [9])[0]
    return found.rows.tolist(), found.features[:, POSITION["votes"]].tolist()


def test_what_a_channel_can_know_nothing_of_is_judged_by_the_others(made):
    knows, sees_all = Fake("collaborative", [2, 1]), Fake("content", [1, 2, 3])
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
    popular = Fake("trending", [4])
    popular.knowledge = Knowledge(trust=trust_in_log(20))
    votes = dict(zip(*_votes(made(popular, Fake("history", [5]))), strict=True))
    assert votes[4] == pytest.approx(60 / 61 / 101)
    assert trust_in_log(0) == 0
    assert trust_in_log(50_000) > 0.99


def test_similar_puts_a_less_near_item_first_for_a_relation_alone(made):
    cosines = [0.9, 0.88, 0.86, 0.1]
    content, graph = Fake("content", [1, 2, 3, 4], cosines), Fake("graph", [3])
    known = np.zeros(ITEMS, np.bool_)
    known[[1, 3]] = True
    graph.knowledge = Knowledge(known)
    retriever = made(content, graph)
    similar = retriever.retrieve([channel_query("", SEEN)], [9], "similar")[0].rows.tolist()
    # Item 3 has a relation; item 2, of which the graph can know nothing, stays behind the nearer item 1.
    assert similar == [3, 1, 2, 4]
    assert made(content).retrieve([channel_query("", SEEN)], [9], "similar")[0].rows.tolist() == [1, 2, 3, 4]


def test_without_a_log_a_relation_counts_as_far_as_the_texts_agree(made):
    content, graph = Fake("content", [1, 2, 3, 4], [0.9, 0.58, 0.5, 0.1]), Fake("graph", [4, 2, 9])
    retriever = made(content, graph)
    votes = dict(zip(*_votes(retriever), strict=True))
    trust = trust_in_log(0)
    least, most = AGREEMENT
    agreed = ((0.58 - 0.1) / (0.9 - 0.1) - least) / (most - least)
    assert votes[2] == pytest.approx(60 / 62 + (trust + (1 - trust) * agreed) * 60 / 62)
    assert votes[4] == pytest.approx(60 / 64 + trust * 60 / 61)
    assert votes[9] == pytest.approx(trust * 60 / 63)
