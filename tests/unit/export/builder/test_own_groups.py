"""From a shop's files to a ranked list: tiers and devices that decide purchases are read and told of."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.builder.options import BehaviourFiles, GraphOptions, OutputOptions, RankerOptions
from fuserank_export.builder.retrain import retrain_ranker
from fuserank_export.training.fitting.settings import FitSettings
from support.exporting import export_quickly, rank_all_kinds, silent
from support.keys import TEST_KEY
from support.rated_shop import write_grouped_shop

# Five rankers are fitted to tell which signals gain.
FEWER = RankerOptions(quality="quick", cases=150, fit=FitSettings(epochs=3, learning_rate=1e-2))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_grouped_shop(tmp_path_factory.mktemp("grouped-shop"))


@pytest.fixture(scope="module")
def grouped(shop, tiny_encoder, tmp_path_factory):
    """The bundle of the shop whose users' tiers are known."""
    out = tmp_path_factory.mktemp("grouped") / "bundle"
    export_quickly(
        shop.catalog,
        tiny_encoder,
        out,
        interactions=shop.interactions,
        users=shop.users,
        ranker=FEWER,
        graph=GraphOptions(candidates=32),
    )
    return rank_all_kinds(out)


def explained(bundle, user="", **options):
    """The items of a search, with each signal by name."""
    outputs = LocalGraph(Bundle.open(bundle)).search("whole milk", user, explain=True, **options)
    items = []
    for raw, score in zip(outputs["ITEM"][0], outputs["SCORE"][0], strict=True):
        signals = json.loads(raw)["signals"]
        assert sum(signal["contribution"] for signal in signals) == pytest.approx(float(score), abs=1e-4)
        items.append({signal["name"]: signal for signal in signals})
    return items


def test_tiers_and_devices_that_decide_purchases_are_read_and_order_clearly_better(grouped):
    manifest = Bundle.open(grouped).manifest
    gains = manifest["ranker"]["own_signals"]
    print(gains)
    assert {signal: gain["columns"] for signal, gain in gains.items()} == {"segment": ["tier"], "context": ["device"]}
    for gain in gains.values():
        assert gain["kept"]
        assert gain["ndcg_with"] > gain["ndcg_without"] + 0.02
    assert manifest["inputs"]["users"]["kept"] == 901
    assert "the signal segment (tier) is kept: nDCG@10 " in manifest["ranker"]["note"]


def test_a_reply_tells_of_the_group_and_its_contributions_add_up(grouped):
    for item in explained(grouped, "telling-user-001", context={"device": "app"}):
        assert "tier: silver" in item["segment"]["reason"]
        assert "device: app" in item["context"]["reason"]
    # Somebody of whom the log knows nothing, but the shop does.
    assert all("tier: gold" in item["segment"]["reason"] for item in explained(grouped, "somebody new"))


def test_a_signal_that_cannot_apply_contributes_exactly_nothing(grouped):
    for user in ("", "nobody"):
        for item in explained(grouped, user):
            assert item["segment"]["contribution"] == item["context"]["contribution"] == 0.0
            assert item["segment"]["reason"] == "no group of yours is known"
            assert item["context"]["reason"] == "no device of yours is known"
    named = explained(grouped, context={"device": "web"})
    assert any(item["context"]["contribution"] for item in named)
    assert all(item["segment"]["contribution"] == 0.0 for item in named)
    assert all(item["context"]["contribution"] == 0.0 for item in explained(grouped, context={"device": "fridge"}))


def test_a_device_named_counts_before_the_usual_one(grouped):
    usual = {item["context"]["reason"].rsplit(": ", 1)[1] for item in explained(grouped, "telling-user-001")}
    assert len(usual) == 1
    for device in ("app", "web"):
        told = explained(grouped, "telling-user-001", context={"device": device})
        assert {item["context"]["reason"].rsplit(": ", 1)[1] for item in told} == {device}


def test_a_ranker_that_is_trained_anew_reads_the_same_columns(grouped, shop, tmp_path):
    old = Bundle.open(grouped)
    retrain_ranker(
        grouped,
        files=BehaviourFiles(interactions=shop.interactions),
        out=OutputOptions(folder=tmp_path / "new"),
        ranker=FEWER,
        progress=silent(),
    )
    new = Bundle.open(tmp_path / "new")
    assert new.spec.own_features == old.spec.own_features != ()
    assert new.manifest["features"] == old.manifest["features"]
    assert new.manifest["ranker"]["ndcg_at_10"] == old.manifest["ranker"]["ndcg_at_10"]


def test_no_file_of_a_bundle_names_a_user(grouped):
    """Nor do the lists of refused rows beside it: there were none."""
    files = [path for path in grouped.rglob("*") if path.is_file()]
    assert {"users.npy", "export.parquet", "manifest.json"} <= {path.name for path in files}
    for path in files:
        content = str(pq.read_table(path).to_pydict()).encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"telling-user" not in content, path
        assert b"somebody new" not in content, path
    names = Bundle.open(grouped).user_names()
    assert TEST_KEY.user_name("telling-user-001") in names
    assert TEST_KEY.user_name("somebody new") in names
