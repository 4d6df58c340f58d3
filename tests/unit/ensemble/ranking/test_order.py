"""Rules, diversity and exploration of one request: who ends up where, at which score, and what STATUS says of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.controls import MAX_SEED, MAX_SHIFT, Explore, Rule
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.ranking.order import rank_by_score, rank_fixed, rank_steered, rank_varied
from fuserank_ensemble.ranking.rules import NOT_FOUND, check

COUNT = 12
ITEMS = Items(
    np.asarray([f"i{row:02}".encode() for row in range(COUNT)]),
    np.arange(COUNT, dtype=np.int32),
    Columns(
        COUNT,
        {
            "brand": Column("keyword", np.arange(COUNT, dtype=np.int32) % 3, ["Acme", "Mill", "Zenith"]),
            "category": Column("category", np.arange(COUNT, dtype=np.int32) % 2, ["A > B", "A > C"]),
            "price": Column("number", np.arange(COUNT, dtype=np.float64)),
        },
    ),
)
VECTORS = np.random.default_rng(3).normal(size=(COUNT, 8))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float16)
EVENTS = np.asarray([9, 9, 9, 9, 9, 9, 9, 0, 2, 4, 0, 0], np.float32)
# Rows 0 to 8 are candidates, best first; 9 to 11 were not found.
ROWS = np.arange(9, dtype=np.int32)
SCORES = np.asarray([4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5, 0], np.float32)
STEP = float(SCORES.std())


def request(**changed):
    """What ordering reads of a resolved request."""
    values = {
        "k": 5, "rules": [], "explore": None, "diversity": 0.0, "filter": None, "exclude_seen": False,
        "history": History.empty(), "disliked_items": History.empty(), "hidden_rows": np.empty(0, np.int32),
    }  # fmt: skip
    values |= changed
    return SimpleNamespace(**values, last_place=values["k"])


def ranked(*rules, rows=ROWS, scores=SCORES, **changed):
    check(rules, changed.get("k", 5), ITEMS.columns.kinds)
    return rank_steered(request(rules=list(rules), **changed), rows, scores, ITEMS, VECTORS, EVENTS, COUNT)


def told(found):
    return [msgspec.to_builtins(outcome) for outcome in found.rules]


def test_a_boost_adds_standard_deviations_of_the_candidates_scores():
    found = ranked(Rule(boost=0.5, filter={"brand": "Zenith"}))
    expected = SCORES + np.where(ROWS % 3 == 2, 0.5 * STEP, 0)
    assert found.rows.tolist() == np.argsort(-expected, kind="stable")[:5].tolist() == [0, 2, 1, 3, 5]
    np.testing.assert_allclose(found.scores, expected[found.rows], atol=1e-6)
    assert told(found) == [{"kind": "boost", "matched": 3}]


def test_a_bury_takes_away_what_a_boost_adds_and_both_together_nothing():
    boost, bury = Rule(boost=2, filter={"brand": "Acme"}), Rule(bury=2, filter={"brand": "Acme"})
    np.testing.assert_allclose(ranked(bury).shifts, -ranked(boost).shifts)
    assert ranked(bury).rows.tolist() == [1, 2, 4, 5, 0]
    both = ranked(boost, bury)
    assert both.rows.tolist() == [0, 1, 2, 3, 4]
    assert told(both) == [{"kind": "boost", "matched": 3}, {"kind": "bury", "matched": 3}]


def test_all_rules_together_move_an_item_no_further_than_the_limit_and_say_so():
    found = ranked(Rule(boost=4, filter={"price": {"gte": 8}}), Rule(boost=3, item_ids=["i08", "i07", "i11"]))
    assert found.rows.tolist() == [8, 7, 0, 1, 2]
    assert found.scores[:2].tolist() == pytest.approx([MAX_SHIFT * STEP, 0.5 + 3 * STEP], abs=1e-5)
    assert told(found) == [
        {"kind": "boost", "matched": 1, "limited": 1},
        {"kind": "boost", "matched": 2, "limited": 1},
    ]


def test_where_the_ranker_sees_no_difference_a_boost_still_lifts():
    found = ranked(Rule(boost=0.1, item_ids=["i07"]), scores=np.zeros(9, np.float32))
    assert found.rows.tolist() == [7, 0, 1, 2, 3]
    assert found.scores[0] == pytest.approx(0.1)


def test_a_pin_by_filter_takes_the_best_candidate_it_holds_for_and_leaves_its_score():
    found = ranked(Rule(pin=2, filter={"price": {"gte": 4}}))
    assert found.rows.tolist() == [0, 4, 1, 2, 3]
    assert found.scores.tolist() == [4, 2, 3.5, 3, 2.5]
    assert told(found) == [{"kind": "pin", "matched": 5, "placed": 1}]


def test_pinned_ids_keep_their_order_though_retrieval_did_not_find_them():
    found = ranked(Rule(pin=2, item_ids=["i10", "i07", "i10"]))
    assert found.rows.tolist() == [0, 10, 7, 1, 2]
    assert found.positions.tolist() == [0, NOT_FOUND, 7, 1, 2]
    # Not judged by the ranker: the mean candidate stands in.
    assert found.scores[1] == SCORES.mean()
    assert [place.pin is not None for place in found.places] == [False, True, True, False, False]
    assert told(found) == [{"kind": "pin", "matched": 2, "placed": 2}]


def test_of_two_pins_on_one_place_the_earlier_rule_wins_and_the_later_is_next():
    found = ranked(Rule(pin=2, item_ids=["i08"]), Rule(pin=2, item_ids=["i06", "i05"]))
    assert found.rows.tolist() == [0, 8, 6, 5, 1]
    assert told(found) == [
        {"kind": "pin", "matched": 1, "placed": 1},
        {"kind": "pin", "matched": 2, "placed": 2, "moved": 2},
    ]


def test_an_item_pinned_twice_stands_once_and_a_filter_pin_takes_the_next_best():
    found = ranked(Rule(pin=3, item_ids=["i01"]), Rule(pin=1, item_ids=["i01"]), Rule(pin=1, filter={"brand": "Mill"}))
    assert found.rows.tolist() == [4, 0, 1, 2, 3]
    assert told(found) == [
        {"kind": "pin", "matched": 1, "placed": 1},
        {"kind": "pin", "matched": 1, "unplaced": 1},
        {"kind": "pin", "matched": 3, "placed": 1},
    ]


def test_a_pin_never_shows_what_the_request_filters_out_or_excludes():
    found = ranked(
        Rule(pin=1, item_ids=["i09", "i10", "i11", "nothing"]),
        rows=ROWS[[0, 2, 4, 6, 8]],
        scores=SCORES[[0, 2, 4, 6, 8]],
        filter={"category": "A > B"},
        exclude_seen=True,
    )
    assert found.rows.tolist() == [10, 0, 2, 4, 6]
    assert told(found) == [{"kind": "pin", "matched": 1, "placed": 1, "filtered_out": 2, "unknown": 1}]
    pin = Rule(pin=1, item_ids=["i10"])
    resolved = request(rules=[pin], exclude_seen=True, history=History.from_rows([10], 0.0))
    unseen = rank_steered(resolved, ROWS, SCORES, ITEMS, VECTORS, EVENTS, COUNT)
    assert unseen.rows.tolist() == [0, 1, 2, 3, 4]
    assert told(unseen) == [{"kind": "pin", "matched": 0, "filtered_out": 1}]


def test_a_pin_never_shows_what_the_user_hid_nor_as_new_what_they_disliked():
    names = ["i03", "i05", "i07"]
    hidden = ranked(Rule(pin=1, item_ids=names), hidden_rows=np.asarray([3], np.int32))
    assert hidden.rows[:2].tolist() == [5, 7]
    disliked = History.from_rows([5], 0.0)
    assert ranked(Rule(pin=1, item_ids=names), disliked_items=disliked).rows[:3].tolist() == [3, 5, 7]
    assert ranked(Rule(pin=1, item_ids=names), disliked_items=disliked, exclude_seen=True).rows[:2].tolist() == [3, 7]


def test_a_pin_never_shows_another_package_of_what_the_request_excludes():
    packed = replace(ITEMS, product=np.asarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10], np.int32))
    resolved = request(rules=[Rule(pin=1, item_ids=["i11"])], exclude_seen=True, history=History.from_rows([10], 0.0))
    assert rank_steered(resolved, ROWS, SCORES, packed, VECTORS, EVENTS, COUNT).rows.tolist() == [0, 1, 2, 3, 4]


def test_what_has_no_place_within_k_is_counted_and_a_short_list_moves_pins_up():
    found = ranked(Rule(pin=4, item_ids=["i08", "i07", "i06"]))
    assert found.rows.tolist() == [0, 1, 2, 8, 7]
    assert told(found) == [{"kind": "pin", "matched": 3, "placed": 2, "unplaced": 1}]
    short = ranked(Rule(pin=5, item_ids=["i11"]), rows=ROWS[:2], scores=SCORES[:2])
    assert short.rows.tolist() == [0, 1, 11]
    assert told(short) == [{"kind": "pin", "matched": 1, "placed": 1, "moved": 1}]
    alone = ranked(Rule(pin=5, item_ids=["i11"]), rows=ROWS[:0], scores=SCORES[:0])
    assert (alone.rows.tolist(), alone.scores.tolist()) == ([11], [0.0])


def test_a_rule_that_matches_nothing_says_so():
    found = ranked(Rule(boost=1, filter={"brand": "Nobody"}), Rule(pin=1, filter={"price": {"gt": 99}}))
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert told(found) == [{"kind": "boost", "matched": 0}, {"kind": "pin", "matched": 0}]


def test_diversity_works_around_pins_and_never_moves_them():
    plain, varied = (ranked(Rule(pin=3, item_ids=["i11"]), diversity=d, k=10) for d in (0.0, 0.7))
    assert plain.rows[2] == varied.rows[2] == 11
    assert set(plain.rows.tolist()) == set(varied.rows.tolist()) == {*range(9), 11}
    assert plain.rows.tolist() != varied.rows.tolist()


def test_diversity_counts_what_is_pinned_as_seen():
    """A copy of the pinned item, alike in text and category, comes later than without the pin."""
    texts = VECTORS.copy()
    texts[2] = texts[11]
    category = Column("category", np.asarray([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], np.int32), ["A", "B"])
    items = Items(ITEMS.ids, ITEMS.text, Columns(COUNT, {"category": category}))
    place = {}
    for rules in ((), (Rule(pin=1, item_ids=["i11"]),)):
        found = rank_steered(request(rules=list(rules), k=10, diversity=0.6), ROWS, SCORES, items, texts, EVENTS, COUNT)
        place[bool(rules)] = [row for row in found.rows.tolist() if row != 11].index(2)
    assert place[True] > place[False]


def test_a_slot_shows_an_item_that_few_know_and_says_at_which_probability():
    explore = Explore(rate=1.0, slots=[2, 4], seed=5)
    found = ranked(explore=explore)
    # Beyond the best five, 7 and 8 have fewer than five events; the better one belongs to the first slot.
    assert found.rows.tolist() == [0, 7, 1, 8, 2]
    assert [place.propensity for place in found.places] == [1.0] * 5
    assert msgspec.to_builtins(found.explore) == {"seed": 5, "slots": [2, 4], "pool": 2, "explored": 2}
    # An item's own score goes with it.
    assert found.scores.tolist() == [4, 0.5, 3.5, 0, 3]


def test_a_pinned_slot_does_not_explore_and_the_others_do_at_their_own_places():
    found = ranked(Rule(pin=2, item_ids=["i11"]), explore=Explore(rate=1.0, slots=[2, 4], seed=5))
    assert found.rows[[0, 1, 2, 4]].tolist() == [0, 11, 1, 2]
    assert found.rows[3] in (7, 8)
    assert found.explore.slots == [4]
    assert found.places[1].propensity == 1.0
    assert found.places[3].propensity < 1.0


def test_without_a_seed_one_is_drawn_and_told_and_brings_the_list_back():
    drawn = {}
    for _ in range(30):
        first = ranked(explore=Explore(rate=0.5, slots=[1, 3, 5]))
        again = ranked(explore=Explore(rate=0.5, slots=[1, 3, 5], seed=first.explore.seed))
        assert first.rows.tolist() == again.rows.tolist()
        drawn[first.explore.seed] = tuple(first.rows.tolist())
    assert len(drawn) == 30
    assert len(set(drawn.values())) > 1


def test_by_default_the_last_place_explores():
    found = ranked(explore=Explore(rate=1.0, seed=1))
    assert found.explore.slots == [5]
    assert found.rows[:4].tolist() == [0, 1, 2, 3]
    assert found.places[4].explored


FILTERS = st.sampled_from([{}, {"brand": "Acme"}, {"category": "A > C"}, {"price": {"gte": 4}}, {"brand": "Nobody"}])
NAMED = st.lists(st.sampled_from([f"i{row:02}" for row in range(COUNT)] + ["nothing"]), min_size=1, max_size=6)
STEPS = st.floats(0.01, MAX_SHIFT)
RULES = st.one_of(
    st.builds(lambda step, where: Rule(boost=step, filter=where), STEPS, FILTERS),
    st.builds(lambda step, ids: Rule(bury=step, item_ids=ids), STEPS, NAMED),
    st.builds(lambda pin, where: Rule(pin=pin, filter=where), st.integers(1, 3), FILTERS),
    st.builds(lambda pin, ids: Rule(pin=pin, item_ids=ids), st.integers(1, 3), NAMED),
)


@given(
    st.lists(RULES, max_size=5), st.integers(3, 14), st.integers(0, 9), st.sampled_from([0.0, 0.4, 1.0]),
    st.none() | st.builds(Explore, rate=st.floats(0, 1), slots=st.just([1, 3]), seed=st.integers(0, 99)),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_whatever_is_asked_together_no_item_is_lost_repeated_or_scored_otherwise(rules, k, count, diversity, explore):
    rows, scores = ROWS[:count], SCORES[:count]
    found = ranked(*rules, rows=rows, scores=scores, k=k, diversity=diversity, explore=explore)
    listed = found.rows.tolist()
    strangers = found.positions == NOT_FOUND
    assert len(set(listed)) == len(listed) == len(found.scores) == len(found.places)
    assert len(listed) == min(k, count + int(strangers.sum()))
    assert sum(place.pin is not None for place in found.places) == sum(outcome.placed for outcome in found.rules)
    at = found.positions[~strangers]
    np.testing.assert_allclose(found.scores[~strangers], scores[at] + found.shifts[at], atol=1e-6)
    for place, each in enumerate(found.places):
        assert 0 < each.propensity <= 1
        if each.pin is not None:
            assert place <= max(each.pin.asked, k - 1)
    for rule, outcome in zip(rules, found.rules, strict=True):
        if rule.kind == "pin" and rule.item_ids is not None:
            assert outcome.placed + outcome.unplaced == outcome.matched
            assert outcome.matched + outcome.filtered_out + outcome.unknown == len(set(rule.item_ids))
    if not rules and not diversity and explore is None:
        assert listed == rank_by_score(rows, scores, k).rows.tolist()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(filter={}), "OPTIONS.rules[1]: found none of them; allowed: exactly one of boost, bury, pin"),
        (Rule(boost=1, pin=2, filter={}), "OPTIONS.rules[1]: found boost and pin; allowed: exactly one of boost"),
        (Rule(boost=1), "OPTIONS.rules[1]: found none of them; allowed: exactly one of filter, item_ids"),
        (
            Rule(pin=1, filter={}, item_ids=["a"]),
            "OPTIONS.rules[1]: found filter and item_ids; allowed: exactly one of filter, item_ids",
        ),
        (Rule(pin=6, item_ids=["a"]), "OPTIONS.rules[1].pin: found 6; allowed: a place from 1 to k (5)"),
        (Rule(boost=float("nan"), filter={}), "OPTIONS.rules[1].boost: found NaN; allowed: a number of standard"),
        (Rule(bury=1, filter={"brnd": "x"}), "OPTIONS.rules[1].filter.brnd: found an unknown field; allowed: "),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_by_number_and_part(rule, said):
    with pytest.raises(InvalidRequestError) as error:
        check([Rule(boost=1, filter={}), rule], 5, ITEMS.columns.kinds)
    assert str(error.value).startswith(said)


def varied(scores, categories, k=10, depth=99):
    rows = np.arange(len(scores), dtype=np.int32) + 100
    return rank_varied(rows, np.asarray(scores, np.float32), np.asarray(categories, np.int32), k, depth)


def test_a_recommendation_has_at_most_four_of_a_category_on_its_first_page():
    found = varied(range(20, 0, -1), [0] * 12 + [1] * 8, k=20)
    assert found.positions[:10].tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 4, 5], "nothing else is left for two places"
    assert sorted(found.positions.tolist()) == list(range(20))
    assert found.rows.tolist() == (found.positions + 100).tolist()
    assert found.scores.tolist() == [20 - at for at in found.positions]


def test_items_without_a_category_are_never_too_many_of_one():
    assert varied(range(12, 0, -1), [-1] * 12).positions.tolist() == list(range(10))


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-1, 3)), max_size=30), st.integers(1, 12), st.integers(1, 30)
)  # fmt: skip
def test_a_varied_list_begins_alike_however_many_are_asked_for(candidates, k, depth):
    scores, categories = [score for score, _ in candidates], [category for _, category in candidates]
    short, whole = varied(scores, categories, k, depth), varied(scores, categories, 99, depth)
    assert short.positions.tolist() == whole.positions[:k].tolist()
    assert sorted(whole.positions.tolist()) == list(range(len(candidates)))


def test_a_step_of_a_rule_and_diversity_look_at_the_first_candidates_only():
    rule = [Rule(boost=1, filter={"brand": "Zenith"})]
    few = rank_steered(request(rules=rule), ROWS[:4], SCORES[:4], ITEMS, VECTORS, EVENTS, 4)
    more = rank_steered(request(rules=rule), ROWS, SCORES, ITEMS, VECTORS, EVENTS, 4)
    assert few.shifts.tolist() == more.shifts[:4].tolist()
    for diversity in (0.3, 1.0):
        lists = [
            rank_steered(request(diversity=diversity, k=4), rows, SCORES[: len(rows)], ITEMS, VECTORS, EVENTS, 4)
            for rows in (ROWS[:4], ROWS)
        ]
        assert lists[0].rows.tolist() == lists[1].rows.tolist()


def test_a_page_is_a_part_of_the_list_from_its_offset_on():
    whole = ranked(Rule(pin=4, item_ids=["i10"]), k=8)
    page = whole.part(2, 3)
    assert page.rows.tolist() == whole.rows[2:5].tolist() == [2, 10, 3]
    assert page.positions.tolist() == whole.positions[2:5].tolist()
    assert page.scores.tolist() == whole.scores[2:5].tolist()
    assert list(page.places) == list(whole.places)[2:5]
    assert whole.part(6, 9).rows.tolist() == whole.rows[6:].tolist()


def test_in_a_fixed_order_rules_change_scores_and_no_place():
    rule = Rule(boost=2, item_ids=["i03"])
    check([rule], 5, ITEMS.columns.kinds)
    found = rank_fixed(request(rules=[rule]), ROWS, SCORES, ITEMS, COUNT)
    assert found.rows.tolist() == ROWS.tolist()
    expected = SCORES + np.where(ROWS == 3, 2 * STEP, 0)
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    assert rank_fixed(request(), ROWS, SCORES, ITEMS, COUNT).scores.tolist() == SCORES.tolist()


@pytest.mark.parametrize("k", [1, 2, 3, 9, 10, 12])
def test_beside_pins_the_list_has_as_many_items_as_are_asked_for_and_there_are(k):
    found = ranked(Rule(pin=1, item_ids=["i09"]), k=k)
    assert found.rows.tolist() == [9, *range(9)][:k]
    assert len(found.places) == min(k, 10)


def test_a_drawn_seed_is_any_that_a_request_may_name(monkeypatch):
    bounds = []
    monkeypatch.setattr("secrets.randbelow", lambda bound: bounds.append(bound) or bound - 1)
    found = ranked(explore=Explore(rate=0.5))
    assert bounds == [MAX_SEED + 1]
    assert found.explore.seed == MAX_SEED
    assert ranked(explore=Explore(rate=0.5, seed=MAX_SEED)).rows.tolist() == found.rows.tolist()


def test_an_ordered_list_stays_as_it_is():
    with pytest.raises(AttributeError):
        ranked().rows = ROWS
