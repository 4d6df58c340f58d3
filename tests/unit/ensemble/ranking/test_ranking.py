"""Reasons and the resolved request: plain values whose every number can be checked by hand."""

from __future__ import annotations

import math
import time
from string import Formatter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.candidates.features import SIGNALS
from fuserank_ensemble.candidates.request import (
    ResolvedRequest,
    RetrievalTrace,
    decode_requests,
    decode_traces,
    encode,
    head_weights,
)
from fuserank_ensemble.contract.controls import Explore, Language, Rule
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.ranking import reasons
from fuserank_ensemble.ranking.reasons import Reader
from fuserank_ensemble.ranking.wording import SENTENCES, format_sentence
from support.hand_shop import NOW, SEEN, features, history

# Without item b: what item a costs is what the user usually pays.
HAD = history([0, 2], [3, 1], [10, 0], [2, 1])

PARTS = st.lists(st.floats(-5, 5, width=32), min_size=len(SIGNALS), max_size=len(SIGNALS))


@given(st.floats(-9, 9), PARTS)
def test_contributions_and_base_add_up_to_the_score_and_shares_to_one(score, parts):
    signals = reasons.explain(score, np.asarray(parts, np.float32), features()[0], Reader("milk"))
    assert sum(signal["contribution"] for signal in signals) == pytest.approx(score, abs=1e-9)
    assert sum(signal["share"] for signal in signals) == pytest.approx(1.0) or not any(s["share"] for s in signals)
    assert signals[-1]["name"] == "base"
    assert [s["contribution"] for s in signals[:-1]] == sorted((s["contribution"] for s in signals[:-1]), reverse=True)
    assert {s["name"] for s in signals} == {*SIGNALS, "base"} - {"request"}


def explained(row, query, reader=None, seen=HAD, **options):
    signals = reasons.explain(
        0.0, np.zeros(len(SIGNALS), np.float32), features(seen, **options)[row], Reader(query, **(reader or {}))
    )
    return {signal["name"]: (signal["value"], signal["reason"]) for signal in signals}


def test_missing_values_are_null_and_said_in_words():
    newcomer = explained(0, "", seen=History.empty(), has_query=False)
    assert newcomer["history"] == (None, "new to you")
    assert newcomer["taste"] == (None, "no history in its category")
    assert newcomer["price"] == (None, "price unknown")
    assert newcomer["text"][1] == "no query"
    assert newcomer["lexical"][1] == "no query"
    assert explained(1, "milk")["text"] == (None, "unlike “milk”")
    assert explained(1, "milk")["lexical"] == (None, "shares no word with the query")
    assert explained(2, "milk")["new"][1] == "unknown since when"
    assert explained(2, "milk")["collaborative"] == (None, "no sign from users like you")
    assert explained(0, "milk")["content"] == (None, "unlike what you had lately")
    assert explained(1, "milk")["graph"] == (None, "not related to what you had or asked for")
    assert newcomer["popularity"][1] == "nobody has had it yet"


def test_reasons_tell_the_numbers_in_their_own_units():
    signals = explained(1, "milk")
    assert signals["history"][1] == "you had it 3 times, last 10 days ago"
    assert signals["popularity"][1] == "9 events of all users"
    assert signals["taste"][1] == "75.0% of your events are in its category"
    assert signals["price"][1].startswith("costs 1.00")
    assert signals["new"][1] == "here for 7 days"
    assert signals["collaborative"] == (1.25, "chosen by users like you (number 3)")
    assert signals["content"] == (-0.25, "like what you had lately (number 8)")
    assert explained(0, "茶")["graph"] == (2.5, "related to what you had or asked for (number 1)")
    assert explained(0, "茶", {"shared_words": ["红茶", "茶", "茶"]})["lexical"][1] == "has “红茶, 茶”"
    assert explained(0, "茶")["lexical"][1] == "has a word like one of “茶”"
    assert explained(0, "茶")["text"] == (0.5, "50% like “茶”")
    assert explained(0, "茶")["history"][1] == "you had it 1 time, last today"


def test_what_was_only_bought_is_called_bought():
    assert explained(1, "milk", {"bought": True})["history"][1] == "you bought it 3 times, last 10 days ago"
    assert explained(0, "milk", {"bought": True})["history"][1] == "you bought it 1 time, last today"


def test_reasons_are_told_in_chinese_too():
    signals = explained(1, "茶", {"language": "zh", "bought": True})
    assert signals["history"][1] == "您买过 3 次，最近一次在 10 天前"
    assert signals["popularity"][1] == "全部用户共有 9 次行为"
    assert signals["price"][1] == "价格 1.00，与您平常的花费相当"
    assert signals["base"][1] == "本次请求候选商品的平均水平"
    assert explained(0, "茶", {"language": "zh"})["history"][1] == "您选过 1 次，最近一次在今天"
    assert explained(2, "", {"language": "zh"})["lexical"][1] == "没有搜索词"


def test_every_language_has_every_sentence_with_the_same_values():
    def holes(sentence):
        return {name for _, name, _, _ in Formatter().parse(sentence) if name}

    english = {name: holes(sentence) for name, sentence in SENTENCES["en"].items()}
    for language, sentences in SENTENCES.items():
        assert {name: holes(sentence) for name, sentence in sentences.items()} == english, language
    assert set(SENTENCES) == set(get_args(Language))


@pytest.mark.parametrize(
    ("language", "days", "text"),
    [("en", 0, "here for 0 days"), ("en", 1, "here for 1 day"), ("en", 2_000, "here for 2,000 days"),
     ("zh", 1, "上架 1 天"), ("zh", 2_000, "上架 2,000 天")],
)  # fmt: skip
def test_counts_have_their_noun_in_the_form_that_they_ask_for(language, days, text):
    assert format_sentence(language, "new", days=days) == text


def test_a_query_that_looks_like_a_template_is_told_as_it_is():
    assert format_sentence("en", "text_unlike", query="{0.__class__} {days}") == "unlike “{0.__class__} {days}”"


def test_a_price_as_usual_is_not_called_below_or_above_it():
    assert "below" not in explained(1, "milk")["price"][1]


def resolved(**changed):
    values = {
        "has_query": True, "user_known": True, "k": 7, "now": NOW, "seen": SEEN.pack(),
        "filter": {"brand": ["a", "茶"]}, "weights": (0.25, 0.25, 0.5), "diversity": 0.1, "exclude_seen": True,
        "explain": False, "fields": ["title"], "query": "茶", "context": {"store": "330", "region": "北"},
        "history_unknown": 2, "degraded": ["x"], "started_ns": 1, "finished_ns": 2, "deadline_ns": 0,
    }  # fmt: skip
    return ResolvedRequest(**values | changed)


def test_a_resolved_request_travels_between_stages_unchanged():
    rules = [Rule(boost=1.5, filter={"price": {"lt": 5}}), Rule(pin=2, item_ids=["茶"])]
    asked = {"rules": rules, "explore": Explore(slots=[1, 3], seed=2**53 - 1), "language": "zh", "bought": True}
    sent = [resolved(), resolved(query="", filter=None, seen=b"", **asked)]
    received = decode_requests(string_tensor([[encode(each)] for each in sent]))
    assert received == sent
    for name in ("rows", "counts", "last", "recent"):
        assert getattr(received[0].history, name).tolist() == getattr(SEEN, name).tolist()
    assert len(received[1].history) == 0
    trace = RetrievalTrace({"dense": 3, "fused": 3}, ["ranker_depth"], 5, 6)
    assert decode_traces(string_tensor([[encode(trace)]])) == [trace]


def test_the_time_left_is_endless_without_a_deadline_and_negative_after_it(monkeypatch):
    now = 7_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    assert resolved().milliseconds_left() == math.inf
    assert resolved(deadline_ns=now - 5_000_000).milliseconds_left() == -5
    assert resolved(deadline_ns=now + 1_000_000_000).milliseconds_left() == 1_000


WEIGHTS = st.tuples(*[st.floats(0, 1_000)] * len(HEADS)).filter(lambda w: sum(w) > 1e-6)


@given(WEIGHTS, st.booleans())
def test_head_weights_add_up_to_one_and_keep_their_proportions(given_weights, has_query):
    weights = head_weights(given_weights, has_query)
    used = given_weights if has_query else (0.0, *given_weights[1:])
    assert sum(weights) == pytest.approx(1.0 if any(used) else 0.0)
    assert min(weights) >= 0
    assert weights == pytest.approx([w / (sum(used) or 1.0) for w in used])


def test_without_a_query_relevance_weighs_nothing_even_where_it_is_the_only_head():
    assert head_weights((2.0, 0.0, 0.0), has_query=False) == (0.0, 0.0, 0.0)
    assert head_weights((1.0, 1.0, 0.0), has_query=False) == (0.0, 1.0, 0.0)
    assert head_weights((2.0, 0.0, 0.0), has_query=True) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"seen": b""}, "query"),
        ({}, "both"),
        ({"has_query": False, "exclude_seen": False}, "user"),
        ({"has_query": False, "exclude_seen": True}, "discover"),
        ({"has_query": False, "exclude_seen": False, "seen": b""}, "user"),
    ],
)
def test_the_kind_by_which_the_ranker_is_trusted_follows_from_what_a_request_holds(changed, kind):
    assert resolved(**changed).ranked_kind == kind
