"""What is known of who asks: the bundle's history and the events since, a session's, and nothing of the forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.events import EVENT_NAMES, PRIORS, EventTable, KindStrength, RatingScale
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY as DAY
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.interactions.live.users import Users
from fuserank_ensemble.state.entries import EVENT_KINDS, Forget, Merge, Personalise
from fuserank_ensemble.state.identity import hashed_name
from support.keys import TEST_KEY

NOW = 1_700_000_000
TABLE = EventTable({name: KindStrength(1.0 if prior > 0 else -1.0, "prior") for name, prior in PRIORS.items()})


ANNA = TEST_KEY.user_name("anna")


def snapshot(name, rows):
    count = len(rows)
    return HistorySnapshot.from_log(
        np.asarray([name.encode()], "S"), np.zeros(count, np.int32), np.asarray(rows, np.int32),
        np.full(count, NOW - 56 * DAY, np.int64),
    )  # fmt: skip


@pytest.fixture
def users(world):
    return Users(snapshot(ANNA, [1, 2, 2]), snapshot(ANNA, [7]), snapshot(ANNA, [9]), TABLE, world.overlay)


def had(known):
    return dict(zip(known.seen.rows.tolist(), known.seen.counts.tolist(), strict=True))


def test_events_since_the_bundle_count_beside_those_in_it(world, users):
    assert had(users.find("anna", "")) == {1: 1, 2: 2}
    world.record(world.event("i2", user="anna"), world.event("i3", "purchase", user="anna"))
    known = users.find("anna", "")
    assert had(known) == {1: 1, 2: 3, 3: 1}
    assert known.live
    assert known.seen.last.tolist() == [NOW - 56 * DAY, NOW, NOW]
    # Of two events 56 days ago a half each is left beside today's.
    np.testing.assert_allclose(known.seen.recent, [1.0, 2.0, 1.0])


def test_events_that_come_out_of_order_or_from_a_clock_a_day_ahead_count_the_same(world, users):
    world.record(world.event("i3", user="bob", age=-DAY), world.event("i3", user="bob", age=9 * DAY))
    (later,) = users.find("bob", "").seen.last.tolist()
    assert later == NOW + DAY
    assert had(users.find("bob", "")) == {3: 2}


def test_impressions_and_items_that_the_catalogue_has_not_are_no_history(world, users):
    world.record(world.event("i3", "impression", user="bob"), world.event("unheard of", user="bob"))
    assert had(users.find("bob", "")) == {}


def test_a_hidden_item_stays_hidden_and_a_disliked_one_lowers(world, users):
    world.record(world.event("i3", "hide", user="anna"), world.event("i4", "dislike", user="anna"))
    world.record(world.event("i3", "purchase", user="anna"))
    known = users.find("anna", "")
    assert known.hidden.tolist() == [3, 9]
    assert known.disliked.rows.tolist() == [4, 7]
    assert 4 not in had(known)


def test_the_log_and_the_table_know_the_same_kinds_of_events():
    assert sorted(EVENT_KINDS) == sorted(EVENT_NAMES)


def test_an_event_counts_what_the_bundles_table_says(world):
    users = Users(snapshot(ANNA, [1]), None, None, EventTable(), world.overlay)
    world.record(*(world.event(f"i{n}", kind, user="anna") for n, kind in ((2, "view"), (3, "cart"), (4, "purchase"))))
    known = users.find("anna", "")
    np.testing.assert_allclose(known.seen.counts, [1, PRIORS["view"], PRIORS["cart"], 1])


def test_a_return_takes_a_purchase_away_and_leaves_those_before_it(world, users):
    world.record(world.event("i2", "return", user="anna"), world.event("i1", "return", user="anna"))
    known = users.find("anna", "")
    assert had(known) == {2: 1}
    assert known.disliked.rows.tolist() == [1, 2, 7]


def test_a_rating_below_the_users_own_mean_lowers_and_one_above_it_lifts(world):
    table = EventTable(ratings=RatingScale(mean=3.0, damping=2.0, spread=1.0, least_liked=3.0))
    users = Users(snapshot(ANNA, [1]), None, None, table, world.overlay)
    for item, value in (("i2", 5.0), ("i3", 5.0), ("i4", 1.0)):
        world.record(world.event(item, "rating", user="anna", value=value))
    known = users.find("anna", "")
    assert {2, 3} <= set(had(known))
    assert 4 not in had(known)
    assert known.disliked.rows.tolist() == [4]


def test_a_session_tells_of_a_stranger_and_adds_to_a_user(world, users):
    world.record(world.event("i5", session="s"), world.event("i6", user="anna", session="s"))
    assert had(users.find("", "s")) == {5: 1, 6: 1}
    assert had(users.find("stranger", "s")) == {5: 1}
    assert had(users.find("anna", "s")) == {1: 1, 2: 2, 5: 1, 6: 1}
    assert had(users.find("", "another")) == {}


def test_who_logs_in_takes_the_session_along_once(world, users):
    key = world.state.key
    merge = {"user": key.user("anna"), "source": key.session("s")}
    world.record(world.event("i5", session="s"), world.event("i6", user="anna", session="s"))
    world.record(Merge(event_id="m1", **merge), Merge(event_id="m2", **merge))
    expected = {1: 1, 2: 2, 5: 1, 6: 1}
    assert had(users.find("anna", "")) == expected


def test_of_the_forgotten_nothing_is_left_not_even_what_the_bundle_holds(world, users):
    world.record(world.event("i5", user="anna", session="s"), world.event("i6", session="s"))
    assert users.find("anna", "").row >= 0
    user = world.state.key.user("anna")
    world.state.log.erase(user, world.state.log.last_position() + 1)
    world.record(Forget(event_id="f1", user=user))
    known = users.find("anna", "")
    assert (known.row, had(known), known.disliked) == (-1, {}, None)
    assert had(users.find("", "s")) == {6: 1}  # the session in memory had the user's event, too
    world.record(world.event("i8", user="anna"))
    assert had(users.find("anna", "")) == {8: 1}


def test_who_opted_out_is_answered_as_nobody_until_they_opt_in(world, users):
    user = world.state.key.user("anna")
    world.record(world.event("i3", "hide", user="anna"), Personalise(event_id="p1", user=user, allowed=False))
    known = users.find("anna", "")
    assert (known.personalised, known.row, had(known), known.hidden.tolist()) == (False, -1, {}, [3, 9])
    world.record(Personalise(event_id="p2", user=user, allowed=True))
    assert had(users.find("anna", "")) == {1: 1, 2: 2}


def test_without_a_state_the_bundle_is_all():
    users = Users(snapshot(ANNA, [1, 2, 2]), None, None, TABLE, None, TEST_KEY)
    assert had(users.find("anna", "s")) == {1: 1, 2: 2}
    assert (users.find("anna", "").name, users.find("anna", "").complete) == (ANNA, True)
    assert users.find("bob", "").row == -1


def test_without_a_key_who_is_named_as_the_bundle_does_is_found_and_an_id_is_not_taken_for_somebody_new():
    users = Users(snapshot(ANNA, [1, 2, 2]), None, None, TABLE, None)
    assert had(users.find(ANNA, "")) == {1: 1, 2: 2}
    known = users.find("anna", "")
    assert (known.row, known.complete) == (-1, False)
    nobody = Users(HistorySnapshot.from_log(np.empty(0, "S1"), *[np.empty(0, np.int64)] * 3), None, None, TABLE, None)
    assert nobody.find("anna", "").complete  # a shop's first day


def test_who_is_in_the_bundle_under_a_hash_is_known_by_id_and_a_session_too(world):
    key = world.state.key
    of_user, of_session = hashed_name(key.user("nora")), hashed_name(key.session("visit"))
    users = Users(snapshot(of_user, [1]), snapshot(of_user, [7]), snapshot(of_session, [9]), TABLE, world.overlay)
    world.record(world.event("i2", user="nora"))
    known = users.find("nora", "visit")
    assert had(known) == {1: 1, 2: 1}
    assert (known.row, known.hidden.tolist()) == (0, [9])
    assert known.disliked.rows.tolist() == [7]
    assert had(Users(snapshot(of_session, [3]), None, None, TABLE, world.overlay).find("", "visit")) == {3: 1}
    world.record(Forget(event_id="f", user=key.user("nora")))
    assert (had(users.find("nora", "")), users.find("nora", "").row) == ({}, -1)
