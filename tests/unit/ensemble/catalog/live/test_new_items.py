"""Items that came since the bundle: their rows, fields, texts and moments hang on the log alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns, parse
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.overlay import KEPT_SNAPSHOTS, LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import BundledCatalog
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged

ITEMS, DIM, LATEST = 4, 3, 1_000.0


class Stored:
    def raw(self, row):
        return json.dumps({"item_id": f"i{row}", "title": f"item {row}"}).encode()


def new_catalog():
    columns = {
        "price": Column("number", np.arange(ITEMS, dtype=np.float64)),
        "brand": Column("keyword", np.asarray([0, 1, -1, 0], np.int32), ["Acme", "Zenith"]),
        "tags": Column("keywords", np.asarray([0, 1], np.int32), ["new", "vegan"], np.asarray([0, 2], np.int32)),
        "organic": Column("bool", np.asarray([1, 0, -1, 1], np.int32)),
    }
    ids = np.asarray([f"i{n}".encode() for n in range(ITEMS)], "S")
    items = Items(ids, np.asarray([0, 1, 1, 2], np.int32), Columns(ITEMS, columns), np.arange(ITEMS, dtype=np.int32))
    vectors = np.eye(DIM, dtype=np.float16)
    return LiveCatalog(BundledCatalog(items, Stored(), vectors, "mine", LATEST))


def vector(*values):
    return np.asarray(values, np.float16).tobytes()


def change(position, item, embedded=b"", encoder="mine", at=500.0, **fields):
    return Logged(
        position,
        ItemChange(
            event_id=f"e{position}", item_id=item, fields=fields, vector=embedded, encoder=encoder, changed_at=at
        ),
    )


def test_a_new_item_has_a_row_behind_the_others_and_all_its_fields():
    catalog = new_catalog()
    catalog.apply([change(3, "a", vector(0, 1, 0), title="A", price=9.0, brand="Mine", tags=["vegan"], organic=False)])
    snapshot, items = catalog.current, catalog.current.items
    assert (len(items), items.row("a"), items.id_of(4), items.id_of(0)) == (5, 4, b"a", b"i0")
    assert snapshot.records.fields(4) == {
        "item_id": "a", "title": "A", "price": 9.0, "brand": "Mine", "tags": ["vegan"], "organic": False,
    }  # fmt: skip
    for condition, rows in (
        ({"brand": "Mine"}, [4]), ({"brand": "Acme"}, [0, 3]), ({"price": {"gt": 2}}, [3, 4]),
        ({"tags": "vegan"}, [2, 4]), ({"organic": False}, [1, 4]),
    ):  # fmt: skip
        mask = parse(condition, items.columns.kinds)(items.columns)
        assert np.flatnonzero(mask).tolist() == rows, condition
    assert items.text.tolist() == [0, 1, 1, 2, 3]
    assert snapshot.vectors[items.text[[4, 0]]].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert items.of_same_products(np.asarray([4], np.int32)).tolist() == [4]
    assert items.without_values(["price"], np.ones(5, np.bool_)).row("a") == 4


def test_what_a_new_item_lacks_is_missing():
    catalog = new_catalog()
    catalog.apply([change(1, "a", vector(0, 1, 0), title="A")])
    columns = catalog.current.items.columns.by_name
    assert np.isnan(columns["price"].values[4])
    assert (columns["brand"].values[4], columns["organic"].values[4]) == (-1, -1)
    assert catalog.current.items.columns.items == 5


def test_another_text_keeps_the_row_and_a_third_one_takes_the_place_of_the_second():
    catalog = new_catalog()
    catalog.apply([change(1, "i1", vector(1, 0, 0), title="other")])
    before = catalog.current
    catalog.apply([change(2, "i1", vector(0, 0, 1), title="third"), change(3, "a", vector(0, 1, 0), title="A")])
    after = catalog.current
    assert before.items.text.tolist() == [0, 3, 1, 2]
    assert after.items.text.tolist() == [0, 3, 1, 2, 4]
    assert before.vectors[np.asarray([3])].tolist() == [[1, 0, 0]]
    assert after.vectors[np.asarray([3, 4])].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert after.vectors.rows.tolist() == [1, 4]
    assert after.records.fields(1)["title"] == "third"


def test_an_item_came_when_it_says_or_when_it_was_first_told_and_never_after_the_clock():
    catalog = new_catalog()
    catalog.apply(
        [
            change(1, "a", vector(0, 1, 0), title="A", created_at=77),
            change(2, "b", vector(0, 1, 0), title="B"),
            change(5, "c", vector(0, 1, 0), at=5_000.0, title="C"),
            change(6, "a", vector(0, 1, 0), title="A", created_at=99),
        ]
    )
    assert catalog.current.arrived.tolist() == [77, 500, LATEST]
    assert catalog.current.born.tolist() == [1, 2, 5]
    assert [catalog.row_at("c", position) for position in (4, 5, 9)] == [-1, 6, 6]
    assert catalog.row_at("i1", 0) == 1


def test_a_vector_of_another_encoder_is_not_compared():
    catalog = new_catalog()
    catalog.apply([change(1, "a", vector(0, 1, 0), "another", title="A"), change(2, "i0", vector(0, 1, 0), "another")])
    snapshot = catalog.current
    assert snapshot.items.row("a") == 4
    assert snapshot.vectors[snapshot.items.text[[4]]].tolist() == [[0, 0, 0]]
    assert snapshot.items.text[0] == 0, "the bundle's own text is as good"


@pytest.mark.parametrize("entry", [change(1, "a", title="A"), Logged(1, ItemDelete(event_id="e", item_id="a"))])
def test_what_the_log_does_not_describe_is_no_item(entry):
    catalog = new_catalog()
    catalog.apply([entry])
    assert len(catalog.current.items) == ITEMS


def test_a_new_item_goes_and_comes_back_to_its_row():
    catalog = new_catalog()
    catalog.apply([change(1, "a", vector(0, 1, 0), title="A", price=1.0)])
    catalog.apply([Logged(2, ItemDelete(event_id="e", item_id="a")), change(3, "b", vector(0, 0, 1), title="B")])
    items = catalog.current.items
    assert (items.row("a"), items.any_row("a"), items.row("b")) == (-1, 4, 5)
    assert items.visible.tolist() == [True] * 4 + [False, True]
    catalog.apply([change(4, "a", price=2.0)])
    assert catalog.current.items.row("a") == 4
    assert catalog.current.records.fields(4) == {"item_id": "a", "title": "A", "price": 2.0}


DRAWN = st.lists(
    st.tuples(st.sampled_from(["change", "text", "delete"]), st.sampled_from(["i0", "i1", "a", "b", "c"])),
    min_size=1,
    max_size=KEPT_SNAPSHOTS - 1,  # with the bundle's own, so many positions are known whatever the batches
)


def state_of(snapshot):
    items = snapshot.items
    return (
        snapshot.position,
        [items.id_of(row) for row in range(len(items))],
        np.nan_to_num(items.columns.by_name["price"].values, nan=-1.0).tolist(),
        [True] * len(items) if items.visible is None else items.visible.tolist(),
        [snapshot.records.fields(row) for row in range(len(items))],
        snapshot.vectors[items.text].tolist(),
        (snapshot.arrived.tolist(), snapshot.born.tolist()),
    )


@given(DRAWN, st.sets(st.integers(1, 8)), st.sets(st.integers(1, 8)))
def test_rows_and_all_else_are_the_same_whatever_the_batches(drawn, cuts, other_cuts):
    entries = []
    for position, (kind, item) in enumerate(drawn, start=1):
        if kind == "delete":
            entries.append(Logged(position, ItemDelete(event_id=f"e{position}", item_id=item)))
        else:
            embedded = vector(position, 0, 1) if kind == "text" else b""
            entries.append(change(position, item, embedded, price=float(position), title=f"t{position}"))
    catalogs = []
    for places in (cuts, other_cuts):
        catalog, last = new_catalog(), 0
        for place in [*sorted(place for place in places if place < len(entries)), len(entries)]:
            catalog.apply(entries[last:place])
            last = place
        catalogs.append(catalog)
    for position in range(len(entries) + 1):
        first, second = (state_of(catalog.at(position)) for catalog in catalogs)
        assert first == second
