"""An address says all of a page of results, and leads to each neighbouring one."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank.storefront.view import LAST_PAGE, PAGE_SIZE, SORTS, Range, View, read_view

FIELDS = ("category", "brand", "price", "in_stock")
TEXTS = st.text("ab茶é&=?#%+>'\"<.", min_size=1, max_size=12)
NUMBERS = st.integers(0, 900).map(float)
VIEWS = st.builds(
    View,
    query=TEXTS,
    values=st.fixed_dictionaries(
        {},
        optional={
            "brand": st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple),
            "in_stock": st.sampled_from([(True,), (False,), (True, False)]),
        },
    ),
    ranges=st.fixed_dictionaries(
        {},
        optional={
            "price": st.builds(Range, st.none(), st.none(), NUMBERS)
            | st.tuples(NUMBERS, NUMBERS).map(lambda bounds: Range(min(bounds), max(bounds)))
        },
    ),
    sort=st.sampled_from(SORTS),
    page=st.integers(1, LAST_PAGE),
)


def read(url: str) -> View:
    return read_view(parse_qsl(urlsplit(url).query), FIELDS)


@given(VIEWS)
def test_the_address_of_a_view_is_read_as_that_view(view):
    assert read(view.url()) == view


@given(VIEWS, st.sampled_from(["brand", "category"]), TEXTS)
def test_a_value_that_is_chosen_and_let_go_leaves_the_first_page_as_it_was(view, name, value):
    chosen = view.toggle(name, value)
    assert chosen.page == 1
    if value not in view.values.get(name, ()):
        assert value in chosen.values[name]
        assert chosen.toggle(name, value) == view.at(1)


def test_the_filter_has_one_key_a_field():
    view = read(
        "/search?q=milk&f.brand=Acme&f.brand=Zenith&from.price=1&below.price=2.5&b.in_stock=true&f.category=A > B"
    )
    assert view.to_filter() == {
        "brand": ["Acme", "Zenith"],
        "in_stock": [True],
        "category": ["A > B"],
        "price": {"gte": 1, "lt": 2.5},
    }
    assert View().to_filter() is None
    assert view.narrowed
    assert not View("milk").narrowed


@pytest.mark.parametrize(
    ("typed", "bound"),
    [("2", 2), ("12,50", 12.5), ("12.50", 12.5), (" 3 ", 3), (".5", 0.5), ("1,250", 1250), ("1,250.50", 1250.5),
     ("1 250,5", 1250.5), ("0", 0), ("٣", 3)],
)  # fmt: skip
def test_a_typed_bound_is_the_number_as_people_write_it(typed, bound):
    view = read(f"/search?{urlencode({'upto.price': typed})}")
    assert (view.to_filter(), view.misread) == ({"price": {"lte": bound}}, ())


@pytest.mark.parametrize(
    ("parameters", "misread"),
    [
        ("from.price=cheap", [("number", "cheap")]),
        ("from.price=nan&upto.price=inf", [("number", "nan"), ("number", "inf")]),
        ("upto.price=1e999", [("number", "1e999")]),
        ("upto.price=1.250,50", [("number", "1.250,50")]),
        ("from.price=-1", [("negative", "-1")]),
        ("from.price=9&upto.price=2,50", [("reversed", "9.00 … 2.50")]),
        ("from.price=&upto.price=%20", []),
    ],
)
def test_a_bound_that_cannot_be_meant_narrows_nothing_and_is_told(parameters, misread):
    view = read(f"/search?q=milk&{parameters}")
    assert view == View("milk")
    assert [(bound.reason, bound.text) for bound in view.misread] == misread
    assert {bound.field for bound in view.misread} <= {"price"}


def test_a_good_bound_beside_a_bad_one_narrows():
    view = read("/search?from.price=2&upto.price=x")
    assert (view.to_filter(), len(view.misread)) == ({"price": {"gte": 2}}, 1)


@pytest.mark.parametrize(
    "parameters",
    ["f.secret=1", "f.brand=", "sort=best", "page=-2",
     "page=12345", "page=x", "b.in_stock=perhaps", "from.secret=1", "x=y", "f.=1"],
)  # fmt: skip
def test_what_an_address_cannot_mean_is_passed_over(parameters):
    assert read(f"/search?q=milk&{parameters}") == View("milk")


def test_no_page_reaches_beyond_the_first_thousand():
    assert read("/search?page=999").offset + PAGE_SIZE <= 1_000


def test_a_range_is_let_go_by_choosing_it_again():
    chosen = View("milk").within("price", Range(1, 2))
    assert chosen.ranges == {"price": Range(1, 2)}
    assert chosen.within("price", Range(1, 2)) == View("milk")
    assert chosen.within("price", Range(2, 3)).ranges == {"price": Range(2, 3)}
    assert chosen.without("price") == View("milk")
