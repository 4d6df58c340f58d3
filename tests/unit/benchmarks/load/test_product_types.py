"""The names of product types become judged queries, which the training of text towers reads."""

from __future__ import annotations

import pandas as pd

from fuserank_benchmarks.load.product_types import MOST, write
from fuserank_export.sources.judgements import read_judgements


def test_a_type_is_right_for_its_own_items_and_too_small_or_large_ones_are_left_out(tmp_path):
    types = ["tea"] * 3 + ["milk"] * 2 + ["salt"] + ["water"] * (MOST + 1) + [None]
    items = [f"i{row}" for row in range(len(types))]
    pd.DataFrame({"item_id": items, "product_type": types}).to_parquet(tmp_path / "catalog.parquet")
    found = read_judgements(*write(tmp_path, tmp_path / "out"), items)
    right = {found.queries[name]: sorted(found.grades[name]) for name in found.queries}
    assert right == {"milk": [3, 4], "tea": [0, 1, 2]}
    assert {grade for grades in found.grades.values() for grade in grades.values()} == {1}
