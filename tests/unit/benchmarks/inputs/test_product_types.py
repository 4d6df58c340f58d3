"""Names of product types become judged queries in the format that training reads."""

from __future__ import annotations

import pandas as pd

from fuserank_benchmarks.inputs.product_types import MAX_ITEMS, write_judged_types
from fuserank_export.sources.judgements import read_judgements


def test_a_type_is_answered_by_its_items_and_rare_or_common_ones_left_out(tmp_path):
    types = ["tea"] * 3 + ["milk"] * 2 + ["salt"] + ["water"] * (MAX_ITEMS + 1) + [None]
    items = [f"i{row}" for row in range(len(types))]
    pd.DataFrame({"item_id": items, "product_type": types}).to_parquet(tmp_path / "catalog.parquet")
    judged = read_judgements(*write_judged_types(tmp_path, tmp_path / "out"), items)
    relevant = {judged.queries[name]: sorted(judged.grades[name]) for name in judged.queries}
    assert relevant == {"milk": [3, 4], "tea": [0, 1, 2]}
    assert {grade for grades in judged.grades.values() for grade in grades.values()} == {1}
