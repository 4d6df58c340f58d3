"""Sentences of an explanation from features written down by hand, in every language."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.ranking import reasons
from fuserank_ensemble.ranking.reasons import Reader, RuleShift


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
            assert set(signals) == {*SIGNALS, "base"} - {"request"}
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
