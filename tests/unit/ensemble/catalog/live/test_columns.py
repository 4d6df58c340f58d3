"""Columns with other values: as if they had been made so, and those they came from stay as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fuserank_ensemble.catalog import filters
from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.live.columns import patch_column, patch_columns
from fuserank_export.index.columns import to_column

VALUES = {
    "price": ([1.0, None, 3.0, 4.0], {0: None, 1: 2.5, 3: "dear"}, [None, 2.5, 3.0, None]),
    "flag": ([True, False, None, True], {0: False, 2: True, 3: "yes"}, [False, False, True, None]),
    "brand": (["b", None, "d", "b"], {0: "c", 1: "a", 2: None}, ["c", "a", None, "b"]),
    "category": (["A > B", "A", None, "C"], {0: "A > Z", 2: "B"}, ["A > Z", "A", "B", "C"]),
    "tags": (
        [["x", "y"], None, ["y"], ["z"]],
        {0: ["w"], 1: ["y", "v"], 3: None, 2: "u"},
        [["w"], ["y", "v"], ["u"], None],
    ),
}


def column(name, values):
    return to_column(pd.Series(values, name=name, dtype=object))


def words_by_row(made, rows):
    if made.kind in ("number", "bool"):
        return [None if value == -1 or np.isnan(value) else value for value in made.values.tolist()]
    if made.owners is not None:
        return [[made.words[code] for code in made.values[made.owners == row]] for row in range(rows)]
    return [made.words[code] if code >= 0 else None for code in made.values]


@pytest.mark.parametrize("name", VALUES)
def test_a_patched_column_is_the_column_of_the_new_values(name):
    before, changes, after = VALUES[name]
    made = column(name, before)
    kept = words_by_row(made, 4)
    patched = patch_column(made, changes)
    assert patched.kind == made.kind
    assert words_by_row(patched, 4) == words_by_row(column(name, after), 4)
    assert words_by_row(made, 4) == kept
    assert patched.words == sorted(patched.words)


def test_filters_see_the_new_values_and_nothing_of_the_old_ones():
    columns = Columns(4, {name: column(name, before) for name, (before, _, _) in VALUES.items()})
    patched = patch_columns(columns, {name: changes for name, (_, changes, _) in VALUES.items()} | {"title": {0: "x"}})
    for condition, rows in (
        ({"price": {"lt": 3}}, [1]),
        ({"flag": True}, [2]),
        ({"brand": ["a", "c"]}, [0, 1]),
        ({"category": "A > B"}, []),
        ({"category": "A"}, [0, 1]),
        ({"tags": ["v", "w"]}, [0, 1]),
        ({"tags": "z"}, []),
    ):
        mask = filters.parse(condition, patched.kinds)(patched)
        assert np.flatnonzero(mask).tolist() == rows, condition


def test_columns_without_changes_are_shared():
    columns = Columns(4, {name: column(name, before) for name, (before, _, _) in VALUES.items()})
    patched = patch_columns(columns, {"price": {0: 9.0}})
    assert patched.by_name["brand"] is columns.by_name["brand"]
    assert patch_columns(columns, {"title": {0: "x"}, "price": {}}) is columns
