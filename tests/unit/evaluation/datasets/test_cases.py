"""Cases hold histories from before the cut, and events from after it only as answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_evaluation.datasets.cases import (
    NOBODY,
    last_window,
    new_item_cases,
    recommendation_cases,
    search_cases,
)
from fuserank_evaluation.datasets.past import PastLog
from support.hand_log import CATALOG, CUT, EVENTS_BY_HAND, LOG, TYPES, make_items, make_log


def by_case(cases):
    return {
        (int(user), query): sorted(relevant.tolist())
        for user, query, relevant in zip(cases.users, cases.queries, cases.relevant, strict=True)
    }


def seen_by(cases):
    return [dict(zip(s.rows.tolist(), s.counts.tolist(), strict=True)) for s in cases.seen]


def test_a_search_asks_for_a_type_and_is_answered_by_what_was_bought_of_it():
    cases = search_cases(LOG, TYPES, CUT, 100, seed=1)
    assert by_case(cases) == {(0, "milk"): [0], (0, "tea"): [3], (1, "milk"): [1], (2, "tea"): [2]}


def test_fewer_searches_are_drawn_by_the_seed_alone():
    drawn = [by_case(search_cases(LOG, TYPES, CUT, 2, seed)) for seed in (1, 1, 2, 3, 4)]
    assert len(drawn[0]) == 2
    assert drawn[0] == drawn[1]
    assert any(drawn[0] != other for other in drawn[2:])


def test_recommendations_are_for_known_households_and_answered_by_all_they_bought():
    cases = recommendation_cases(LOG, CUT)
    assert by_case(cases) == {(0, ""): [0, 3, 4], (1, ""): [1]}
    assert seen_by(cases) == [{0: 3.0, 1: 1.0, 2: 1.0}, {0: 1.0, 3: 1.0}]


def test_a_window_has_an_end():
    assert by_case(recommendation_cases(LOG, CUT, end=12 * SECONDS_PER_DAY)) == {(0, ""): [0, 3], (1, ""): [1]}


def test_cases_without_items_new_to_the_household_are_left_out():
    cases = recommendation_cases(make_log([e for e in EVENTS_BY_HAND if e != (1, 1, 11)] + [(1, 3, 11)]), CUT)
    new = cases.new_to_user(make_items([0, 1, 2, 3, 4]))
    assert by_case(new) == {(0, ""): [3, 4]}
    assert [rows.tolist() for rows in new.excluded] == [[0, 1, 2]]


def test_another_package_of_what_the_household_had_is_not_new_to_it():
    cases = recommendation_cases(LOG, CUT)
    new = cases.new_to_user(make_items([0, 1, 2, 2, 4]))
    assert by_case(new) == {(0, ""): [4], (1, ""): [1]}
    assert [rows.tolist() for rows in new.excluded] == [[0, 1, 2, 3], [0, 2, 3]]


def test_new_items_are_those_that_nobody_had_before_the_cut():
    types = np.asarray([*TYPES[:4], "soap"], object)
    assert by_case(new_item_cases(LOG, types, CUT, 9, seed=1)) == {(0, "soap"): [4]}


def test_a_new_user_has_no_history_and_no_row():
    cases = search_cases(LOG, TYPES, CUT, 100, seed=1).without_history()
    assert (cases.users == NOBODY).all()
    assert not any(len(seen) for seen in cases.seen)


def test_cases_without_their_query_keep_history_and_answers():
    cases = search_cases(LOG, TYPES, CUT, 100, seed=1)
    silent = cases.without_query()
    assert not silent.is_search
    assert cases.is_search
    assert seen_by(silent) == seen_by(cases)
    assert silent.relevant is cases.relevant


def test_the_last_window_is_28_days_to_the_second_of_the_last_event():
    assert last_window(LOG) == LOG.timestamp[-1] + 1 - 28 * SECONDS_PER_DAY


@pytest.mark.parametrize("planted", [(0, 1, 10), (1, 4, 10), (0, 0, 40)])
def test_an_event_planted_at_or_after_the_cut_reaches_no_history(planted):
    leaky = make_log([*EVENTS_BY_HAND, planted])
    for draw in (lambda log: search_cases(log, TYPES, CUT, 100, seed=1), lambda log: recommendation_cases(log, CUT)):
        histories = dict(zip(draw(LOG).users.tolist(), seen_by(draw(LOG)), strict=True))
        planted_histories = dict(zip(draw(leaky).users.tolist(), seen_by(draw(leaky)), strict=True))
        assert planted_histories == histories
    past = PastLog.before(leaky, CUT, CATALOG)
    np.testing.assert_array_equal(past.counts.toarray(), PastLog.before(LOG, CUT, CATALOG).counts.toarray())


def test_an_event_planted_before_the_cut_is_in_the_history():
    leaky = make_log([*EVENTS_BY_HAND, (1, 4, 9)])
    assert seen_by(recommendation_cases(leaky, CUT))[1] == {0: 1.0, 3: 1.0, 4: 1.0}


def test_the_past_has_one_more_row_for_a_new_user():
    past = PastLog.before(LOG, CUT, CATALOG)
    assert past.users == 5
    assert past.counts[-1].nnz == 0
    assert past.popularity.tolist() == [4, 2, 1, 1, 0]
    assert past.by_popularity.tolist() == [0, 1, 2, 3]  # nobody had item 4


def test_a_day_is_a_basket():
    baskets = PastLog.before(LOG, CUT, CATALOG).baskets
    assert baskets.user.tolist() == [0, 0, 0, 1, 1, 3]
    assert baskets.position.tolist() == [0, 1, 2, 0, 1, 0]
    assert baskets.count.tolist() == [3, 3, 3, 2, 2, 1]
    assert [np.flatnonzero(row).tolist() for row in baskets.items.toarray()] == [[0, 1], [0], [0, 2], [0], [3], [1]]
