"""From a shop's files to a ranked list: a column that decides purchases is read and told of, one of noise is not."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.builder.options import GraphOptions, RankerOptions
from fuserank_export.cli import app
from fuserank_export.training.fitting.settings import FitSettings
from support.exporting import export_quickly, rank_all_kinds
from support.rated_shop import write_rated_shop

# Three rankers are fitted to tell whether the rating gains.
FEWER = {
    "ranker": RankerOptions(quality="quick", cases=200, fit=FitSettings(epochs=5, learning_rate=8e-3)),
    "graph": GraphOptions(candidates=32),
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_rated_shop(tmp_path_factory.mktemp("rated-shop"))


@pytest.fixture(scope="module")
def rated(shop, tiny_encoder, tmp_path_factory):
    """The bundle of the shop whose rating decides."""
    out = tmp_path_factory.mktemp("rated") / "bundle"
    export_quickly(shop.rated, tiny_encoder, out, interactions=shop.interactions, features=None, **FEWER)
    return rank_all_kinds(out)


def test_a_rating_that_decides_purchases_is_read_and_orders_clearly_better(rated):
    manifest = Bundle.open(rated).manifest
    gain = manifest["ranker"]["own_signals"]["shop"]
    print(gain)
    assert gain["columns"] == ["rating"]
    assert gain["kept"]
    assert gain["ndcg_with"] > gain["ndcg_without"] + 0.01
    assert "the signal shop (rating) is kept: nDCG@10 " in manifest["ranker"]["note"]
    assert manifest["features"] == [*(feature.name for feature in FEATURES), "shop.rating"]


def test_a_rating_without_a_say_is_left_out_and_the_bundle_is_that_of_a_shop_without_it(tiny_encoder, tmp_path):
    out = tmp_path / "bundle"
    # However few the events and cases, what decides nothing does not gain.
    shop = write_rated_shop(tmp_path, every=15)
    few = {**FEWER, "ranker": RankerOptions(quality="quick", cases=60, fit=FitSettings(epochs=2))}
    export_quickly(shop.noise, tiny_encoder, out, interactions=shop.interactions, features=None, **few)
    bundle = Bundle.open(out)
    gain = bundle.manifest["ranker"]["own_signals"]["shop"]
    print(gain)
    assert not gain["kept"]
    assert "the signal shop (rating) is left out, as it does not gain" in bundle.manifest["ranker"]["note"]
    assert bundle.spec.own_features == ()
    assert bundle.manifest["features"] == [feature.name for feature in FEATURES]
    signals = json.loads(LocalGraph(bundle).search("whole milk", "u01", explain=True)["ITEM"][0, 0])["signals"]
    assert "shop" not in {signal["name"] for signal in signals}


def test_a_reply_says_the_rating_and_its_contributions_add_up(rated):
    graph = LocalGraph(Bundle.open(rated))
    outputs = graph.search("whole milk", "u01", explain=True, fields=["rating"], k=10)
    ratings = []
    for raw, score in zip(outputs["ITEM"][0], outputs["SCORE"][0], strict=True):
        item = json.loads(raw)
        signals = {signal["name"]: signal for signal in item["signals"]}
        ratings.append(item["fields"]["rating"])
        assert signals["shop"]["reason"] == f"rating {ratings[-1]:g}"
        assert signals["shop"]["value"] == pytest.approx(ratings[-1])
        assert sum(signal["contribution"] for signal in item["signals"]) == pytest.approx(float(score), abs=1e-4)
    assert sum(ratings) / len(ratings) > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--feature", "ratng"), "--feature ratng: the catalogue has no such column .*did you mean 'rating'"),
        (("--feature", "category"), "--feature category: the ranker reads this column already; allowed: rating"),
        (("--users", "users.csv"), "users.csv: found no such file"),
    ],
)
def test_what_cannot_be_read_ends_the_export_with_a_sentence_and_leaves_nothing(
    arguments, message, shop, tiny_encoder, tmp_path
):
    out = tmp_path / "bundle"
    files = ("--catalog", shop.rated, "--encoder", tiny_encoder, "--out", out)
    result = CliRunner().invoke(app, [str(part) for part in ("bundle", *files, *arguments)], env={"COLUMNS": "1000"})
    assert result.exit_code == 2
    assert re.search(message, result.output), result.output
    assert "Traceback" not in result.output
    assert not out.exists()
