"""What an event counts is learned from what follows it in the log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.interactions.events import (
    CODES,
    EVENTS,
    LEAST_STRENGTH,
    NO_STRENGTH,
    PRIORS,
    EventTable,
    NegativeEvents,
    RatingScale,
)
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.retrieval.fold_in import CONFIDENCE, confidence
from fuserank_export.learning import event_strengths
from fuserank_export.learning.event_strengths import describe_table, learn_event_table, weigh_log
from fuserank_export.sources.interactions import Interactions

USERS, ITEMS, DAYS, START = 200, 300, 200, 1_600_000_000


def log_of(events):
    """A log of (user, item, kind, day) in any order."""
    rows = sorted(events, key=lambda event: event[3])
    low = [row for row in rows if PRIORS[row[2]] < 0]
    high = [row for row in rows if PRIORS[row[2]] > 0]

    def columns(part):
        user, item, event, day = zip(*part, strict=True) if part else ([], [], [], [])
        return {
            "user": np.asarray(user, np.int32),
            "item": np.asarray(item, np.int32),
            "event": np.asarray([CODES[name] for name in event], np.uint8),
            "timestamp": (START + np.asarray(day, np.float64) * SECONDS_PER_DAY).astype(np.int64),
        }

    user_ids = [f"u{number:03}" for number in range(USERS)]
    negatives = NegativeEvents(**columns(low), weight=np.ones(len(low), np.float32), user_ids=user_ids)
    return replace(Interactions.empty(), **columns(high), user_ids=user_ids, negatives=negatives)


def planted(seed=1, returned_again=0.0):
    """Half of all carts lead to a purchase, a tenth of favourites; looks lead nowhere; returns are seldom had again."""
    draw = np.random.default_rng(seed)
    events = []
    for _ in range(3_000):
        user, item, day = draw.integers(USERS), draw.integers(ITEMS), draw.uniform(0, DAYS)
        kind, leads = (("view", 0.0), ("cart", 0.5), ("favourite", 0.1))[draw.integers(3)]
        events.append((user, item, kind, day))
        if draw.random() < leads:
            events.append((user, item, "purchase", day + 1))
    for _ in range(600):
        user, item, day = draw.integers(USERS), draw.integers(ITEMS), draw.uniform(0, DAYS)
        events += [(user, item, "purchase", day), (user, item, "purchase", day + 5)]
    for _ in range(300):
        user, item, day = draw.integers(USERS), draw.integers(ITEMS), draw.uniform(0, DAYS)
        events += [(user, item, "purchase", day), (user, item, "return", day + 2)]
        if draw.random() < returned_again:
            events.append((user, item, "purchase", day + 6))
    return log_of(events)


def test_carts_that_lead_to_purchases_count_and_looks_that_lead_nowhere_hardly_do():
    table = learn_event_table(planted(), np.inf)
    strength = {name: kind.strength for name, kind in table.kinds.items()}
    assert table.taking == "purchase"
    assert strength["purchase"] == 1
    assert strength["cart"] == pytest.approx(0.5, abs=0.08)
    assert strength["favourite"] == pytest.approx(0.1, abs=0.05)
    assert LEAST_STRENGTH <= strength["view"] < 0.02
    assert {name for name, kind in table.kinds.items() if kind.source == "learned"} >= {"view", "cart", "favourite"}


def test_many_looks_that_are_followed_by_no_more_than_chance_say_next_to_nothing():
    draw = np.random.default_rng(2)
    log = planted()
    looks = [(draw.integers(USERS), draw.integers(ITEMS), "view", draw.uniform(0, 100)) for _ in range(2_000)]
    known = zip(log.user, log.item, log.event, (log.timestamp - START) / SECONDS_PER_DAY, strict=True)
    more = log_of([*looks, *((user, item, EVENTS[code], day) for user, item, code, day in known)])
    assert learn_event_table(more, np.inf).kinds["view"].strength == NO_STRENGTH


def test_a_weak_event_is_no_less_certain_than_none_but_for_kinds_that_nothing_follows():
    strengths = np.asarray([1, 3, LEAST_STRENGTH, NO_STRENGTH, -1, -LEAST_STRENGTH], np.float32)
    certain = confidence(strengths)
    np.testing.assert_array_equal(certain[:2], (CONFIDENCE * np.log1p(strengths[:2])).astype(np.float32))
    np.testing.assert_allclose(certain[2:], [1, 0.1, -CONFIDENCE * np.log(2), -1], rtol=1e-6)


def test_a_return_counts_less_where_people_then_buy_the_item_again():
    seldom = learn_event_table(planted(), np.inf).kinds["return"].strength
    often = learn_event_table(planted(returned_again=0.9), np.inf).kinds["return"].strength
    assert -1 <= seldom < -0.8
    assert often > -0.5
    assert often < 0


def test_a_few_events_leave_the_prior_nearly_as_it_is():
    events = [(user, user, "purchase", user) for user in range(150)] + [(3, 9, "cart", 5), (4, 9, "share", 7)]
    table = learn_event_table(log_of(events), np.inf)
    assert table.kinds["cart"].strength == pytest.approx(PRIORS["cart"], abs=0.02)
    assert table.kinds["share"].strength == pytest.approx(PRIORS["share"], abs=0.02)
    assert table.kinds["click"].source == "prior"


def test_what_comes_later_is_not_looked_at():
    log = planted()
    end = float(np.median(log.timestamp))
    late = log.timestamp >= end
    altered = replace(log, item=np.where(late, 0, log.item).astype(np.int32))
    assert learn_event_table(altered, end).to_dict() == learn_event_table(log, end).to_dict()


@pytest.mark.parametrize("kind", ["purchase", "view", "cart", "rating"])
def test_a_log_of_one_kind_weighs_nothing(kind):
    log = log_of([(number % 50, number % 7, kind, number / 10) for number in range(500)])
    weighed = weigh_log(log)
    assert weighed.weight is None
    assert weighed.table.taking == kind
    assert describe_table(weighed.table) == ""


def test_without_purchases_the_strongest_kind_counts_as_taking():
    events = [(number % 90, number % 40, ("view", "click")[number % 2], number / 10) for number in range(900)]
    table = learn_event_table(log_of(events), np.inf)
    assert table.taking == "click"
    assert table.kinds["purchase"].strength == 1
    assert 0 < table.kinds["view"].strength < 1
    few = learn_event_table(log_of([*events, (1, 1, "purchase", 3)]), np.inf)
    assert few.taking == "click"  # of one purchase nothing can be learned
    assert few.kinds["purchase"].strength == 1


def test_weights_are_strengths_and_a_given_table_is_taken():
    log = planted()
    weighed = weigh_log(log)
    assert set(weighed.weights[log.event == CODES["cart"]].tolist()) == {weighed.table.strengths[CODES["cart"]]}
    assert (weighed.negatives.weight == -weighed.table.strengths[CODES["return"]]).all()
    assert "purchase 1" in describe_table(weighed.table)
    given = weigh_log(log, EventTable())
    assert set(given.weights[log.event == CODES["cart"]].tolist()) == {np.float32(PRIORS["cart"])}


def test_the_table_travels_in_the_manifest():
    table = replace(learn_event_table(planted(), np.inf), ratings=RatingScale(3.5, 4.0, 1.0, 3.0))
    assert EventTable.from_dict(table.to_dict()) == table
    assert len(table.strengths) == len(EVENTS)


def test_one_event_counts_as_the_export_counts_it():
    table = EventTable(ratings=RatingScale(mean=3.0, damping=2.0, spread=1.0, least_liked=3.0))
    assert table.strength("cart") == np.float32(PRIORS["cart"])
    assert table.strength("rating") == 1
    assert table.strength("rating", 5.0) == 1
    assert table.strength("rating", 1.0) == -1
    # For one who gave twenty times 5, a 4 is a low rating; for one who gave twenty times 1, a 2.5 is a good one.
    assert table.strength("rating", 4.0, total=100.0, count=20) < 0
    assert table.strength("rating", 2.5, total=20.0, count=20) > 0.5


def test_strengths_are_the_same_however_few_users_are_looked_at_at_a_time(monkeypatch):
    whole = learn_event_table(planted(), np.inf)
    monkeypatch.setattr(event_strengths, "BLOCK_EVENTS", 50)
    by_blocks = learn_event_table(planted(), np.inf)
    for name, kind in whole.kinds.items():
        other = by_blocks.kinds[name]
        assert (other.events, other.followed, other.source) == (kind.events, kind.followed, kind.source), name
        assert (other.strength, other.base) == pytest.approx((kind.strength, kind.base), rel=1e-12), name
