"""The hybrid peer's settings, report and errors, and the shop's past, without LanceDB."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

from fuserank_benchmarks import cli
from fuserank_benchmarks.hybrid import groceries, report
from fuserank_benchmarks.hybrid.inputs import columns
from fuserank_benchmarks.hybrid.peer import LanceFolder, LanceTuning
from fuserank_benchmarks.hybrid.tuning import Trial, Tuned, fastest, good_enough, variants
from fuserank_benchmarks.peers.process import PeerError

DAY = pd.Timedelta(days=1)


def test_only_tables_that_rank_about_as_well_as_the_best_are_tried_at_their_smallest_depth():
    ndcg = {
        "texts_stem": {"100": 0.40, "200": 0.446, "400": 0.45},
        "texts_words": {"100": 0.45, "200": 0.45, "400": 0.449},
        "items_stem": {"100": 0.3, "200": 0.31, "400": 0.32},
    }
    assert good_enough(ndcg) == {"texts_stem": 200, "texts_words": 100}


def test_the_fastest_setting_that_runs_is_taken():
    slow, broken = Trial(LanceTuning(index="hnsw_sq"), 10.0), Trial(LanceTuning(), 0.0, "it ended")
    assert fastest([broken, slow]) == slow.tuning
    with pytest.raises(PeerError, match="it ended"):
        fastest([broken])


def test_probes_are_varied_only_where_there_is_an_index():
    best = LanceTuning(index="ivf_flat")
    assert {tuning.nprobes for tuning in variants(best)} == {5, 20}
    assert {tuning.nprobes for tuning in variants(LanceTuning())} == {20}


def test_settings_are_read_as_they_were_written(tmp_path):
    tuned = Tuned(LanceTuning("items"), {"items_stem": {"100": 0.4}}, [Trial(LanceTuning(), 3.0)])
    tuned.write(tmp_path / "tuning.json")
    assert Tuned.read(tmp_path / "tuning.json") == tuned


def test_ratios_are_taken_within_each_round():
    values = {"hybrid_throughput": [100.0, 50.0], "hybrid_peer_throughput": [10.0, 5.0]}
    figures = report.conclude(values)
    assert figures["throughput_vs_hybrid_peer"] == 10
    assert figures["throughput_vs_hybrid_peer_low"] == figures["throughput_vs_hybrid_peer_high"] == 10
    assert figures["zipf_hybrid_throughput"] is None
    assert {name for name in figures if not name.endswith(("_low", "_high"))} <= report.MEANINGS.keys()


def test_the_page_tells_what_was_tried():
    tuned = Tuned(LanceTuning(), {"texts_stem": {"100": 0.4}}, [Trial(LanceTuning(), 3.0)])
    quality, speed = report.trial_table(tuned).values()
    assert quality == [["table", "100"], ["texts_stem", "0.4000"]]
    assert speed[1][:2] == [LanceTuning().describe(), "3.0"]


def test_a_missing_environment_is_named_with_the_way_to_make_it(tmp_path):
    with pytest.raises(PeerError, match=r"lancedb.*make bench-hybrid"):
        LanceFolder(tmp_path, tmp_path / "nowhere").python  # noqa: B018


def test_an_environment_without_lancedb_is_none(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    with pytest.raises(PeerError, match="found no virtual environment with lancedb"):
        LanceFolder(tmp_path, tmp_path).python  # noqa: B018


def test_the_command_ends_with_one_line_where_lancedb_is_absent(tmp_path):
    arguments = ["hybrid-peer", "--environment", str(tmp_path / "nowhere"), "--work", str(tmp_path)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert "make bench-hybrid" in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_past_has_no_later_event_and_no_price_of_what_was_not_sold_yet(tmp_path):
    last = pd.Timestamp("2024-03-01", tz="UTC")
    items = {"item_id": ["a", "b"], "title": ["A", "B"], "product_type": ["x", "y"], "price": [1.0, 2.0]}
    events = {
        "user_id": ["1", "1"],
        "item_id": ["a", "b"],
        "event": ["purchase", "purchase"],
        "timestamp": [last - 40 * DAY, last],
    }
    pd.DataFrame(items).to_parquet(tmp_path / "catalog.parquet")
    pd.DataFrame(events).astype({"timestamp": "datetime64[ms, UTC]"}).to_parquet(tmp_path / "interactions.parquet")
    groceries.write_past_shop(tmp_path, tmp_path / "past")
    assert pd.read_parquet(tmp_path / "past" / "interactions.parquet")["item_id"].tolist() == ["a"]
    prices = pd.read_parquet(tmp_path / "past" / "catalog.parquet")["price"]
    assert prices[0] == 1.0
    assert pd.isna(prices[1])


def test_a_shop_of_other_items_than_the_bundle_is_refused(tmp_path):
    pd.DataFrame({"item_id": ["a"], "product_type": ["x"]}).to_parquet(tmp_path / "catalog.parquet")
    with pytest.raises(ValueError, match="its 1 items are not the 2 of the bundle"):
        groceries.PastShop.read(tmp_path, ["a", "b"])


def test_equal_values_of_a_column_have_equal_numbers_and_no_price_is_nan():
    made = columns([{"category": "x", "price": 1.5}, {"category": "y"}, {"category": "x", "price": None}])
    assert made["category"].tolist() == [0, 1, 0]
    assert made["price"].tolist()[0] == 1.5
    assert pd.isna(made["price"][1:]).all()
