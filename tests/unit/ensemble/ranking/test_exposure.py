"""No value takes more than its share of a page, where there is anything else to show."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.ranking.exposure import limit_exposure
from fuserank_ensemble.ranking.order import Place, Ranked
from fuserank_ensemble.ranking.rules import Pin


def items_of(brands):
    """Items with a brand each; -1 has none."""
    column = Column("keyword", np.asarray(brands, np.int32), ["Acme", "Zenith"])
    return SimpleNamespace(columns=Columns(len(brands), {"brand": column}))


def page(brands, k, *, share=0.5, offset=0, pinned=()):
    """Rows of a page of a list that has the items in their order, and what became of it."""
    rows = np.arange(len(brands))
    ranked = Ranked(rows, rows.astype(np.int32), -rows.astype(np.float32))
    if pinned:
        pins = {place: Pin(place, place, 0, place) for place in pinned}
        ranked = replace(ranked, places=[Place(row, row, pin=pins.get(row)) for row in rows.tolist()])
    limited = limit_exposure(ranked, {"brand": share}, items_of(brands), offset, k)
    return limited.rows.tolist(), limited.exposure


def test_the_next_of_another_value_takes_the_place_and_what_it_costs_is_told():
    rows, outcome = page([0, 0, 0, 1, 1], 4)
    assert rows == [0, 1, 3, 4]
    assert (outcome.moved, outcome.unmet, outcome.cost) == (1, 0, 0.5)


def test_items_without_a_value_have_no_bound():
    assert page([-1, -1, -1, 0], 3)[0] == [0, 1, 2]


def test_a_place_that_nothing_else_can_take_goes_to_the_best_and_is_told():
    rows, outcome = page([0, 0, 0], 3)
    assert rows == [0, 1, 2]
    assert outcome.unmet == 2  # of three places one may be Acme's


def test_a_pinned_item_stays_and_counts():
    rows, outcome = page([0, 0, 1, 0, 1], 4, pinned=[1, 3])
    assert rows == [2, 1, 4, 3]
    assert outcome.unmet == 0


def test_a_short_list_ends_where_its_items_do_and_each_page_counts_anew():
    assert page([0, 1], 4)[0] == [0, 1]
    assert page([0, 0, 1, 0, 0, 1], 2, offset=2)[0] == [1, 5]
