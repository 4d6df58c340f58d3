"""A made shop is the same each time, has habits and queries, and is read without a bad row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fuserank_benchmarks.inputs.made_shop import QUERY_SHARE, write_made_shop
from fuserank_export.sources import read_catalog, read_interactions

ITEMS, EVENTS = 2_000, 60_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_made_shop(folder, ITEMS, EVENTS)
    return folder


def test_it_is_the_same_each_time(shop, tmp_path):
    write_made_shop(tmp_path, ITEMS, EVENTS)
    for name in ("catalog.parquet", "interactions.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(shop / name), pd.read_parquet(tmp_path / name))


def test_every_row_is_read(shop):
    catalog = read_catalog(shop / "catalog.parquet")
    log = read_interactions(shop / "interactions.parquet", catalog.item_ids)
    assert (len(catalog), catalog.report.bad) == (ITEMS, 0)
    assert (len(log), log.report.bad, log.report.unknown_item) == (EVENTS, 0, 0)
    assert set(catalog.extra_columns) == {"colour", "material", "rating"}


def test_users_come_back_to_the_same_items(shop):
    log = pd.read_parquet(shop / "interactions.parquet", columns=["user_id", "item_id"])
    again = log.duplicated().mean()
    dealt = log.assign(item_id=np.random.default_rng(1).permutation(log["item_id"].to_numpy()))
    assert again > 0.4
    assert again > 2 * dealt.duplicated().mean()


def test_a_query_names_the_kind_of_item_that_was_taken_for_it(shop):
    catalog = pd.read_parquet(shop / "catalog.parquet").set_index("item_id")["category"]
    log = pd.read_parquet(shop / "interactions.parquet", columns=["item_id", "query"]).dropna()
    assert len(log) / EVENTS == pytest.approx(QUERY_SHARE, abs=0.02)
    kinds = catalog[log["item_id"]].astype(str).str.split(" > ").str[1]
    assert all(query.endswith(kind) for query, kind in zip(log["query"], kinds, strict=True))
