"""What the last stage tells of each item: contributions that add up, probabilities, propensities, who placed it."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS
from fuserank_ensemble.candidates.request import RetrievalTrace, decode_requests, encode
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.graph.tensors import string_tensor
from support.hosts import LoneHost

PADDED, COUNT = 32, 20
WEIGHTS = (0.5, 0.2, 0.3)
BIAS = np.asarray([0.5, -1.0, 0.25], np.float32)


@pytest.fixture(scope="module")
def stages(tiny_bundle):
    return SimpleNamespace(
        preprocess=Preprocess.open(tiny_bundle, "cpu", LoneHost()),
        finalize=Finalize.open(tiny_bundle, "cpu", LoneHost()),
        ids=Bundle.open(tiny_bundle, verify=()).items.ids,
    )


def inputs(stages, asked, seed=0, count=COUNT, has_query=True, spread=1.0):
    """What an additive ranker hands on: its heads are the sums of its contributions and a bias."""
    draw = np.random.default_rng(seed)
    candidates = np.full((1, PADDED), -1, np.int32)
    candidates[0, :count] = draw.permutation(60)[:count]
    contributions = draw.normal(0, spread, (1, PADDED, len(SIGNALS), len(HEADS))).astype(np.float32)
    # The same for all candidates, as the signal of the request itself is.
    contributions[:, :, SIGNALS.index("request")] = contributions[:, :1, SIGNALS.index("request")]
    features = draw.normal(size=(1, PADDED, len(FEATURES))).astype(np.float32)
    # The rest of an item's history features are known where its frequency is, and its popularity always is.
    # What a query asks for and an item misses is known of every item or, where it states nothing, of none.
    whole = [POSITION["history_recency"], POSITION["popularity"], POSITION["missed"], POSITION["votes"]]
    missing = draw.random(features.shape) < 0.3
    missing[..., whole] = False
    features[missing] = math.nan
    raw = {
        "QUERY": "milk" if has_query else "",
        "USER_ID": "nobody",
        "OPTIONS": json.dumps({"fields": ["title"], **asked}),
    }
    parsed = stages.preprocess.execute([{name: string_tensor([[text.encode()]]) for name, text in raw.items()}])[0]
    resolved = replace(decode_requests(parsed["REQUEST"])[0], weights=WEIGHTS, bought=True)
    return {
        "REQUEST": string_tensor([[encode(resolved)]]),
        "RETRIEVAL": string_tensor([[encode(RetrievalTrace({}, [], 0, 0))]]),
        "CANDIDATES": candidates,
        "FEATURES": np.abs(features),
        "HEADS": contributions.sum(2) + BIAS,
        "CONTRIBUTIONS": contributions,
    }


def answer(stages, tensors):
    outputs = stages.finalize.execute([tensors])[0]
    items = [json.loads(item) for item in outputs["ITEM"][0]]
    ids = [item.decode() for item in outputs["ITEM_ID"][0]]
    return ids, outputs["SCORE"][0].tolist(), items, json.loads(outputs["STATUS"][0, 0])


ASKED = st.fixed_dictionaries(
    {"k": st.integers(3, 30)},
    optional={
        "rules": st.lists(
            st.sampled_from(
                [
                    {"boost": 1.5, "filter": {"category": "Food"}},
                    {"bury": 5, "filter": {"brand": "Acme"}},
                    {"boost": 5, "filter": {"price": {"gte": 3}}},
                    {"pin": 2, "item_ids": ["i00", "i59"]},
                    {"pin": 1, "filter": {"category": "Drinks"}},
                ]
            ),
            max_size=5,
        ),
        "diversity": st.sampled_from([0.2, 1.0]),
        "explore": st.fixed_dictionaries(
            {"rate": st.floats(0, 1), "slots": st.just([1, 3]), "seed": st.integers(0, 9)}
        ),
        "language": st.sampled_from(["en", "zh"]),
    },
)


@given(ASKED, st.integers(0, 999), st.integers(0, COUNT), st.floats(0, 20), st.booleans())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_contributions_add_up_to_the_score_from_one_base_whatever_is_asked(
    stages, asked, seed, count, spread, has_query
):
    tensors = inputs(stages, {"explain": True, **asked}, seed, count, spread=spread, has_query=has_query)
    _, scores, items, status = answer(stages, tensors)
    assert status["returned"] == len(items)
    bases = []
    for score, item in zip(scores, items, strict=True):
        told = {signal["name"]: signal for signal in item["signals"]}
        assert sum(signal["contribution"] for signal in told.values()) == pytest.approx(score, abs=1e-3)
        moved = any(signal["contribution"] for name, signal in told.items() if name != "base")
        assert sum(signal["share"] for signal in told.values()) == pytest.approx(float(moved))
        assert all(signal["reason"] for signal in told.values())
        assert ("placement" in told) == ("placed" in item)
        if item.get("scored", True):
            assert ("rules" in told) == bool(asked.get("rules"))
            assert "heads" in item
        bases.append(told["base"]["contribution"])
    # The base is no remainder that hides a wrong part: it is the same for every item.
    assert bases == pytest.approx([bases[0]] * len(bases) if bases else [], abs=1e-3)


def test_heads_are_probabilities_and_relevance_rests_without_a_query(stages):
    tensors = inputs(stages, {"explain": True, "k": 5}, spread=0.4)
    tensors["HEADS"][0, 3] = [1e6, -1e6, 0]
    ids, _, items, _ = answer(stages, tensors)
    row = dict(
        zip(
            (stages.ids[r].decode() for r in tensors["CANDIDATES"][0, :COUNT]),
            tensors["HEADS"][0],
            strict=False,
        )
    )
    for item_id, item in zip(ids, items, strict=True):
        expected = [
            1 / (1 + math.exp(-float(logit))) if abs(logit) < 700 else float(logit > 0) for logit in row[item_id]
        ]
        assert list(item["heads"]) == list(HEADS)
        assert list(item["heads"].values()) == pytest.approx(expected)
    assert items[0]["heads"] == {"relevance": 1.0, "click": 0.0, "purchase": 0.5}
    recommended = answer(stages, inputs(stages, {"explain": True}, has_query=False))[2]
    assert all(list(item["heads"]) == ["click", "purchase"] for item in recommended)


def test_what_was_not_asked_for_is_not_told(stages):
    _, _, items, status = answer(stages, inputs(stages, {}))
    assert all(set(item) == {"fields"} for item in items)
    assert not {"rules", "explore"} & set(status)


def test_an_exploring_list_tells_each_propensity_and_whom_it_placed(stages):
    asked = {"k": 5, "explore": {"rate": 0.5, "slots": [2, 5], "max_events": 1000}, "explain": True}
    explored = 0
    for seed in range(30):
        asked["explore"]["seed"] = seed
        _, _, items, status = answer(stages, inputs(stages, asked))
        placed = [item.get("placed") for item in items]
        assert all(0 < item["propensity"] <= 1 for item in items)
        assert items[0]["propensity"] == 1
        assert {i for i, by in enumerate(placed) if by} <= {1, 4}
        assert status["explore"] == {"seed": seed, "slots": [2, 5], "pool": 15, "explored": placed.count("explore")}
        reasons = [item["signals"][-1]["reason"] for item in items if "placed" in item]
        assert set(reasons) <= {"shown here to learn how it is liked"}
        explored += placed.count("explore")
    assert 10 < explored < 50


def test_a_pinned_item_that_retrieval_did_not_find_says_that_it_is_not_scored(stages):
    tensors = inputs(stages, {"k": 4, "explain": True, "rules": [{"pin": 1, "item_ids": ["i05", "i06"]}]})
    tensors["CANDIDATES"][0, :COUNT] = np.arange(6, 6 + COUNT)
    ids, scores, items, status = answer(stages, tensors)
    assert ids[:2] == ["i05", "i06"]
    assert [item.get("scored", True) for item in items] == [False, True, True, True]
    assert [item.get("placed") for item in items] == ["pin", "pin", None, None]
    assert [signal["name"] for signal in items[0]["signals"]] == ["base", "placement"]
    assert items[0]["signals"][0]["contribution"] == pytest.approx(scores[0])
    assert items[0]["signals"][1]["reason"].startswith("pinned by the shop; not among the candidates")
    assert items[1]["signals"][-1]["reason"] == "pinned by the shop"
    assert "heads" not in items[0]
    assert status["rules"] == [{"kind": "pin", "matched": 2, "placed": 2}]


def test_a_boost_is_a_signal_in_standard_deviations(stages):
    plain = dict(zip(*answer(stages, inputs(stages, {"k": 20}))[:2], strict=True))
    asked = {"k": 20, "explain": True, "rules": [{"boost": 2, "filter": {"category": "Food"}}]}
    ids, scores, items, _ = answer(stages, inputs(stages, asked))
    step = float(np.std(list(plain.values())))
    lifted = 0
    for item_id, score, item in zip(ids, scores, items, strict=True):
        signal = next(signal for signal in item["signals"] if signal["name"] == "rules")
        assert signal["value"] in (0.0, 2.0)
        assert signal["contribution"] == pytest.approx(signal["value"] * step, abs=1e-4)
        assert score - signal["contribution"] == pytest.approx(plain[item_id], abs=1e-4)
        assert signal["reason"] == ("promoted by the shop" if signal["value"] else "no rule of the shop moves it")
        lifted += bool(signal["value"])
    assert 0 < lifted < 20
    assert scores == sorted(scores, reverse=True)
