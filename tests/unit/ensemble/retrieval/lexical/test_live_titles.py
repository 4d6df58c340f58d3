"""Completions follow the titles that items have."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.catalog.live.overlay import LiveCatalog
from fuserank_ensemble.catalog.live.snapshot import BundledCatalog
from fuserank_ensemble.retrieval.lexical.live_titles import LiveTitles
from fuserank_ensemble.retrieval.lexical.phrases import phrase_key
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_ensemble.state.entries import ItemChange, ItemDelete, Logged

TITLES = ("Milk", "milk!", "Bread", "绿茶")


class Stored:
    def raw(self, row):
        return json.dumps({"item_id": f"i{row}", "title": TITLES[row]}).encode()


@pytest.fixture
def follow(tmp_path):
    ids = np.asarray([f"i{n}".encode() for n in range(len(TITLES))], "S")
    items = Items(ids, np.arange(len(TITLES), dtype=np.int32), Columns(len(TITLES), {}))
    catalog = LiveCatalog(BundledCatalog(items, Stored(), np.eye(len(TITLES), dtype=np.float16)))
    Suggester.write(tmp_path, [(title, 1.0) for title in (*TITLES, "a query")])
    titles, positions = LiveTitles(catalog, tmp_path), iter(range(1, 100))

    def apply(kind, *rows, **more):
        batch = [
            Logged(position, kind(event_id=f"e{position}", item_id=f"i{row}", **more))
            for row, position in zip(rows, positions, strict=False)
        ]
        catalog.apply(batch)
        titles.apply(batch)
        return titles.current[1]

    apply.titles = titles

    return apply


def test_a_title_is_hidden_when_its_last_item_goes_and_shown_when_one_is_back(follow):
    assert follow(ItemDelete, 0) == frozenset()
    assert follow(ItemDelete, 1) == {phrase_key("milk")}
    assert follow(ItemDelete, 3) == {phrase_key("milk"), phrase_key("绿茶")}
    assert follow(ItemChange, 0) == {phrase_key("绿茶")}
    assert follow(ItemChange, 1, 3) == frozenset()


def test_changes_of_values_hide_nothing(follow):
    assert follow(ItemChange, 0, 1, 2) == frozenset()


def titled(follow, *rows, title):
    vector = np.ones(len(TITLES), np.float16).tobytes()
    return follow(ItemChange, *rows, fields={"title": title}, vector=vector)


def completions(follow, prefix):
    completer, hidden = follow.titles.current
    return [text for text, _ in completer.complete(prefix, 10, hidden)]


def test_titles_that_came_since_the_bundle_complete_behind_the_others(follow):
    assert titled(follow, 9, title="Milk shake") == frozenset()
    assert completions(follow, "mil") == ["Milk", "Milk shake"]
    titled(follow, 8, title="A query")
    assert completions(follow, "a q") == ["a query"], "it is there already"


def test_a_title_that_is_replaced_is_hidden_where_no_other_item_has_it(follow):
    assert titled(follow, 2, title="Rye bread") == {phrase_key("bread")}
    assert completions(follow, "bread") == ["Rye bread"]
    assert titled(follow, 0, title="Oat milk") == {phrase_key("bread")}, "another item is still called milk"
    assert titled(follow, 7, title="bread!") == frozenset()
    assert follow(ItemDelete, 7) == {phrase_key("bread")}
    assert titled(follow, 2, title="Bread") == {phrase_key("rye bread")}
    assert "Rye bread" not in completions(follow, "")


def test_a_new_title_is_hidden_with_its_item(follow):
    titled(follow, 9, title="Milk shake")
    assert follow(ItemDelete, 9) == {phrase_key("milk shake")}
    assert completions(follow, "mil") == ["Milk"]
    assert follow(ItemChange, 9) == frozenset()
