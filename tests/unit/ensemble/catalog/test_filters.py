"""A filter keeps exactly the items it describes, and one that means nothing is refused by name."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns, parse
from fuserank_ensemble.contract.errors import InvalidRequestError

RECORDS = [
    {"price": 1.0, "sale": True, "brand": "Acme", "tags": ["new", "vegan"], "category": "A > B"},
    {"price": 2.0, "sale": False, "brand": "Zenith", "tags": [], "category": "A > B C"},
    {"price": 2.0, "sale": None, "brand": "Acme Co", "tags": ["new"], "category": "A > B > C"},
    {"price": None, "sale": True, "brand": None, "tags": None, "category": "A"},
    {"price": -5.5, "sale": None, "brand": "北山", "tags": ["北山", "new"], "category": None},
    {"price": 1e9, "sale": False, "brand": "Acme", "tags": ["vegan"], "category": "AA > B"},
]


def coded(values):
    words = sorted({v for v in values if v is not None})
    return np.asarray([-1 if v is None else words.index(v) for v in values], np.int32), words


def columns_of(records):
    tags = [r["tags"] or [] for r in records]
    codes, words = coded([tag for each in tags for tag in each])
    owners = np.repeat(np.arange(len(records), dtype=np.int32), [len(each) for each in tags])
    return Columns(
        len(records),
        {
            "price": Column("number", np.asarray([math.nan if r["price"] is None else r["price"] for r in records])),
            "sale": Column("bool", np.asarray([-1 if r["sale"] is None else r["sale"] for r in records], np.int32)),
            "brand": Column("keyword", *coded([r["brand"] for r in records])),
            "tags": Column("keywords", codes, words, owners),
            "category": Column("category", *coded([r["category"] for r in records])),
        },
    )


COLUMNS = columns_of(RECORDS)


def kept(condition, columns=COLUMNS):
    mask = parse(condition, columns.kinds)(columns)
    assert mask.dtype == np.bool_
    assert mask.shape == (columns.items,)
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"price": 2}, [1, 2]),
        ({"price": [1, 2.0]}, [0, 1, 2]),
        ({"price": {"gte": 1, "lt": 2}}, [0]),
        ({"price": {"gt": 1, "lte": 2}}, [1, 2]),
        ({"price": {"lt": 0}}, [4]),
        ({"price": {"gt": 3, "lt": 2}}, []),
        ({"sale": True}, [0, 3]),
        ({"sale": False}, [1, 5]),
        ({"brand": "Acme"}, [0, 5]),
        ({"brand": "acme"}, []),
        ({"brand": "Nobody"}, []),
        ({"brand": ["北山", "Zenith", "Nobody"]}, [1, 4]),
        ({"tags": "new"}, [0, 2, 4]),
        ({"tags": ["vegan", "北山"]}, [0, 4, 5]),
        ({"category": "A > B"}, [0, 2]),
        ({"category": "A>B"}, [0, 2]),
        ({"category": "A"}, [0, 1, 2, 3]),
        ({"category": ["A > B C", "AA"]}, [1, 5]),
        ({"category": "A > B > C > D"}, []),
        ({"brand": "Acme", "price": {"lt": 100}}, [0]),
        ({"and": [{"brand": "Acme"}, {"sale": False}]}, [5]),
        ({"or": [{"brand": "Zenith"}, {"price": {"lt": 0}}]}, [1, 4]),
        ({"not": {"brand": "Acme"}}, [1, 2, 3, 4]),
        ({"not": {}}, []),
        ({"not": {"or": [{"sale": True}, {"sale": False}]}}, [2, 4]),
        ({"sale": True, "or": [{"price": 1}, {"category": "A"}], "not": {"tags": "vegan"}}, [3]),
    ],
)
def test_a_filter_keeps_what_it_says_and_a_missing_value_matches_nothing(condition, rows):
    assert kept(condition) == rows
    few = [5, 2, 0, 4]
    assert kept(condition, COLUMNS.take(np.asarray(few))) == [at for at, row in enumerate(few) if row in rows]
    assert kept(condition, COLUMNS.take(np.empty(0, np.int32))) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"brnd": "x"}, ["OPTIONS.filter.brnd", "unknown field", "did you mean 'brand'?"]),
        ({"price": {"less": 1}}, ["OPTIONS.filter.price.less", "unknown bound", "gte"]),
        ({"price": {"lt": "9"}}, ["OPTIONS.filter.price.lt", '"9"', "a finite number"]),
        ({"price": {"lt": math.nan}}, ["OPTIONS.filter.price.lt", "NaN", "a finite number"]),
        ({"price": {"lt": True}}, ["OPTIONS.filter.price.lt", "true", "a finite number"]),
        ({"price": {}}, ["OPTIONS.filter.price", "{}", "a range such as"]),
        ({"price": "cheap"}, ["OPTIONS.filter.price", '"cheap"', "a finite number"]),
        ({"price": [1, None]}, ["OPTIONS.filter.price", "null", "a finite number"]),
        ({"price": []}, ["OPTIONS.filter.price", "[]", "a finite number"]),
        ({"price": {"lt": 2**63}}, ["OPTIONS.filter.price.lt", "9223372036854775808", "a finite number"]),
        ({"price": math.inf}, ["OPTIONS.filter.price", "Infinity", "a finite number"]),
        ({"price": 10**400}, ["OPTIONS.filter.price", "1000", "a finite number"]),
        ({"price": {"gt": 10**400}}, ["OPTIONS.filter.price.gt", "1000", "a finite number"]),
        ({"sale": 1}, ["OPTIONS.filter.sale", "1", "true or false"]),
        ({"sale": "true"}, ["OPTIONS.filter.sale", '"true"', "true or false"]),
        ({"brand": 7}, ["OPTIONS.filter.brand", "7", "a string"]),
        ({"brand": []}, ["OPTIONS.filter.brand", "[]", "non-empty"]),
        ({"brand": {"gte": "A"}}, ["OPTIONS.filter.brand", "gte", "a string"]),
        ({"tags": [["new"]]}, ["OPTIONS.filter.tags", "new", "list of strings"]),
        ({"category": None}, ["OPTIONS.filter.category", "null", "a string"]),
        ({"and": {}}, ["OPTIONS.filter.and", "{}", "non-empty list of filters"]),
        ({"or": []}, ["OPTIONS.filter.or", "[]", "non-empty list of filters"]),
        ({"or": [{"brand": "x"}, 5]}, ["OPTIONS.filter.or[1]", "5", "an object"]),
        ({"not": [{}]}, ["OPTIONS.filter.not", "[{}]", "an object"]),
        ({"not": {"or": [{"sale": 0}]}}, ["OPTIONS.filter.not.or[0].sale", "0", "true or false"]),
    ],
)
def test_a_filter_that_means_nothing_is_refused_with_its_path_and_what_is_allowed(condition, words):
    with pytest.raises(InvalidRequestError) as error:
        parse(condition, COLUMNS.kinds)
    assert all(word in str(error.value) for word in words), str(error.value)


def nested(depth):
    condition = {"brand": "Acme"}
    for _ in range(depth):
        condition = {"not": condition}
    return condition


def test_filters_nest_eight_deep_and_no_deeper():
    assert kept(nested(8)) == [0, 5]
    with pytest.raises(InvalidRequestError, match="nested at most 8 deep"):
        parse(nested(9), COLUMNS.kinds)


@pytest.mark.parametrize("name", ["and", "or"])
def test_lists_of_filters_nest_as_deep_as_negations(name):
    condition = {"brand": "Acme"}
    for _ in range(8):
        condition = {name: [condition]}
    assert kept(condition) == [0, 5]
    with pytest.raises(InvalidRequestError, match="nested at most 8 deep"):
        parse({name: [condition]}, COLUMNS.kinds)


def test_a_number_has_64_bits_at_most():
    assert kept({"price": {"gte": -(2**63)}}) == kept({"price": {"lt": 2**63 - 1}}) == kept({"price": {"gte": -1e9}})
    for beyond in (-(2**63) - 1, 2**63):
        with pytest.raises(InvalidRequestError, match="price"):
            parse({"price": beyond}, COLUMNS.kinds)


def test_items_that_come_later_and_values_that_are_taken_away_match_nothing():
    everything = {"or": [{"price": {"gte": 0}}, {"tags": ["new", "vegan"]}, {"brand": "Acme"}]}
    before = np.flatnonzero(parse(everything, COLUMNS.kinds)(COLUMNS)).tolist()
    grown = COLUMNS.grown(3)
    assert grown.items == COLUMNS.items + 3
    assert np.flatnonzero(parse(everything, grown.kinds)(grown)).tolist() == before
    first = np.arange(COLUMNS.items) == 0
    without = Columns(COLUMNS.items, {name: column.without(first) for name, column in COLUMNS.by_name.items()})
    assert np.flatnonzero(parse(everything, without.kinds)(without)).tolist() == [row for row in before if row]


BOUNDS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
NUMBERS = st.sampled_from([-5.5, 1, 2.0, 3, 1e9, 0])
WORDS = st.sampled_from(["Acme", "Acme Co", "Zenith", "北山", "nobody", "new", "vegan", ""])
PATHS = st.sampled_from(["A", "A > B", "A > B C", "A > B > C", "AA", "B"])
LEAVES = st.one_of(
    st.builds(lambda w: {"price": w}, NUMBERS | st.lists(NUMBERS, min_size=1)),
    st.builds(lambda w: {"price": w}, st.dictionaries(st.sampled_from(list(BOUNDS)), NUMBERS, min_size=1)),
    st.builds(lambda w: {"sale": w}, st.booleans()),
    st.builds(lambda f, w: {f: w}, st.sampled_from(["brand", "tags"]), WORDS | st.lists(WORDS, min_size=1)),
    st.builds(lambda w: {"category": w}, PATHS | st.lists(PATHS, min_size=1)),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda c: {"not": c}, inner),
        st.builds(lambda j, c: {j: c}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda a, b: {**a, **b}, inner, inner),
    ),
    max_leaves=6,
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "price": st.none() | NUMBERS,
            "sale": st.none() | st.booleans(),
            "brand": st.none() | WORDS,
            "tags": st.none() | st.lists(WORDS, max_size=3),
            "category": st.none() | PATHS,
        }
    ),
    min_size=1,
    max_size=8,
)


def matches(record, condition):
    """What the filter language means, one record at a time."""
    return all(_holds(record, name, wanted) for name, wanted in condition.items())


def _holds(record, name, wanted):
    if name in ("and", "or"):
        return (all if name == "and" else any)(matches(record, each) for each in wanted)
    return not matches(record, wanted) if name == "not" else _fits(record[name], name, wanted)


def _fits(value, name, wanted):
    if value is None:
        return False
    if isinstance(wanted, dict):
        return all(BOUNDS[bound](value, limit) for bound, limit in wanted.items())
    choices = wanted if isinstance(wanted, list) else [wanted]
    if name == "tags":
        return any(tag in choices for tag in value)
    if name == "category":
        levels = value.split(" > ")
        return any(levels[: len(choice.split(" > "))] == choice.split(" > ") for choice in choices)
    return value in choices


@given(ITEMS, FILTERS)
def test_a_mask_equals_a_look_at_every_record(records, condition):
    columns = columns_of(records)
    assert kept(condition, columns) == [i for i, record in enumerate(records) if matches(record, condition)]


@given(ITEMS, FILTERS)
def test_not_keeps_exactly_the_others(records, condition):
    columns = columns_of(records)
    inside, outside = kept(condition, columns), kept({"not": condition}, columns)
    assert sorted(inside + outside) == list(range(len(records)))
