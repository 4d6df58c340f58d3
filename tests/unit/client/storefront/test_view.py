"""An address says all of a page of results, and leads to each neighbouring one."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

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
            "price": st.builds(Range, NUMBERS, NUMBERS, st.none()) | st.builds(Range, st.none(), st.none(), NUMBERS)
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


def test_a_typed_bound_holds_the_number_itself_and_takes_a_comma():
    assert read("/search?upto.price=2,50").to_filter() == {"price": {"lte": 2.5}}


@pytest.mark.parametrize(
    "parameters",
    ["f.secret=1", "f.brand=", "from.price=cheap", "from.price=nan", "from.price=-1", "sort=best", "page=-2",
     "page=12345", "page=x", "b.in_stock=perhaps", "upto.price=1e999", "x=y", "f.=1"],
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
