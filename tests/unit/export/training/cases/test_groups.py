"""Groups of users and devices reach a case as they were known before its window, as serving computes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.interactions.segments import ALWAYS, SegmentColumn, UserSegments
from fuserank_export.index.own_features import group_features
from fuserank_export.learning.interactions import popularity_before
from fuserank_export.training.cases.window import window_queries
from support.habits import (
    FROM,
    LOG,
    SHOP,
    SPEC,
    SYNTHETIC,
    USERS,
    WINDOW,
    all_logged,
    altered,
    assert_same,
    knowing,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# Every second user is gold, every third has a tag or two, and of the last nothing is said.
SAID = USERS - 1
TAGS = [[0, 1] if user % 6 == 0 else [1] if user % 3 == 0 else [] for user in range(SAID)]


def segments(since=ALWAYS):
    return UserSegments(
        np.asarray([b"u%02d" % user for user in range(SAID)]),
        np.full(SAID, since, np.int64),
        {
            "tier": SegmentColumn(np.arange(SAID + 1), (np.arange(SAID) % 2).astype(np.int32), ["gold", "silver"]),
            "tags": SegmentColumn(
                np.concatenate([[0], np.cumsum([len(tags) for tags in TAGS])]),
                np.asarray([tag for tags in TAGS for tag in tags], np.int32),
                ["garden", "pets"],
            ),
        },
    )


def with_devices(log, seed=3):
    device = np.random.default_rng(seed).integers(-1, 2, len(log)).astype(np.int32)
    return replace(log, places={"device": (device, ["app", "web"])})


GROUPED = with_devices(replace(all_logged(LOG), segments=segments()))


@pytest.fixture
def grouped(builder):
    """Builds cases with all the columns that the groups make."""
    return replace(builder, spec=replace(SPEC, own_features=tuple(group_features(GROUPED))))


def queries_of(log):
    return window_queries(log, SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)


def test_every_column_of_users_and_the_device_make_two_features():
    assert [(feature.name, feature.signal, feature.form) for feature in group_features(GROUPED)] == [
        ("segment.tier", "segment", "lift"),
        ("segment.tier.category", "segment", "category_lift"),
        ("segment.tags", "segment", "lift"),
        ("segment.tags.category", "segment", "category_lift"),
        ("context.device", "context", "lift"),
        ("context.device.category", "context", "category_lift"),
    ]
    assert group_features(LOG) == []
    one = replace(LOG, places={"device": (np.zeros(len(LOG), np.int32), ["web"])})
    assert group_features(one) == []


def test_the_events_of_a_group_are_those_that_its_users_had_before():
    contexts = popularity_before(GROUPED, SHOP, FROM).contexts
    before = GROUPED.timestamp < FROM
    age = (FROM - GROUPED.timestamp[before]) / 86_400
    weight, user = np.exp2(-age / 28.0), GROUPED.user[before]
    for name, members in (
        ("user.tier=gold", (user % 2 == 0) & (user < SAID)),
        ("user.tags=garden", (user % 6 == 0) & (user < SAID)),
        ("user.tags=pets", (user % 3 == 0) & (user < SAID)),
        ("device=web", GROUPED.places["device"][0][before] == 1),
    ):
        rows, weights, total = contexts.get(name)
        expected = np.bincount(GROUPED.item[before][members], weight[members], minlength=len(SHOP.items))
        np.testing.assert_allclose(weights, expected[rows], rtol=1e-4)
        assert total == pytest.approx(weight[members].sum(), rel=1e-4), name


def test_what_the_shop_said_later_is_known_of_nobody_before():
    for since, known in ((int(FROM), True), (int(FROM) + 1, False)):
        log = replace(GROUPED, segments=segments(since))
        assert any(query.segments for query in queries_of(log)) == known
        assert (popularity_before(log, SHOP, FROM).contexts.get("user.tier=gold")[2] > 0) == known


def test_a_query_knows_its_users_groups_and_what_it_is_made_on():
    queries = queries_of(GROUPED)
    assert {query.places.get("device") for query in queries} <= {None, "app", "web"}
    assert sum("device" in query.places for query in queries) > len(queries) / 2
    assert all(query.segments == {} for query in queries if query.kind == "query")
    tiers = {tuple(query.segments.get("tier", ())) for query in queries if query.kind == "user"}
    assert tiers >= {("gold",), ("silver",)}


def test_a_case_has_the_columns_that_serving_computes_and_each_is_known_somewhere(grouped):
    interactions, queries = knowing(GROUPED)(FROM), queries_of(GROUPED)
    cases = grouped.build(queries, interactions)
    own = cases.features[..., len(FEATURES) :]
    assert (~np.isnan(own)).any((0, 1)).all()
    retriever = Retriever(grouped.catalog, interactions, grouped.spec)
    for i in range(0, len(queries), 25):
        asked = grouped.exclude_seen(grouped.channel_queries([queries[i]]), [queries[i]])
        served = retriever.retrieve(asked, [SPEC.candidates])[0]
        np.testing.assert_array_equal(own[i, : len(served.rows)], served.features[:, len(FEATURES) :])
    # A search without a user says nothing of groups of users.
    plain = [query.kind == "query" for query in queries]
    assert np.isnan(own[plain][..., :4]).all()
    assert np.isnan(own[~cases.present]).all()


def test_nothing_of_the_window_reaches_a_groups_columns(grouped):
    inside = GROUPED.timestamp >= FROM
    changed = altered(GROUPED, inside)
    cases, others = (grouped.build(queries_of(log), knowing(log)(FROM)) for log in (GROUPED, changed))
    by_query = [
        query.query == other.query for query, other in zip(queries_of(GROUPED), queries_of(changed), strict=True)
    ]
    assert all(by_query)
    assert_same(cases, others, but=["labels"])
    past = grouped.build(queries_of(GROUPED), knowing(altered(GROUPED, ~inside))(FROM))
    assert not np.array_equal(past.features[..., len(FEATURES) :], cases.features[..., len(FEATURES) :], equal_nan=True)
