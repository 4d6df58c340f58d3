"""Whatever an option, an event or a change holds: it is read, or refused with field, finding and remedy."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from fuserank_ensemble.contract.changes import ChangeReader
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.events import read_event
from fuserank_ensemble.contract.options import parse_options, parse_similar_options
from support.fuzzing import CHANGES, EVENTS, OPTIONS, cases

KINDS = ("click", "purchase", "rating")
FIELDS = {"brand": "keyword", "category": "category", "price": "number", "in_stock": "bool", "tags": "keywords"}
READER = ChangeReader(FIELDS, frozenset({*FIELDS, "title", "size"}), frozenset({"title", "size"}))


def check(read, value):
    try:
        read(value)
    except InvalidRequestError as error:
        assert "allowed: " in str(error)
        assert str(error).isprintable()


@given(OPTIONS, st.sampled_from([parse_options, parse_similar_options]))
@cases(600)
def test_options_are_read_or_refused(raw, parse):
    check(parse, raw)


@given(EVENTS)
@cases(300)
def test_an_event_is_read_or_refused(value):
    check(lambda event: read_event(event, KINDS, 1.7e9), value)


@given(CHANGES)
@example({"change_id": "c1", "item_id": "i0001", "fields": {"size": 10**400}})
@cases(300)
def test_a_change_is_read_or_refused(value):
    check(READER.read, value)
