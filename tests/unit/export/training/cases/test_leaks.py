"""A training case is a request as it stood before its window: nothing of the window reaches what it holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.learning.interactions import popularity_before
from fuserank_export.training.cases.synthetic import catalog_queries
from fuserank_export.training.cases.training_query import KINDS
from fuserank_export.training.cases.window import snapshot_before, window_queries
from support.habits import (
    COUNT,
    FROM,
    ITEMS,
    LOG,
    PURCHASE,
    SHOP,
    SYNTHETIC,
    USERS,
    VIEW,
    WINDOW,
    all_logged,
    altered,
    assert_same,
    knowing,
    log_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def placed(log):
    """The log with a store for each event: `s0` or `s1` before `FROM`, another one from then on."""
    store = np.where(log.timestamp < FROM, log.user % 2, 2).astype(np.int32)
    return replace(log, places={"store": (store, ["s0", "s1", "tomorrow's"])})


def test_nothing_from_a_windows_start_on_reaches_candidates_features_or_sequences(cases_of):
    log = all_logged(LOG)
    inside = log.timestamp >= FROM
    assert (log.timestamp[inside] < FROM + WINDOW).sum() > 100
    queries, cases = cases_of(log)
    changed_queries, changed = cases_of(altered(log, inside))
    assert [(a.kind, a.query) for a in queries] == [(a.kind, a.query) for a in changed_queries]
    assert set(cases.kinds) == set(KINDS)
    assert_same(cases, changed, but=["labels"])
    # The same change is seen where it may be: in the labels.
    assert not np.array_equal(cases.labels, changed.labels)


def test_a_planted_future_event_reaches_no_case(builder):
    """Everybody comes to one item in one store at the very start of the window, again and again."""
    log = placed(all_logged(LOG))
    planted = 50 * USERS
    events = {
        "user": np.tile(np.arange(USERS), 50), "item": np.full(planted, 7), "event": np.full(planted, PURCHASE),
        "timestamp": np.full(planted, int(FROM)), "query": np.full(planted, 0),
    }  # fmt: skip
    future = placed(log_of({name: np.concatenate([getattr(log, name), more]) for name, more in events.items()}))
    assert len(future) == len(log) + planted
    queries = window_queries(log, SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
    assert_same(builder.build(queries, knowing(log)(FROM)), builder.build(queries, knowing(future)(FROM)))
    before, after = snapshot_before(log, FROM), snapshot_before(future, FROM)
    for user in range(USERS):
        for name in ("rows", "counts", "last", "recent"):
            np.testing.assert_array_equal(getattr(before.at(user), name), getattr(after.at(user), name))
        assert after.places(user) == {"store": f"s{user % 2}"}
    # A second earlier all of it is seen.
    earlier = replace(future, timestamp=np.where(future.timestamp == int(FROM), int(FROM) - 1, future.timestamp))
    assert snapshot_before(earlier, FROM).at(3).counts[snapshot_before(earlier, FROM).at(3).rows == 7] >= 50
    seen = builder.build(queries, knowing(earlier)(FROM))
    assert not np.array_equal(seen.features, builder.build(queries, knowing(log)(FROM)).features, equal_nan=True)


def test_nothing_at_or_after_a_windows_end_reaches_a_case(cases_of):
    log = all_logged(LOG)
    queries, cases = cases_of(log)
    changed_queries, changed = cases_of(altered(log, log.timestamp >= FROM + WINDOW))
    assert len(queries) == len(changed_queries) > 50
    assert_same(cases, changed)


def test_the_past_does_reach_the_features_so_that_the_tests_above_could_fail(cases_of):
    log = all_logged(LOG)
    _, cases = cases_of(log)
    _, changed = cases_of(altered(log, log.timestamp < FROM))
    for name in ("rows", "features", "events", "moments"):
        assert not np.array_equal(getattr(cases, name), getattr(changed, name)), name


def test_an_event_at_a_windows_start_belongs_to_the_window():
    base = {"user": [0, 1], "item": [5, 6], "event": [VIEW, VIEW], "query": [0, 1]}
    log = log_of({**base, "timestamp": [FROM - 1, FROM]})
    queries = window_queries(log, SYNTHETIC, FROM, FROM + WINDOW, count=9, seed=1)
    popularity = popularity_before(log, SHOP, FROM)
    assert popularity.counts[5] == 1
    assert popularity.counts[6] == 0
    assert {tuple(query.clicked) for query in queries} == {(6,)}


def test_where_asks_are_from_is_where_their_users_were_before_the_window():
    queries = window_queries(placed(all_logged(LOG)), SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
    assert {query.places.get("store") for query in queries if query.kind != "query"} == {"s0", "s1"}
    assert all(query.places == {} for query in queries if query.kind == "query")


def test_a_snapshot_holds_what_was_before_the_moment_and_not_what_was_at_it():
    base = {"user": [0, 0, 1, 0], "item": [5, 5, 6, 7], "event": [VIEW] * 4, "query": [-1] * 4}
    log = log_of({**base, "timestamp": [FROM - 56 * SECONDS_PER_DAY - 1, FROM - 1, FROM, FROM + 1]})
    log = replace(log, places={"store": (np.asarray([0, 1, 2, 2], np.int32), ["a", "b", "c"])})
    snapshot = snapshot_before(log, FROM)
    assert len(snapshot) == USERS
    assert snapshot.get("u00").rows.tolist() == [5]
    assert snapshot.get("u00").counts.tolist() == [2]
    assert snapshot.get("u00").last.tolist() == [int(FROM) - 1]
    assert snapshot.get("u00").recent.tolist() == [1.5]
    assert len(snapshot.get("u01")) == 0
    assert [snapshot.places(user) for user in (0, 1)] == [{"store": "b"}, {}]


def telling_prices(builder, dear):
    """The shop, whose last ten items have a price that nothing else has."""
    price = np.where(np.arange(COUNT) >= COUNT - 10, dear, 2.0 + np.arange(COUNT) / COUNT)
    columns = Columns(COUNT, {**ITEMS.columns.by_name, "price": Column("number", price)})
    return replace(builder, catalog=replace(builder.catalog, items=replace(ITEMS, columns=columns)))


def last_ten(log, sold):
    """The log, in which the last ten items are had by nobody, or from `FROM` on by everybody."""
    last = log.item >= COUNT - 10
    item = np.where(last, log.item - 10, log.item)
    inside = np.flatnonzero(log.timestamp >= FROM)
    if sold:
        item[inside[::2]] = COUNT - 10 + np.arange(len(inside[::2])) % 10
    return replace(log, item=item.astype(np.int32))


def test_the_price_of_what_was_not_yet_sold_tells_nothing(builder):
    """A price that comes from sales is there only for what will be sold: known beforehand it would tell what that is.

    The planted leak: ten items that are first sold in the window cost a thousand, as nothing else does.
    """
    queries = window_queries(last_ten(all_logged(LOG), True), SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
    made = {
        (sold, dear): telling_prices(builder, dear).build(queries, knowing(last_ten(all_logged(LOG), sold))(FROM))
        for sold in (False, True)
        for dear in (1_000.0, np.nan)
    }
    cases = made[True, 1_000.0]
    unsold = cases.rows >= COUNT - 10
    assert unsold.sum() > 50
    assert np.nansum(cases.labels[unsold]) > 20  # and they are what was then had
    for name in ("price", "price_gap", "price_gap_in_category"):
        assert np.isnan(cases.features[unsold][:, POSITION[name]]).all()
    assert not np.isnan(cases.features[cases.present & ~unsold][:, POSITION["price"]]).any()
    for other in made.values():
        assert_same(cases, other)


def test_what_was_sold_before_the_window_keeps_its_price(builder):
    log = all_logged(LOG)  # in which the last ten items were had before
    queries = window_queries(log, SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
    cases = telling_prices(builder, 1_000.0).build(queries, knowing(log)(FROM))
    sold = cases.rows >= COUNT - 10
    np.testing.assert_allclose(cases.features[sold][:, POSITION["price"]], np.log(1_001), rtol=1e-5)


def test_a_shop_without_any_event_keeps_its_prices(builder):
    queries = catalog_queries(ITEMS, SYNTHETIC, 30, seed=1)
    cases = builder.build(queries, knowing(last_ten(LOG, False))(float(LOG.timestamp[0])))
    assert not np.isnan(cases.features[cases.present][:, POSITION["price"]]).all()
