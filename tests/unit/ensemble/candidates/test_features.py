"""Each feature's number is what its description says, worked out by hand; what is not known is missing, not zero."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS, Featuriser, RequestEvidence
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.columns import patch_columns
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.profile import UserProfiles
from fuserank_ensemble.retrieval.own_features import OwnFeature
from support.hand_shop import ITEMS, NAN, NOW, POPULARITY, SEEN, evidence_of, features, featurise, history

LOG2 = math.log(2)
HALVED = 2 * 2 ** (-10 / 56)  # the recent events with item a, ten days on
OF_A_USER = [feature.name for feature in FEATURES if feature.signal in ("history", "taste")]


def share(part):
    return math.log(0.001 + part)


def test_features_are_what_their_descriptions_say():
    log = math.log1p
    expected = {
        # items c, a, d, e
        "text_score": [0.5, NAN, 0.25, NAN],
        "text_rank": [0.0, NAN, log(1), NAN],
        "category_of_query": [share(0.25), share(0.75), NAN, share(0.75)],
        "lexical_score": [log(31.5), NAN, log(4), NAN],
        "lexical_rank": [0.0, NAN, log(8), NAN],
        "popularity": [0.0, log(9), log(1), log(2)],
        "trend": [0.0, log(2), log(0.5), log(5)],
        "lately": [0.0, log(1), log(0.25), log(5)],
        "reach": [0.0, log(3), log(1), log(1)],
        "repeats": [0.0, log(3), log(1), log(2)],
        "idle": [NAN, log(2), log(9), 0.0],
        # Category X has a, b and e; Y has only c, which nobody had; d has none.
        "trend_share": [NAN, share(2 / 10), NAN, share(5 / 10)],
        "lately_share": [NAN, share(1 / 8), NAN, share(5 / 8)],
        "reach_share": [NAN, share(3 / 8), NAN, share(1 / 8)],
        "trending_score": [NAN, log(7), 0.0, NAN],
        "trending_rank": [NAN, 0.0, log(1), NAN],
        "age": [0.0, log(7), NAN, NAN],
        "new_rank": [log(3), NAN, NAN, NAN],
        "history_frequency": [log(1), log(3), NAN, NAN],
        "history_recency": [0.0, log(10), NAN, NAN],
        "history_recent": [log(1), log(HALVED), NAN, NAN],
        "history_share": [1 / 5, 3 / 5, NAN, NAN],
        "history_rank": [log(1), 0.0, NAN, NAN],
        "due": [NAN, log(10 / 5), NAN, NAN],
        "share_in_category": [1.0, 3 / 4, NAN, 0.0],
        "recent_in_category": [1.0, HALVED / (HALVED + 2**-0.5), NAN, 0.0],
        "latest_in_category": [1.0, 1.0, NAN, 0.0],
        "collaborative_score": [-0.5, 1.25, NAN, NAN],
        "collaborative_rank": [log(5), log(2), NAN, NAN],
        "content_score": [NAN, -0.25, 0.75, NAN],
        "content_rank": [NAN, log(7), 0.0, NAN],
        "graph_score": [2.5, NAN, -1.0, NAN],
        "graph_rank": [0.0, NAN, log(4), NAN],
        "category_share": [1 / 5, 4 / 5, NAN, 4 / 5],
        "category_events": [log(1), log(4), NAN, log(4)],
        "category_recency": [0.0, log(10), NAN, log(10)],
        # Three of brand P (item a), one of Q (item c).
        "brand_share": [1 / 5, 3 / 5, 3 / 5, 1 / 5],
        "brand_in_category": [1.0, 3 / 4, NAN, 0.0],
        "text_in_category": [1.0, 3 / 4, NAN, 3 / 4],
        # 1 + price is 2 for a, 4 for b, 1 for d, 8 for e.
        "price": [NAN, LOG2, 0.0, 3 * LOG2],
        "price_gap": [NAN, (1 - 1.5) * LOG2, -1.5 * LOG2, (3 - 1.5) * LOG2],
        "price_gap_in_category": [NAN, (1 - 5 / 4) * LOG2, NAN, (3 - 5 / 4) * LOG2],
        "missed": [1.0, 0.0, 0.5, 0.0],
        "votes": [1.5, 1.0, 0.25, 0.0],
        "has_query": [1, 1, 1, 1],
        "has_history": [1, 1, 1, 1],
    }
    found = features()
    assert found.dtype == np.float32
    assert list(expected) == list(POSITION) == [feature.name for feature in FEATURES]
    for name, column in expected.items():
        np.testing.assert_allclose(found[:, POSITION[name]], column, rtol=1e-5, atol=1e-6, err_msg=name)


def test_signals_are_those_of_the_features_and_the_two_that_have_none():
    assert len(set(SIGNALS)) == len(SIGNALS)
    assert set(SIGNALS) - {feature.signal for feature in FEATURES} == {"reading", "sequence"}


def test_only_what_was_had_last_in_its_category_is_the_latest_there():
    both = features(other=evidence_of([0, 1]))
    assert both[:, POSITION["latest_in_category"]].tolist() == [1.0, 0.0]
    assert both[1, POSITION["share_in_category"]] == 0.25


def test_unknown_features_of_a_newcomer_are_missing_and_not_zero():
    found = features(History.empty(), has_query=False)
    # The channel of the user's own items found something here, which a newcomer's would not.
    for name in {*OF_A_USER, "price_gap", "price_gap_in_category"} - {"history_rank"}:
        assert np.isnan(found[:, POSITION[name]]).all(), name
    assert (found[:, [POSITION["has_query"], POSITION["has_history"]]] == 0).all()
    assert not np.isnan(found[:, POSITION["popularity"]]).any()


def test_an_event_after_now_counts_as_today_and_not_as_a_negative_age():
    found = features(history([0], [1], [-9], [1]))
    assert [found[1, POSITION[name]] for name in ("history_recency", "category_recency", "due")] == [0, 0, 0]
    assert found[1, POSITION["history_recent"]] == pytest.approx(LOG2)


def test_a_catalogue_without_category_brand_and_price_has_features_all_the_same():
    bare = Items(ITEMS.ids, ITEMS.text, Columns(5, {}))
    found = features(items=bare, has_query=False, other=evidence_of([1, 0]))
    of_categories = [name for name in POSITION if "category" in name or name.endswith("_share")]
    for name in {*of_categories, "brand_share", "price", "price_gap"} - {"history_share"}:
        assert np.isnan(found[:, POSITION[name]]).all(), name
    assert found[:, POSITION["history_share"]].tolist() == pytest.approx([0.2, 0.6])
    for feature in FEATURES:
        if feature.name.endswith(("_rank", "_score")):
            assert np.isnan(found[:, POSITION[feature.name]]).all(), feature.name


def test_a_category_that_nobody_had_anything_of_has_no_shares_and_no_warning():
    with np.errstate(all="raise"):
        found = featurise(Featuriser(ITEMS, Popularity.empty(5)), RequestEvidence(evidence_of([0, 3]), SEEN, NOW))
    for name in ("trend_share", "lately_share", "reach_share", "idle", "due", "age"):
        assert np.isnan(found[:, POSITION[name]]).all(), name
    assert (found[:, POSITION["repeats"]] == 0).all()


def test_a_negative_score_is_kept_as_it_is_and_as_zero_where_its_log_is_taken():
    column = {"lexical": "lexical_score", "trending": "trending_score", "graph": "graph_score"}
    evidence = evidence_of([0], {channel: [-5] for channel in column})
    assert [features(other=evidence)[0, POSITION[name]] for name in column.values()] == [0.0, 0.0, -5.0]


@pytest.mark.parametrize("seen", [SEEN, History.empty()], ids=["history", "newcomer"])
def test_no_candidates_have_no_features(seen):
    assert features(seen, other=evidence_of([], {"dense": []}, {"dense": []})).shape == (0, len(FEATURES))


def test_the_order_of_candidates_changes_no_candidates_features():
    rows = np.arange(5, dtype=np.int32)
    there = features(other=evidence_of(rows))
    back = features(other=evidence_of(rows[::-1]))
    np.testing.assert_array_equal(there, back[::-1])


def test_a_day_later_only_what_has_an_age_has_changed():
    popularity = replace(POPULARITY, latest=POPULARITY.latest - 99 * DAY, arrived=POPULARITY.arrived - 99 * DAY)
    at = [
        featurise(Featuriser(ITEMS, popularity), RequestEvidence(evidence_of([0, 1, 2]), SEEN, now))
        for now in (NOW, NOW + DAY)
    ]
    moved = ~np.isclose(at[0], at[1], rtol=1e-6, equal_nan=True).all(0)
    assert {f.name for f, changed in zip(FEATURES, moved, strict=True) if changed} == {
        "idle", "age", "history_recency", "history_recent", "due", "category_recency",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["price", "brand", "category", "shelf"])
def test_over_other_values_features_are_those_of_a_catalogue_that_was_made_with_them(name):
    own = (
        OwnFeature("shop.shelf=top", "shop", "1 where shelf is top", "shelf", "value", "top"),
        OwnFeature("shop.shelf.share", "shop", "share", "shelf", "share"),
    )
    shelf = Column("keyword", np.asarray([0, 1, -1, 1, 0], np.int32), ["low", "top"])
    items = replace(ITEMS, columns=Columns(len(ITEMS), {**ITEMS.columns.by_name, "shelf": shelf}))
    values = {0: 77.0, 3: None} if name == "price" else {0: "top", 2: "another", 4: None}
    changed = items.with_columns(patch_columns(items.columns, {name: values}))
    request = RequestEvidence(evidence_of(range(len(ITEMS))), SEEN, NOW)
    moved = Featuriser(items, POPULARITY, own).over(changed, POPULARITY)
    made, over = (featurise(by, request, changed) for by in (Featuriser(changed, POPULARITY, own), moved))
    np.testing.assert_array_equal(made, over)
    before = featurise(Featuriser(items, POPULARITY, own), request, items)
    assert not np.array_equal(made, before, equal_nan=True)


def test_after_more_events_features_are_those_of_the_new_counts_but_for_what_an_export_alone_learns():
    counts = POPULARITY.counts + np.asarray([3, 0, 1, 0, 0], np.float32)
    more = {"counts": counts, "trend": counts / 2, "lately": counts / 4, "latest": POPULARITY.latest + DAY}
    later = replace(POPULARITY, **more)
    request = RequestEvidence(evidence_of(range(len(ITEMS))), SEEN, NOW)
    before = Featuriser(ITEMS, POPULARITY)
    kept = featurise(before, request)
    moved, made = (featurise(by, request) for by in (before.with_popularity(later), Featuriser(ITEMS, later)))
    repeats = POSITION["repeats"]  # needs to know who had an item before
    np.testing.assert_array_equal(moved[:, repeats], kept[:, repeats])
    np.testing.assert_array_equal(np.delete(moved, repeats, 1), np.delete(made, repeats, 1))
    np.testing.assert_array_equal(featurise(before, request), kept)
    assert not np.array_equal(moved, kept, equal_nan=True)


def test_each_request_of_a_batch_has_the_features_that_it_has_alone():
    text_scores = np.asarray([1, 0.5], np.float32)
    requests = [
        RequestEvidence(evidence_of([0, 1, 4], {"trending": [1.0, 2.0, NAN]}), SEEN, NOW),
        RequestEvidence(evidence_of([]), SEEN, NOW),
        RequestEvidence(evidence_of([2, 3], ranks={"dense": [0, 1]}), History.empty(), NOW - 9 * DAY, text_scores),
        RequestEvidence(evidence_of([3, 1, 2, 0]), history([1, 3], [2, 1], [0, 3], [2, 1]), NOW + DAY),
    ]
    by, seen = Featuriser(ITEMS, POPULARITY), [request.seen for request in requests]
    together = by(requests, UserProfiles.from_histories(seen, ITEMS, [request.now for request in requests]))
    for found, request in zip(together, requests, strict=True):
        np.testing.assert_array_equal(found, featurise(by, request))
