"""A completion is hidden where all items of that title are deleted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.retrieval.lexical.hidden_titles import HiddenTitles
from fuserank_ensemble.retrieval.lexical.suggest import phrase_key
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged

TITLES = ("Milk", "milk!", "Bread", "绿茶")


class Stored:
    def raw(self, row):
        return json.dumps({"item_id": f"i{row}", "title": TITLES[row]}).encode()


@pytest.fixture
def follow():
    ids = np.asarray([f"i{n}".encode() for n in range(len(TITLES))], "S")
    catalog = LiveCatalog(Items(ids, np.arange(len(TITLES), dtype=np.int32), Columns(len(TITLES), {})), Stored())
    hidden, positions = HiddenTitles(catalog), iter(range(1, 100))

    def apply(kind, *rows):
        batch = [
            Logged(position, kind(event_id=f"e{position}", item_id=f"i{row}"))
            for row, position in zip(rows, positions, strict=False)
        ]
        catalog.apply(batch)
        hidden.apply(batch)
        return hidden.keys

    return apply


def test_a_title_is_hidden_when_its_last_item_goes_and_shown_when_one_is_back(follow):
    assert follow(ItemDelete, 0) == frozenset()
    assert follow(ItemDelete, 1) == {phrase_key("milk")}
    assert follow(ItemDelete, 3) == {phrase_key("milk"), phrase_key("绿茶")}
    assert follow(ItemChange, 0) == {phrase_key("绿茶")}
    assert follow(ItemChange, 1, 3) == frozenset()


def test_changes_of_values_hide_nothing(follow):
    assert follow(ItemChange, 0, 1, 2) == frozenset()
