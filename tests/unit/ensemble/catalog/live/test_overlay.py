"""The overlay of the shop's changes: every process comes to the same catalogue, whatever batches it reads."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live import overlay
from fuserank_ensemble.catalog.live.overlay import KEPT_SECONDS, KEPT_SNAPSHOTS, LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import BundledCatalog
from fuserank_ensemble.state.entries import Forget, ItemChange, ItemDelete, Logged

ITEMS = 6
PRICES = np.arange(ITEMS, dtype=np.float64)
VECTORS = np.eye(ITEMS, dtype=np.float16)
ENCODER, LATEST = "encoder", 1_000.0


class Stored:
    def raw(self, row):
        return json.dumps({"item_id": f"i{row}", "title": f"item {row}", "price": float(row)}).encode()


def new_catalog():
    ids = np.asarray([f"i{n}".encode() for n in range(ITEMS)], "S")
    columns = Columns(ITEMS, {"price": Column("number", PRICES)})
    items = Items(ids, np.arange(ITEMS, dtype=np.int32), columns)
    return LiveCatalog(BundledCatalog(items, Stored(), VECTORS, ENCODER, LATEST))


def change(position, row, **fields):
    return Logged(position, ItemChange(event_id=f"e{position}", item_id=f"i{row}", fields=fields))


def delete(position, row):
    return Logged(position, ItemDelete(event_id=f"e{position}", item_id=f"i{row}"))


def state_of(snapshot):
    visible = snapshot.items.visible
    return (
        snapshot.position,
        np.nan_to_num(snapshot.items.columns.by_name["price"].values, nan=-1.0).tolist(),
        [True] * ITEMS if visible is None else visible.tolist(),
        [json.loads(snapshot.records.raw(row)) for row in range(ITEMS)],
    )


def test_a_change_is_seen_in_columns_and_fields_and_a_later_one_adds_to_it():
    catalog = new_catalog()
    before = catalog.current
    catalog.apply([change(1, 2, price=9.5, note="a")])
    catalog.apply([change(3, 2, note=None, size="big")])
    after = catalog.current
    assert after.items.columns.by_name["price"].values[2] == 9.5
    assert json.loads(after.records.raw(2)) == {"item_id": "i2", "title": "item 2", "price": 9.5, "size": "big"}
    assert before.items.columns.by_name["price"].values[2] == 2.0
    assert (before.position, after.position, before.is_changed, after.is_changed) == (0, 3, False, True)


def test_a_deleted_item_has_no_row_until_it_is_changed_again():
    catalog = new_catalog()
    catalog.apply([delete(1, 2), delete(2, 4)])
    assert catalog.current.items.row("i2") == -1
    assert catalog.current.items.any_row("i2") == 2
    catalog.apply([change(3, 2)])
    assert catalog.current.items.row("i2") == 2
    assert catalog.current.items.row("i4") == -1
    catalog.apply([change(4, 4, price=1.0)])
    assert catalog.current.items.visible is None


def test_other_entries_and_unknown_items_change_nothing():
    catalog = new_catalog()
    catalog.apply([Logged(1, Forget(event_id="f", user=b"u"))])
    assert catalog.current.position == 0
    catalog.apply([change(2, 77, price=1.0), delete(3, 78)])
    assert state_of(catalog.current)[1:] == state_of(new_catalog().current)[1:]


def test_entries_that_come_again_count_once():
    catalog = new_catalog()
    entries = [change(1, 0, price=5.0), delete(2, 1), change(3, 1)]
    catalog.apply(entries)
    before = catalog.current
    catalog.apply(entries)
    assert catalog.current is before


ENTRIES = st.lists(
    st.tuples(st.booleans(), st.integers(0, ITEMS - 1), st.none() | st.floats(0, 9)), min_size=1, max_size=7
)


@given(ENTRIES, st.sets(st.integers(1, 6)), st.sets(st.integers(1, 6)))
def test_the_state_at_a_position_is_the_same_whatever_the_batches(drawn, cuts, other_cuts):
    entries = [
        delete(number, row) if is_delete else change(number, row, price=price)
        for number, (is_delete, row, price) in enumerate(drawn, start=1)
    ]
    catalogs = []
    for places in (cuts, other_cuts):
        catalog, last = new_catalog(), 0
        for place in [*sorted(place for place in places if place < len(entries)), len(entries)]:
            catalog.apply(entries[last:place])
            last = place
        catalogs.append(catalog)
    for position in range(len(entries) + 2):
        first, second = (state_of(catalog.at(position)) for catalog in catalogs)
        assert first == second
        assert first[0] == min(position, len(entries))


def priced(catalog, position):
    """The position of what is known of a position, and the first item's price there."""
    snapshot = catalog.at(position)
    return snapshot.position, float(snapshot.items.columns.by_name["price"].values[0])


def test_however_fast_changes_come_the_last_seconds_are_known_exactly_by_few_snapshots(monkeypatch):
    monkeypatch.setattr(overlay.time, "monotonic", lambda: 100.0)
    catalog = new_catalog()
    for position in range(1, 200):
        catalog.apply([change(position, 0, price=float(position))])
    assert len(catalog._kept) == KEPT_SNAPSHOTS
    for position in (1, 7, 100, 150, 198, 199, 250):
        assert priced(catalog, position) == (min(position, 199), min(position, 199))


def test_what_is_older_than_any_request_is_let_go_and_an_older_one_says_what_it_is(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(overlay.time, "monotonic", lambda: now[0])
    catalog = new_catalog()
    for position in range(1, 3 * KEPT_SNAPSHOTS):
        now[0] += KEPT_SECONDS / (KEPT_SNAPSHOTS - 2)
        catalog.apply([change(position, 0, price=float(position))])
    newest = 3 * KEPT_SNAPSHOTS - 1
    assert len(catalog._kept) == KEPT_SNAPSHOTS
    oldest = catalog._kept[0].position
    assert 0 < oldest < newest
    assert [priced(catalog, position)[0] for position in (1, oldest, newest)] == [oldest, oldest, newest]
    assert [priced(catalog, position)[0] for position in range(oldest, newest)] == list(range(oldest, newest))


def test_what_does_not_depend_on_values_is_not_computed_again():
    catalog = new_catalog()
    items = catalog.current.items.with_columns(Columns(ITEMS, {}))
    computed = items.by_text
    assert items.with_columns(Columns(ITEMS, {})).by_text is computed
    assert items.with_visible(np.zeros(ITEMS, np.bool_)).by_text is computed
