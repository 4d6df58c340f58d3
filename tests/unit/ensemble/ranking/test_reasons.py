"""Sentences of an explanation from features written down by hand, in every language."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS, FeatureLayout
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.ranking import reasons
from fuserank_ensemble.ranking.reasons import Reader, RuleShift
from fuserank_ensemble.ranking.wording import format_sentence
from fuserank_ensemble.retrieval.own_features import OwnFeature


def features(**known):
    row = np.full(len(FEATURES), np.nan, np.float32)
    for name, value in ({"popularity": 0.0, "has_query": 1.0, "has_history": 1.0} | known).items():
        row[POSITION[name]] = value
    return row


def explained(row, part=0.5, moved=None, **reader):
    parts = np.full(len(SIGNALS), part, np.float32)
    return {signal["name"]: signal for signal in reasons.explain(3.0, parts, row, Reader(**reader), moved)}


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("part", [0.5, -0.5])
def test_every_signal_has_a_sentence_whether_all_or_nothing_is_known(language, part):
    for row in (features(), features(**dict.fromkeys(POSITION, 0.5)), features(has_history=0.0)):
        for query in ("milk", ""):
            signals = explained(row, part, query=query, language=language)
            unstated = {"fit"} if math.isnan(row[POSITION["missed"]]) else set()
            assert set(signals) == {*SIGNALS, "base"} - {"request"} - unstated
            assert all(signal["reason"] and "{" not in signal["reason"] for signal in signals.values())


def test_what_a_signal_without_features_adds_decides_its_sentence():
    def reason(signal, part, reader=None, **values):
        parts = np.where(np.asarray(SIGNALS) == signal, np.float32(part), np.float32(0))
        signals = reasons.explain(part, parts, features(**values), reader or Reader("milk"))
        return next(each["reason"] for each in signals if each["name"] == signal)

    assert reason("sequence", 0.1) == "follows from what you had lately"
    assert reason("sequence", -0.1) == "does not follow from what you had lately"
    assert reason("sequence", 0.0, has_history=0.0) == "no history to follow from"
    assert reason("sequence", 0.1, Reader(language="zh")) == "与您最近的购物顺序相符"
    assert reason("reading", 0.1) == "reads as an answer to “milk”"
    assert reason("reading", -0.1) == "reads less like an answer to “milk”"
    assert reason("reading", 0.0, has_query=0.0) == "no query"


def test_a_shopper_reads_how_often_and_when_they_bought_it():
    row = features(history_frequency=math.log1p(7), history_recency=math.log1p(9))
    assert explained(row, bought=True)["history"]["reason"] == "you bought it 7 times, last 9 days ago"
    assert explained(row)["history"]["reason"] == "you had it 7 times, last 9 days ago"
    assert explained(row, bought=True, language="zh")["history"]["reason"] == "您买过 7 次，最近一次在 9 天前"


@pytest.mark.parametrize(("steps", "reason"), [(1.5, "promoted"), (-2.0, "demoted"), (0.0, "no rule of the shop")])
def test_rules_are_one_signal_more_and_the_sum_stays_the_score(steps, reason):
    signals = explained(features(), moved=RuleShift(steps * 0.75, steps))
    assert signals["rules"]["value"] == steps
    assert signals["rules"]["contribution"] == steps * 0.75
    assert signals["rules"]["reason"].startswith(reason)
    assert sum(signal["contribution"] for signal in signals.values()) == pytest.approx(3.0)
    without = explained(features())
    assert "rules" not in without
    assert without["base"]["contribution"] - signals["base"]["contribution"] == pytest.approx(steps * 0.75)


def test_what_a_query_states_is_a_signal_of_its_own_and_tells_whether_the_item_meets_it():
    def explained_fit(missed, adjustments):
        parts = np.zeros(len(SIGNALS), np.float32)
        parts[SIGNALS.index("fit")] = 0.25  # what the ranker itself makes of it
        signals = reasons.explain(3.0, parts, features(missed=missed), Reader("tea under $5"), adjustments=adjustments)
        assert sum(signal["contribution"] for signal in signals) == pytest.approx(3.0)
        return next((signal for signal in signals if signal["name"] == "fit"), None)

    fit = explained_fit(1.0, {"fit": (-2.0, -0.5)})
    assert (fit["value"], fit["contribution"]) == (1.0, pytest.approx(0.25 - 1.5))
    assert fit["reason"] == "misses a size, a price or what “tea under $5” rules out"
    assert explained_fit(0.0, {})["reason"] == "meets what “tea under $5” asks for"
    assert explained_fit(math.nan, {}) is None, "a query that states nothing has no such signal"


def test_where_fusion_orders_all_of_the_score_is_its_votes_and_the_channels_are_named():
    votes = np.asarray([2.0, 0.5], np.float32)
    parts = reasons.fusion_parts(votes)
    assert parts.sum(1).tolist() == votes.tolist()
    row = features(votes=2.0, lexical_rank=math.log1p(4), text_rank=0.0)
    signals = {signal["name"]: signal for signal in reasons.explain(2.0, parts[0], row, Reader("milk"))}
    assert (signals["fusion"]["contribution"], signals["base"]["contribution"]) == (2.0, 0.0)
    assert signals["fusion"]["reason"] == "place by channel: dense 1, lexical 5"
    assert explained(features())["fusion"]["reason"] == "no channel lists it"


def test_what_stands_behind_the_depth_of_comparison_says_so():
    for language in get_args(Language):
        signals = reasons.explain(
            1.0, np.zeros(len(SIGNALS), np.float32), features(), Reader("milk", language),
            adjustments={"depth": (-4.0, -1.0)},
        )  # fmt: skip
        depth = next(signal for signal in signals if signal["name"] == "depth")
        assert (depth["value"], depth["contribution"]) == (None, -3.0)
        assert depth["reason"] == format_sentence(language, "depth")


OWN = FeatureLayout(
    (
        OwnFeature("shop.rating", "shop", "rating", "rating", "number"),
        OwnFeature("shop.reviews", "shop", "reviews", "reviews", "log"),
        OwnFeature("shop.in_stock", "shop", "in stock", "in_stock", "flag"),
        OwnFeature("shop.season=winter", "shop", "season", "season", "value", "winter {x}"),
        OwnFeature("shop.season.share", "shop", "share", "season", "share"),
    )
)


@pytest.mark.parametrize(
    ("values", "english", "chinese", "leading"),
    [
        ((4.8, np.nan, np.nan, np.nan, np.nan), "rating 4.8", "评分 4.8", 4.8),
        (
            (4, math.log1p(12_345), 1, 1, 1),
            "rating 4, reviews 12,345, in stock: yes",
            "评分 4，评价数 12,345，有货：是",
            4,
        ),
        ((np.nan, np.nan, 0, 0, 0.5), "in stock: no", "有货：否", 0),
        ((np.nan, 0.0, np.nan, 1, np.nan), "reviews 0, season winter {x}", "评价数 0，季节 winter {x}", 0),
        ((np.nan,) * 5, "the shop says nothing more of it", "店铺没有更多信息", None),
        ((0.004, np.nan, np.nan, np.nan, np.nan), "rating 0.004", "评分 0.004", 0.004),
    ],
)  # fmt: skip
def test_the_shops_own_columns_are_told_in_their_own_unit(values, english, chinese, leading):
    row = np.concatenate([features(), np.asarray(values, np.float32)])
    parts = np.where(np.asarray(OWN.signals) == "shop", np.float32(0.7), np.float32(0.1))
    for language, expected in (("en", english), ("zh", chinese)):
        signals = reasons.explain(3.0, parts, row, Reader("milk", language, layout=OWN))
        assert math.isclose(sum(signal["contribution"] for signal in signals), 3.0, rel_tol=1e-6)
        told = next(signal for signal in signals if signal["name"] == "shop")
        assert (told["reason"], told["value"]) == (expected, leading)
        assert told["contribution"] == pytest.approx(0.7)


def test_where_fusion_orders_the_shops_own_signal_adds_nothing():
    parts = reasons.fusion_parts(np.asarray([2.0, 1.0], np.float32), OWN)
    assert parts.shape == (2, len(OWN.signals))
    assert parts.sum(1).tolist() == [2.0, 1.0]
    assert parts[:, OWN.signals.index("shop")].tolist() == [0.0, 0.0]


GROUPED = FeatureLayout(
    (
        OwnFeature("segment.tier", "segment", "", "user.tier", "lift"),
        OwnFeature("segment.tags", "segment", "", "user.tags", "lift"),
        OwnFeature("segment.tags.category", "segment", "", "user.tags", "category_lift"),
        OwnFeature("context.device", "context", "", "device", "lift"),
    )
)
OF = {"user.tier": ["gold"], "user.tags": ["pets", "garden"], "device": ["app"]}


@pytest.mark.parametrize(
    ("values", "segment", "context"),
    [
        ((0.5, -0.2, 0.1, 0.3), "popular in your tier: gold", "popular on your device: app"),
        ((0.1, -0.4, 0.3, -0.5), "less usual in your tags: pets, garden", "less usual on your device: app"),
        (
            (np.nan, 0.1, 0.6, 0.05),
            "of a category that is popular in your tags: pets, garden",
            "as usual on your device: app",
        ),
        ((0.01, np.nan, np.nan, np.nan), "as usual in your tier: gold", "no device of yours is known"),
        ((np.nan,) * 4, "no group of yours is known", "no device of yours is known"),
    ],
)
def test_a_group_is_told_by_what_it_has_most_out_of_the_ordinary(values, segment, context):
    row = np.concatenate([features(), np.asarray(values, np.float32)])
    signals = {
        signal["name"]: signal["reason"]
        for signal in reasons.explain(
            3.0, np.zeros(len(GROUPED.signals), np.float32), row, Reader("milk", layout=GROUPED, groups=OF)
        )
    }
    assert (signals["segment"], signals["context"]) == (segment, context)


def test_groups_are_told_in_chinese():
    row = np.concatenate([features(), np.asarray([0.5, np.nan, np.nan, -0.5], np.float32)])
    signals = {
        signal["name"]: signal["reason"]
        for signal in reasons.explain(
            3.0, np.zeros(len(GROUPED.signals), np.float32), row, Reader("牛奶", "zh", layout=GROUPED, groups=OF)
        )
    }
    assert signals["segment"] == "在您的会员等级（gold）中受欢迎"
    assert signals["context"] == "在您的设备（app）上较少见"
