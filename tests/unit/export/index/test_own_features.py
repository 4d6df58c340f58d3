"""Columns of a catalogue become features as they are meant; a column that cannot be one is named with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.index.own_features import LEAST_ITEMS, MOST_VALUES, NAMED_VALUES, choose_features
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.report import InputError

COUNT = 60
DRAW = np.random.default_rng(2)
RATING = DRAW.uniform(1, 5, COUNT).round(1)


def texts(*values):
    """A column of texts; None is missing."""
    words = sorted({value for value in values if value is not None})
    codes = [-1 if value is None else words.index(value) for value in values]
    return Column("keyword", np.asarray(codes, np.int32), words)


def numbers(values):
    return Column("number", np.asarray(values, np.float64))


def shop(**columns):
    ids = np.asarray([b"%02d" % i for i in range(COUNT)])
    return Items(ids, np.arange(COUNT, dtype=np.int32), Columns(COUNT, columns))


def chosen(items, wanted=None, log=None):
    return choose_features(items, log or Interactions.empty(), wanted)


def forms(items, wanted=None, log=None):
    return {feature.name: feature.form for feature in chosen(items, wanted, log).features}


def test_each_kind_of_column_is_found_and_taken_as_it_is_meant():
    items = shop(
        rating=numbers(RATING),
        reviews=numbers(np.exp(DRAW.normal(3, 2, COUNT))),
        in_stock=Column("bool", (np.arange(COUNT) % 3 == 0).astype(np.int32)),
        season=texts(*["summer", "winter", None] * 20),
        tags=Column("keywords", np.asarray([0, 1] * 10, np.int32), ["new", "vegan"], np.arange(20, dtype=np.int32)),
        title=texts(*["x", "y"] * 30),
        price=numbers(RATING),
        created_at=numbers(RATING),
        brand=texts(*["Acme", "Zenith"] * 30),
    )
    assert forms(items) == {
        "shop.rating": "number",
        "shop.reviews": "log",
        "shop.in_stock": "flag",
        "shop.season=summer": "value",
        "shop.season=winter": "value",
        "shop.season.share": "share",
        "shop.tags=new": "value",
        "shop.tags=vegan": "value",
    }
    assert forms(items, ["rating", "season"]) == {
        "shop.rating": "number",
        "shop.season=summer": "value",
        "shop.season=winter": "value",
        "shop.season.share": "share",
    }
    assert forms(items, []) == {}
    assert {feature.signal for feature in chosen(items).features} == {"shop"}


def test_of_many_texts_the_most_frequent_have_a_column_and_a_rare_one_has_none():
    names = [f"c{number:02}" for number in range(NAMED_VALUES + 1)]
    values = [name for number, name in enumerate(names) for _ in range(LEAST_ITEMS + (number == 3))]
    items = shop(colour=texts(*values, *["rare"] * (LEAST_ITEMS - 1), *[None] * (COUNT - len(values) - 4)))
    named = [feature.value for feature in chosen(items).features if feature.form == "value"]
    assert named[0] == "c03"
    assert len(named) == NAMED_VALUES
    assert "rare" not in named


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (texts(*[f"text {i}" for i in range(COUNT)]), f"{COUNT} distinct texts; allowed: .* at most {MOST_VALUES}"),
        (texts(*["same"] * COUNT), "do not tell items apart"),
        (numbers([7.0] * COUNT), f"{COUNT} items have a number there, 1 distinct"),
        (numbers([1.0, 2.0, *[np.nan] * (COUNT - 2)]), "2 items have a number there"),
        (Column("bool", np.asarray([1] * COUNT, np.int32)), "0 items have the rarer truth value"),
        (texts(*["007", "042"] * 2, *[f"{i:03}" for i in range(COUNT - 4)]), "distinct texts"),
    ],
)
def test_a_column_that_tells_nothing_is_passed_over_and_an_error_where_it_is_named(column, reason):
    assert forms(shop(odd=column)) == {}
    with pytest.raises(InputError, match=f"--feature odd: .*{reason}"):
        chosen(shop(odd=column), ["odd"])


def test_an_unknown_column_is_refused_with_the_nearest_and_a_known_signal_with_what_is_left():
    items = shop(rating=numbers(RATING), price=numbers(RATING))
    with pytest.raises(InputError, match=r"--feature ratings: .*'?rating"):
        chosen(items, ["ratings"])
    with pytest.raises(InputError, match="--feature price: the ranker reads this column already; allowed: rating"):
        chosen(items, ["price"])
    with pytest.raises(InputError, match="--feature x"):
        chosen(shop(), ["x"])


def test_cells_that_are_no_numbers_are_unknown_and_counted():
    items = shop(rating=texts(*map(str, RATING[2:]), "n/a", "n/a"))
    found = chosen(items)
    assert [feature.form for feature in found.features] == ["number"]
    assert found.notes == [
        "the column rating has 2 cells that are no numbers, such as 'n/a': they are taken as unknown"
    ]
    # Where many are none, it is a column of texts.
    mixed = shop(rating=texts(*map(str, RATING[20:]), *["n/a"] * 20))
    assert "number" not in forms(mixed).values()


def test_numerals_that_a_file_has_as_texts_are_numbers_by_name_alone():
    items = shop(manufacturer=texts(*[str(100 + i % 40) for i in range(COUNT)]), aisle=texts(*["1", "2"] * 30))
    assert set(forms(items)) == {"shop.aisle=1", "shop.aisle=2", "shop.aisle.share"}
    assert forms(items, ["manufacturer"]) == {"shop.manufacturer": "number"}


def test_what_numbers_the_items_or_names_their_category_again_is_taken_by_name_alone():
    category = Column("category", np.asarray([0, 1] * 30, np.int32), ["Food > Tea", "Home"])
    items = shop(
        category=category,
        number=numbers(range(1000, 1000 + COUNT)),
        department=texts(*["food", "HOME"] * 30),
        season=texts(*["summer", "winter"] * 30),
    )
    assert {feature.source for feature in chosen(items).features} == {"season"}
    assert set(forms(items, ["number"])) == {"shop.number"}
    assert "shop.department=food" in forms(items, ["department"])


def log_of(events):
    count = int(events.sum())
    return replace(
        Interactions.empty(),
        user=np.arange(count, dtype=np.int32) % 7,
        item=np.repeat(np.arange(COUNT), events).astype(np.int32),
        event=np.full(count, EVENTS.index("purchase"), np.uint8),
        timestamp=np.arange(count, dtype=np.int64),
        value=np.repeat(RATING, events).astype(np.float32),
        query=np.full(count, -1, np.int32),
        user_ids=[f"u{number}" for number in range(7)],
    )


@pytest.mark.parametrize(
    ("of_log", "what"), [(lambda events: events, "count of events"), (lambda events: RATING, "mean value")]
)
def test_a_column_that_counts_the_log_is_left_out_since_it_knows_the_future_and_taken_by_name(of_log, what):
    events = DRAW.permutation(np.arange(COUNT))
    items = shop(total_sales=numbers(of_log(events) + 0.001), margin=numbers(DRAW.uniform(0, 1, COUNT)))
    found = chosen(items, log=log_of(events))
    assert [feature.name for feature in found.features] == ["shop.margin"]
    assert found.notes == [
        f"the column total_sales is no feature, as it follows the log's own {what}, the future included; "
        "--feature total_sales takes it nevertheless"
    ]
    assert set(forms(items, ["total_sales"], log_of(events))) == {"shop.total_sales"}
