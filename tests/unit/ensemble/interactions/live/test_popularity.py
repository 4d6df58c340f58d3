"""All users' events by item as the log goes on: what an export of the whole log would say, whatever the batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fuserank_ensemble.interactions.events import MOST_A_DAY, EventTable
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.interactions.live import popularity as module
from fuserank_ensemble.interactions.live.popularity import LivePopularity
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.state.entries import Interaction, Logged

ITEMS, LOG_END = 10, 1_700_000_000
TABLE = EventTable()


def make_events(count, start, days, seed):
    """Kinds, rows and moments of a log's events, oldest first."""
    draw = random.Random(seed)
    moments = sorted(start + draw.uniform(0, days * SECONDS_PER_DAY) for _ in range(count))
    return [(draw.choice(("view", "click", "purchase", "cart")), draw.randrange(ITEMS - 2), at) for at in moments]


def popularity_of(events, now):
    kinds, rows, moments = zip(*events, strict=True)
    return Popularity.from_log(
        np.zeros(len(events), np.int32), np.asarray(rows, np.int32), np.asarray(moments).astype(np.int64), ITEMS, now,
        weights=np.asarray([TABLE.strength(kind) for kind in kinds], np.float32),
    )  # fmt: skip


BEFORE = make_events(300, LOG_END - 60 * SECONDS_PER_DAY, 60, seed=1)
SINCE = [*make_events(200, LOG_END, 3, seed=2), ("purchase", 0, LOG_END + 3.0 * SECONDS_PER_DAY)]
BUNDLED = popularity_of(BEFORE, LOG_END)


def logged(events, first=1):
    return [
        Logged(at, Interaction(event_id=f"e{at}", event=kind, item_id=f"i{row}", timestamp=moment, user=b"u%d" % at))
        for at, (kind, row, moment) in enumerate(events, start=first)
    ]


def make_live(items, **more):
    live = LivePopularity(items, BUNDLED, TABLE, LOG_END, **more)
    live.seconds = 0.0
    return live


def arrays(snapshot):
    named = {name: getattr(snapshot.popularity, name) for name in ("counts", "events", "trend", "lately", "latest")}
    return named | {"impressions": snapshot.impressions, "clicks": snapshot.clicks, "order": snapshot.popularity.order}


def test_it_is_what_an_export_of_the_whole_log_would_say(items):
    live = make_live(items)
    live.apply(logged(SINCE))
    exported = popularity_of(BEFORE + SINCE, LOG_END + 3 * SECONDS_PER_DAY)
    now = live.current.popularity
    for name in ("counts", "events", "trend", "lately"):
        assert getattr(now, name) == pytest.approx(getattr(exported, name), rel=1e-4), name
    known = ~np.isnan(exported.latest)
    assert now.latest[known].astype(np.int64).tolist() == exported.latest[known].astype(np.int64).tolist()
    assert np.isnan(now.latest[~known]).all()
    assert now.contexts is BUNDLED.contexts
    assert now.reach is BUNDLED.reach
    assert live.current.position == len(SINCE)


def test_the_same_log_gives_the_same_bytes_whatever_its_batches(items):
    entries = logged(with_impressions(SINCE))
    whole, single, again = make_live(items), make_live(items), make_live(items)
    whole.apply(entries)
    for entry in entries:
        single.apply([entry])
    for start in range(0, len(entries), 7):
        again.apply(entries[max(start - 3, 0) : start + 7])  # some come again after an error
    for name, expected in arrays(whole.current).items():
        for other in (single, again):
            assert arrays(other.current)[name].tobytes() == expected.tobytes(), name
    assert whole.current.impressions.sum() == len(SINCE)


def with_impressions(events):
    return [shown for kind, row, at in events for shown in (("impression", row, at), (kind, row, at))]


def test_a_snapshot_stays_as_it_is(items):
    live = make_live(items)
    live.apply(logged(SINCE[:50]))
    before = live.current
    kept = {name: array.tobytes() for name, array in arrays(before).items()}
    live.apply(logged(SINCE[50:], first=51))
    assert live.current is not before
    assert {name: array.tobytes() for name, array in arrays(before).items()} == kept


def test_snapshots_are_apart_and_the_last_comes_without_another_event(items, monkeypatch):
    live, clock = make_live(items), [100.0]
    live.seconds = 5.0
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    live.apply(logged(SINCE[:1]))
    assert live.current.position == 1
    live.apply(logged(SINCE[1:2], first=2))
    live.apply([])
    assert live.current.position == 1
    clock[0] += 5.0
    live.apply([])
    assert live.current.position == 2
    before = live.current
    clock[0] += 5.0
    live.apply([])
    assert live.current is before


def test_nothing_is_copied_before_something_happens(items):
    live = make_live(items)
    live.apply([])
    live.apply(logged([("purchase", 99, LOG_END)]))  # an item that the bundle has not
    assert live.current.popularity is BUNDLED


def test_what_is_not_wanted_takes_away_and_never_below_nothing(items):
    live = make_live(items)
    live.apply(logged([("return", 1, LOG_END)] * 200))
    now = live.current.popularity
    assert now.counts[1] == now.trend[1] == now.lately[1] == 0
    assert now.events[1] == BUNDLED.events[1]
    assert now.counts[2] == BUNDLED.counts[2]


def test_old_events_fade_as_days_go_by(items):
    live = make_live(items)
    live.apply(logged([("purchase", 0, LOG_END + 28 * SECONDS_PER_DAY)]))
    now = live.current.popularity
    assert now.trend[1:] == pytest.approx(BUNDLED.trend[1:] / 2)
    assert now.lately[1:] == pytest.approx(BUNDLED.lately[1:] / 16)
    assert now.trend[0] == pytest.approx(BUNDLED.trend[0] / 2 + 1)
    assert now.order[0] == 0 or now.trend[now.order[0]] >= now.trend[0]


def test_in_a_shop_of_the_past_what_comes_soon_after_its_log_is_as_old_as_it_is(items):
    past, present = make_live(items, follows_clock=False), make_live(items)
    for live in (past, present):
        live.apply(logged(SINCE))
    assert past.current.popularity.trend.tobytes() == present.current.popularity.trend.tobytes()


def test_in_a_shop_of_the_past_an_event_of_today_counts_as_one_of_its_last_day(items):
    live = make_live(items, follows_clock=False)
    live.apply(logged([("purchase", 0, LOG_END + 700 * SECONDS_PER_DAY)]))
    now = live.current.popularity
    assert now.trend[0] == pytest.approx(BUNDLED.trend[0] + 1)
    assert now.trend[1:].tolist() == BUNDLED.trend[1:].tolist()


def shown(kind, row, at, user=b"", session=b""):
    entry = Interaction(event_id=f"x{at}", event=kind, item_id=f"i{row}", timestamp=LOG_END, user=user, session=session)
    return Logged(at, entry)


def test_a_click_counts_once_and_only_for_what_was_shown(items):
    live = make_live(items)
    live.apply([
        shown("impression", 1, 1, b"u", b"s"),
        shown("impression", 1, 2, b"v"),
        shown("click", 1, 3, session=b"s"),
        shown("click", 1, 4, b"u"),  # of the same impression
        shown("click", 2, 5, b"u"),  # never shown
        shown("purchase", 1, 6, b"v"),
    ])  # fmt: skip
    assert live.current.impressions.tolist()[:3] == [0, 2, 0]
    assert live.current.clicks.tolist()[:3] == [0, 1, 0]


def test_only_so_many_impressions_wait_for_a_click(items, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    live = make_live(items)
    live.apply([shown("impression", 1, at, b"u%d" % at) for at in range(1, 4)])
    live.apply([shown("click", 1, 3 + at, b"u%d" % at) for at in range(1, 4)])
    assert (live.current.impressions[1], live.current.clicks[1]) == (3, 2)


def test_an_item_that_is_new_since_the_bundle_counts_from_when_the_catalogue_has_it():
    class Growing:
        """A catalogue that gets two items behind the bundle's."""

        def row_at(self, item_id, position):
            row = int(item_id.removeprefix("i"))
            return row if row < ITEMS or position >= 3 else -1

    live = make_live(Growing())
    live.apply([shown("purchase", 11, 1, b"u"), shown("purchase", 0, 2, b"u")])
    assert len(live.current.popularity.counts) == ITEMS
    live.apply([shown("purchase", 11, 3, b"u"), shown("impression", 10, 4, b"u")])
    now = live.current
    assert len(now.popularity.counts) == len(now.impressions) == len(now.popularity.context_share) == 12
    assert now.popularity.counts[10:].tolist() == [0, 1]
    assert now.impressions[10:].tolist() == [1, 0]
    assert now.popularity.counts[1:ITEMS].tolist() == BUNDLED.counts[1:].tolist()
    assert sorted(now.popularity.order.tolist()) == list(range(12))


@pytest.mark.parametrize("users", [1, 3])
def test_a_flood_moves_an_item_by_no_more_than_a_days_events_of_each_user(items, users):
    live = make_live(items)
    flood = [
        Logged(
            at,
            Interaction(
                event_id=f"f{at}", event="purchase", item_id="i2", timestamp=LOG_END, user=b"f%d" % (at % users)
            ),
        )
        for at in range(1, 3_001)
    ]
    live.apply(flood)
    moved = live.current.popularity.counts - BUNDLED.counts
    assert moved[2] == pytest.approx(users * MOST_A_DAY * TABLE.strength("purchase"), rel=1e-4)
    assert not np.delete(moved, 2).any()
    live.apply(
        [
            Logged(
                3_001, Interaction(event_id="n", event="purchase", item_id="i2", timestamp=LOG_END + 86_400, user=b"f0")
            )
        ]
    )
    assert live.current.popularity.counts[2] > BUNDLED.counts[2] + moved[2], "the next day counts anew"
