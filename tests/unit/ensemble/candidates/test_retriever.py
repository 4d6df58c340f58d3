"""All channels together: who is asked what, what a filter leaves, and what is said when a channel does not answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.candidates import retriever as module
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.candidates.retriever import Retriever, near, request_kind
from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.channel import ChannelQuery, ChannelUnavailableError, RankedItems
from fuserank_ensemble.retrieval.channels.lexical import WORDS_SCORE
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.spec import GraphSpec
from support.channel_shop import KINDS, NOW, history, make_shop

ITEMS, DIM = 40, 8
SEEN = history([1, 2])

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Told at every start of `implicit`; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]


def hits(rows, scores=None):
    given_scores = np.linspace(9, 1, len(rows)) if scores is None else scores
    return RankedItems(np.asarray(rows, np.int32), np.asarray(given_scores, np.float32))


class Fake:
    """A channel that always gives the same list, and remembers what it was asked."""

    def __init__(self, name, rows=(), scores=None, broken=False):
        self.name, self._hits, self._broken = name, hits(list(rows), scores), broken
        self.asked, self.depths = [], []

    def search(self, questions, depth):
        self.asked.append(list(questions))
        self.depths.append(depth)
        if self._broken:
            raise ChannelUnavailableError(f"{self.name}: does not answer")
        return [self._hits.top(depth)] * len(questions)


def question(query="q", seen=None, **more):
    embedding = np.eye(DIM, dtype=np.float32)[0] if query else np.zeros(DIM, np.float32)
    return ChannelQuery(query, embedding, History.empty() if seen is None else seen, float(NOW), **more)


@pytest.fixture
def made(monkeypatch):
    """A retriever over channels by hand."""

    def make(*channels, weights=None, **settings):
        monkeypatch.setattr(module, "channels", lambda *_: list(channels))
        every = dict.fromkeys((channel.name for channel in channels), 1.0) if weights is None else weights
        spec = GraphSpec(
            embedding_dim=DIM, channel_weights=dict.fromkeys(("query", "both", "user", "similar"), every), **settings
        )
        ids = np.asarray([b"%02d" % row for row in range(ITEMS)])
        items = Items(ids, np.arange(ITEMS, dtype=np.int32), Columns(ITEMS, {}))
        vectors = np.zeros((ITEMS, DIM), np.float16)
        vectors[:, 0] = np.linspace(0, 1, ITEMS)
        return Retriever(CatalogIndex(items, vectors, None, None), InteractionIndex(Popularity.empty(ITEMS)), spec)

    return make


@pytest.mark.parametrize(
    ("query", "seen", "kind"),
    [("q", None, "query"), ("q", SEEN, "both"), ("", SEEN, "user"), ("", None, "user")],
)
def test_the_kind_of_a_request_follows_from_what_it_holds(query, seen, kind):
    assert request_kind(question(query, seen)) == kind


def test_a_channel_is_asked_only_for_the_kinds_it_weighs_something_for(made):
    dense, trending, unknown = Fake("dense", [1]), Fake("trending", [2]), Fake("new", [3])
    retriever = made(dense, trending, unknown)
    weights = {"query": {"dense": 1.0, "new": 0.0}, "both": {"dense": 0.5, "trending": 0.5}, "user": {"trending": 1.0}}
    retriever._spec = replace(retriever._spec, channel_weights={**weights, "similar": {}})
    questions = [question(), question(seen=SEEN), question("", SEEN)]
    found = retriever.retrieve(questions, [9] * 3)
    assert [[q.query + str(len(q.seen)) for q in asked] for asked in dense.asked] == [["q0", "q2"]]
    assert [[q.query + str(len(q.seen)) for q in asked] for asked in trending.asked] == [["q2", "2"]]
    assert unknown.asked == []
    assert [set(each.found) for each in found] == [
        {"dense", "fused"},
        {"dense", "trending", "fused"},
        {"trending", "fused"},
    ]
    assert [sorted(each.rows.tolist()) for each in found] == [[1], [1, 2], [2]]


def test_everything_can_be_asked_nevertheless_as_tuning_does(made):
    fakes = [Fake(name, [1]) for name in CHANNELS]
    lists, degraded = made(*fakes, weights={"dense": 1.0}).lists([question()], ["query"], everything=True)
    assert set(lists[0]) == set(CHANNELS)
    assert degraded == []


def test_a_kind_given_by_the_caller_decides_over_the_questions_own(made):
    retriever = made(Fake("dense", [1]), Fake("content", [2]))
    spec = retriever._spec
    retriever._spec = replace(spec, channel_weights={**spec.channel_weights, "similar": {"content": 1.0}})
    assert retriever.retrieve([question()], [9], "similar")[0].rows.tolist() == [2]


def test_weights_decide_the_order(made):
    for weights, order in (({"dense": 1.0, "trending": 0.1}, [3, 5]), ({"dense": 0.1, "trending": 1.0}, [5, 3])):
        found = made(Fake("dense", [3]), Fake("trending", [5]), weights=weights).retrieve([question()], [9])[0]
        assert found.rows.tolist() == order


def test_a_channel_that_does_not_answer_is_named_and_the_others_answer(made):
    broken, words, popular = Fake("dense", broken=True), Fake("lexical", [4, 6], [50, 40]), Fake("trending", [6, 8])
    found = made(broken, words, popular).retrieve([question(), question("", SEEN)], [9, 9])
    for each in found:
        assert each.degraded == ["channel:dense"]
        assert "dense" not in each.found
        assert sorted(each.rows.tolist()) == [4, 6, 8]
    # What the text channels that answer found is what the others choose from.
    assert popular.asked[0][0].near.tolist() == [4, 6]
    score = found[0].features[:, POSITION["text_score"]]
    assert not np.isnan(score).any()
    assert np.isnan(found[0].features[:, POSITION["text_rank"]]).all()


def test_a_request_that_does_without_the_channel_is_not_degraded_by_its_neighbour(made):
    retriever = made(Fake("dense", broken=True), Fake("trending", [6]))
    weights = {"query": {"dense": 1.0, "trending": 1.0}, "user": {"trending": 1.0}}
    retriever._spec = replace(retriever._spec, channel_weights={**weights, "both": {}, "similar": {}})
    found = retriever.retrieve([question(), question("", SEEN)], [9, 9])
    assert [each.degraded for each in found] == [["channel:dense"], []]


def test_where_no_channel_answers_the_list_is_empty_and_every_one_is_named(made):
    names = ("dense", "lexical", "trending")
    found = made(*(Fake(name, broken=True) for name in names)).retrieve([question()], [9])[0]
    assert found.degraded == [f"channel:{name}" for name in names]
    assert len(found.rows) == len(found.features) == 0
    assert found.found == {"fused": 0}


def test_another_error_is_no_degraded_answer(made):
    class Mistaken(Fake):
        def search(self, questions, depth):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made(Mistaken("dense")).retrieve([question()], [9])


def test_lists_are_cut_to_the_depth_of_fusion_and_counted_so(made):
    dense, new = Fake("dense", range(ITEMS)), Fake("new", range(ITEMS))
    found = made(dense, new, channel_depth=5).retrieve([question()], [99])[0]
    # Text channels look deeper: they also say what the others choose from.
    assert dense.depths[0] > new.depths[0] == 5
    assert found.found == {"dense": 5, "new": 5, "fused": 5}


def test_newcomers_that_a_request_asks_for_are_candidates_whatever_they_weigh(made):
    dense, new = Fake("dense", range(30)), Fake("new", range(30, 40))
    for weights in ({"dense": 1.0, "new": 0.01}, {"dense": 1.0}):
        retriever = made(dense, new, weights=weights)
        plain, exploring = retriever.retrieve([question(), question(newcomers=3)], [16, 16])
        assert plain.rows.tolist() == list(range(16))
        assert exploring.rows.tolist() == [*range(13), 30, 31, 32]
        assert exploring.features[-3:, POSITION["new_rank"]] == pytest.approx(np.log1p([0, 1, 2]))
        # At most a quarter of all candidates.
        assert retriever.retrieve([question(newcomers=9)], [8])[0].rows.tolist() == [0, 1, 2, 3, 4, 5, 30, 31]


def test_an_item_that_must_be_a_candidate_is_described_like_any_other(made):
    wanted = np.asarray([39, 2], np.int32)
    found = made(Fake("dense", [20, 2, 3]), Fake("new", [5])).retrieve([question(also=wanted, newcomers=1)], [4])[0]
    assert set(found.rows.tolist()) == {39, 2, 5, 20}
    text = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert text[39] == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(found.features[found.rows == 39, POSITION["text_rank"]]).all()


def test_no_more_candidates_than_asked_for_by_each_request(made):
    found = made(Fake("dense", range(ITEMS))).retrieve([question()] * 3, [1, 7, 99])
    assert [len(each.rows) for each in found] == [1, 7, ITEMS]
    assert [each.found["fused"] for each in found] == [1, 7, ITEMS]


def test_the_text_score_is_told_of_candidates_that_only_other_channels_found(made):
    found = made(Fake("dense", [39]), Fake("trending", [20])).retrieve([question()], [9])[0]
    by_row = dict(zip(found.rows.tolist(), found.features[:, POSITION["text_score"]].tolist(), strict=True))
    assert by_row == pytest.approx({39: 1.0, 20: 20 / 39}, abs=1e-3)
    assert np.isnan(found.features[found.rows == 20, POSITION["text_rank"]]).all()


def test_without_a_query_nothing_is_near_and_nothing_has_a_text_score(made):
    popular = Fake("trending", [20])
    found = made(popular).retrieve([question("", SEEN)], [9])[0]
    assert popular.asked[0][0].near is None
    assert np.isnan(found.features[:, POSITION["text_score"]]).all()


def test_where_items_have_all_words_of_the_query_they_are_the_pool():
    lists = {"lexical": hits([4, 2, 9], [WORDS_SCORE + 20, WORDS_SCORE + 1, 12]), "dense": hits([7, 4], [0.9, 0.8])}
    assert near(lists).tolist() == [4, 2]


def test_where_no_item_has_all_words_the_nearest_by_meaning_come_before_the_nearest_by_words():
    lists = {"lexical": hits([4, 2, 9], [20, 13, 11]), "dense": hits([7, 4, 5], [0.8, 0.7, 0.6])}
    # 60 % of the best score by words, 85 % of the best cosine.
    assert near(lists).tolist() == [7, 4, 2]


@pytest.mark.parametrize(
    ("lists", "pool"),
    [
        ({}, []),
        ({"dense": RankedItems.empty(), "lexical": RankedItems.empty()}, []),
        ({"dense": hits([3, 1], [0.5, 0.1])}, [3]),
        ({"lexical": hits([3, 1], [5, 4])}, [3, 1]),
        ({"lexical": hits([8], [WORDS_SCORE]), "dense": hits([3], [1.0])}, [8]),
    ],
)
def test_one_text_channel_alone_or_none_still_gives_a_pool(lists, pool):
    found = near(lists)
    assert found.tolist() == pool
    assert found.dtype == np.int32


@given(
    st.lists(st.integers(0, 39), unique=True, max_size=20), st.lists(st.integers(0, 39), unique=True, max_size=20),
    st.floats(1, 89), st.floats(-1, 1),
)  # fmt: skip
def test_a_pool_repeats_nothing_and_holds_the_best_of_each_text_channel(words, meaning, top, cosine):
    lists = {
        "lexical": hits(words, np.linspace(top, top / 3, len(words))),
        "dense": hits(meaning, np.linspace(cosine, cosine - 0.5, len(meaning))),
    }
    pool = near(lists).tolist()
    assert len(set(pool)) == len(pool)
    assert set(pool) <= {*words, *meaning}
    if words:
        assert words[0] in pool
    elif meaning:
        assert meaning[0] in pool


# From here on the channels are the real ones.


@pytest.fixture(scope="module")
def shop(one_thread, tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def retriever(shop):
    return Retriever(shop.catalog, shop.learned, GraphSpec(embedding_dim=16))


REGULAR = history(np.arange(0, 1_000, 6))
ASKED = [("organic cheese", None), ("organic cheese", REGULAR), ("", REGULAR), ("", None), ("no such thing", REGULAR)]


@pytest.mark.parametrize("keep", [1, 50, 127])
@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_fifty_of_a_thousand_returns_all_fifty(shop, retriever, query, seen, keep):
    for seed in range(3):
        kept = np.sort(np.random.default_rng(seed).choice(1_000, keep, replace=False))
        asked = replace(shop.question(query, seen, np.isin(np.arange(1_000), kept)), near=None)
        found = retriever.retrieve([asked], [128])[0]
        assert np.sort(found.rows).tolist() == kept.tolist()


@pytest.mark.parametrize(("query", "seen"), ASKED)
def test_a_filter_that_keeps_nothing_returns_nothing_and_no_more_is_a_whole_list(shop, retriever, query, seen):
    nothing = retriever.retrieve([shop.question(query, seen, np.zeros(1_000, np.bool_))], [128])[0]
    assert len(nothing.rows) == 0
    whole = retriever.retrieve([shop.question(query, seen)], [128])[0]
    assert len(whole.rows) == 128
    assert whole.degraded == nothing.degraded == []


def test_requests_of_one_batch_are_answered_as_if_each_were_alone(shop, retriever):
    half = np.arange(1_000) % 2 == 0
    questions = [shop.question(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [32, 64, 128, 50, 1, 128, 10, 20, 30, 40]
    together = retriever.retrieve(questions, limits)
    for asked, limit, found in zip(questions, limits, together, strict=True):
        alone = retriever.retrieve([asked], [limit])[0]
        assert found.rows.tolist() == alone.rows.tolist()
        assert found.found == alone.found
        np.testing.assert_allclose(found.features, alone.features, atol=1e-5)
        assert len(np.unique(found.rows)) == len(found.rows) == found.found["fused"] <= limit


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_for_a_kind_finds_that_kind_first(shop, retriever, kind):
    found = retriever.retrieve([shop.question(kind)], [40])[0]
    assert np.isin(found.rows[:20], shop.of_kind(kind)).all()


def test_a_stand_in_for_the_dense_channel_is_asked_instead_of_it(shop):
    stand_in = Fake("dense", [5])
    retriever = Retriever(shop.catalog, shop.learned, GraphSpec(embedding_dim=16), stand_in)
    found = retriever.retrieve([shop.question("milk", REGULAR)], [50])[0]
    assert len(stand_in.asked) == 1
    assert found.found["dense"] == 1


def test_a_shop_without_a_log_has_no_collaborative_channel_and_answers(shop):
    first_day = InteractionIndex(Popularity.empty(1_000))
    names = [each.name for each in module.channels(shop.catalog, first_day, GraphSpec(embedding_dim=16))]
    assert names == ["dense", "lexical", "history", "trending", "new", "content"]
    retriever = Retriever(shop.catalog, first_day, GraphSpec(embedding_dim=16))
    assert len(retriever.retrieve([shop.question("", None)], [50])[0].rows) == 50


@pytest.mark.parametrize("kind", [None, "similar"])
def test_what_was_asked_ahead_of_the_embeddings_is_asked_once_and_changes_no_answer(shop, retriever, kind, monkeypatch):
    half = np.arange(1_000) % 2 == 0
    questions = [shop.question(query, seen, mask) for query, seen in ASKED for mask in (None, half)]
    limits = [64] * len(questions)
    expected = retriever.retrieve(questions, limits, kind)
    blind = [replace(each, embedding=np.zeros_like(each.embedding)) for each in questions]
    ahead = retriever.prefetch(blind, kind)
    assert any(len(hits) for hits in ahead.words.values())
    monkeypatch.setattr(module.Lexical, "search", lambda *_: pytest.fail("asked twice"))
    monkeypatch.setattr(module.UserProfile, "of", lambda *_: pytest.fail("summed up twice"))
    for found, known in zip(retriever.retrieve(questions, limits, kind, ahead), expected, strict=True):
        assert found.rows.tolist() == known.rows.tolist()
        np.testing.assert_array_equal(found.features, known.features)
        assert found.found == known.found
