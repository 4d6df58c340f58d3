"""Whatever an option, an event or a change holds: it is read, or refused with field, finding and remedy."""

from __future__ import annotations

from hypothesis import example, given

from support.fuzz_targets import check_change, check_event, check_options
from support.fuzzing import CHANGES, EVENTS, OPTIONS, cases


@given(OPTIONS)
@cases(600)
def test_options_are_read_or_refused(raw):
    check_options(raw)


@given(EVENTS)
@cases(300)
def test_an_event_is_read_or_refused(value):
    check_event(value)


@given(CHANGES)
@example({"change_id": "c1", "item_id": "i0001", "fields": {"size": 10**400}})
@cases(300)
def test_a_change_is_read_or_refused(value):
    check_change(value)
