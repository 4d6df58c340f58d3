"""A change's values are what the catalogue's columns hold, or are refused by their field."""

from __future__ import annotations

import pytest

from fuserank_ensemble.contract.changes import (
    LONGEST_WORD,
    MAX_VALUE_BYTES,
    MOST_WORDS,
    ChangeReader,
    check_new_item,
)
from fuserank_ensemble.contract.errors import InvalidRequestError

KINDS = {"brand": "keyword", "price": "number", "tags": "keywords"}
FIELDS = frozenset({*KINDS, "item_id", "title", "created_at", "size", "notes"})
READER = ChangeReader(KINDS, FIELDS, frozenset({"title", "size"}))


def read(fields, **more):
    return READER.read({"change_id": "c1", "item_id": "i1", "fields": fields} | more)


def test_values_of_all_kinds_are_read():
    fields = {"title": " oat\x07 drink ", "created_at": "1970-01-02", "size": ["2 oz", 3], "notes": {"a": 1}}
    assert read(fields).fields == {"title": "oat  drink", "created_at": 86_400, "size": ["2 oz", 3], "notes": {"a": 1}}
    assert read({"brand": None, "price": 2.5}).fields == {"brand": None, "price": 2.5}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"title": None}, "fields.title: found nothing; allowed: a text"),
        ({"title": "\x01"}, "fields.title: found"),
        ({"created_at": "soon"}, "fields.created_at: found"),
        ({"size": {"a": 1}}, "fields.size: found"),
        ({"size": "x" * (MAX_VALUE_BYTES + 1)}, "fields.size: found"),
        ({"notes": "x" * MAX_VALUE_BYTES}, "fields.notes: found a long value"),
        ({"price": -0.01}, "fields.price: found -0.01; allowed: a finite number not below 0"),
        ({"tags": ["x"] * (MOST_WORDS + 1)}, f"fields.tags: found {MOST_WORDS + 1:,} values"),
        ({"tags": ["x", "y" * (LONGEST_WORD + 1)]}, "fields.tags[1]: found"),
        ({"item_id": "i2"}, "fields.item_id: found an unknown field"),
    ],
)
def test_a_value_that_no_column_holds_is_refused_by_its_field(fields, message):
    with pytest.raises(InvalidRequestError) as error:
        read(fields)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "change",
    [
        read({"price": 1}),
        read({"title": "oat"}, item_id="i\x07"),
        read({"title": "oat"}, item_id="茶" * 300),
    ],
    ids=["no title", "an id that prints nothing", "a long id"],
)
def test_a_new_item_needs_a_title_and_an_id_that_an_export_takes(change):
    with pytest.raises(InvalidRequestError, match=r"^item_id: found"):
        check_new_item(change)
