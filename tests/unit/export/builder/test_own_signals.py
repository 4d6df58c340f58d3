"""From a shop's files to a reply: own signals that were kept are served and explained, those left out are not there.

Whether a signal gains is `training/fitting/test_own_signals_planted`'s matter: here the exports are told.
"""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.builder.options import BehaviourFiles, OutputOptions
from fuserank_export.builder.retrain import retrain_ranker
from fuserank_export.cli import app
from fuserank_export.training.fitting import own_signals
from support.exporting import HARDLY, export_quickly, rank_all_kinds, silent
from support.keys import TEST_KEY
from support.signal_shop import user_name, write_signal_shop

pytestmark = pytest.mark.usefixtures("one_thread")
OWN_FEATURES = [
    "shop.rating", "segment.tier", "segment.tier.category", "context.device", "context.device.category"
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_signal_shop(tmp_path_factory.mktemp("signal-shop"))


@pytest.fixture(scope="module")
def kept(shop, tiny_encoder, tmp_path_factory):
    """The bundle of the shop all of whose signals are kept."""
    out = tmp_path_factory.mktemp("kept") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_signals, "_is_better", lambda after, before: True)
        export_quickly(
            shop.catalog,
            tiny_encoder,
            out,
            interactions=shop.interactions,
            users=shop.users,
            features=["rating"],
            ranker=HARDLY,
        )
    return rank_all_kinds(out)


def explained(bundle, user="", **options):
    """The items of a search, and the signals of each by name."""
    outputs = LocalGraph(Bundle.open(bundle)).search("whole milk", user, explain=True, fields=["rating"], **options)
    items = [json.loads(raw) for raw in outputs["ITEM"][0]]
    signals = [{signal["name"]: signal for signal in item["signals"]} for item in items]
    for of_item, score in zip(signals, outputs["SCORE"][0], strict=True):
        assert sum(signal["contribution"] for signal in of_item.values()) == pytest.approx(float(score), abs=1e-4)
    return items, signals


def test_signals_that_are_kept_are_read_and_the_manifest_says_what_each_brought(kept):
    manifest = Bundle.open(kept).manifest
    gains = manifest["ranker"]["own_signals"]
    print(gains)
    assert {signal: gain["columns"] for signal, gain in gains.items()} == {
        "shop": ["rating"], "segment": ["tier"], "context": ["device"]
    }  # fmt: skip
    for signal, gain in gains.items():
        assert gain["kept"]
        assert f"the signal {signal} ({gain['columns'][0]}) is kept: nDCG@10 " in manifest["ranker"]["note"]
    assert manifest["features"] == [*(feature.name for feature in FEATURES), *OWN_FEATURES]
    assert manifest["inputs"]["users"]["kept"] == 13


def test_signals_that_do_not_gain_are_left_out_and_the_bundle_is_that_of_a_shop_without_them(
    shop, tiny_encoder, tmp_path, monkeypatch
):
    out = tmp_path / "bundle"
    monkeypatch.setattr(own_signals, "_is_better", lambda after, before: False)
    export_quickly(shop.catalog, tiny_encoder, out, interactions=shop.interactions, features=["rating"], ranker=HARDLY)
    bundle = Bundle.open(out)
    assert {signal: gain["kept"] for signal, gain in bundle.manifest["ranker"]["own_signals"].items()} == {
        "shop": False, "context": False
    }  # fmt: skip
    assert "the signal shop (rating) is left out, as it does not gain" in bundle.manifest["ranker"]["note"]
    assert bundle.spec.own_features == ()
    assert bundle.manifest["features"] == [feature.name for feature in FEATURES]
    _, signals = explained(out, user_name(1))
    assert not {"shop", "context"} & {name for of_item in signals for name in of_item}


def test_a_reply_says_the_rating_and_its_contributions_add_up(kept):
    items, signals = explained(kept, user_name(1), k=10)
    assert any(of_item["shop"]["contribution"] for of_item in signals)
    for item, of_item in zip(items, signals, strict=True):
        rating = item["fields"]["rating"]
        assert of_item["shop"]["reason"] == f"rating {float(rating):g}"
        assert of_item["shop"]["value"] == pytest.approx(float(rating))


def test_a_reply_tells_of_the_group_and_its_contributions_add_up(kept):
    for item in explained(kept, user_name(1), context={"device": "app"})[1]:
        assert "tier: silver" in item["segment"]["reason"]
        assert "device: app" in item["context"]["reason"]
    # Somebody of whom the log knows nothing, but the shop does.
    assert all("tier: gold" in item["segment"]["reason"] for item in explained(kept, "somebody new")[1])


def test_a_signal_that_cannot_apply_contributes_exactly_nothing(kept):
    for user in ("", "nobody"):
        for item in explained(kept, user)[1]:
            assert item["segment"]["contribution"] == item["context"]["contribution"] == 0.0
            assert item["segment"]["reason"] == "no group of yours is known"
            assert item["context"]["reason"] == "no device of yours is known"
    _, named = explained(kept, context={"device": "web"})
    assert any(item["context"]["contribution"] for item in named)
    assert all(item["segment"]["contribution"] == 0.0 for item in named)
    assert all(item["context"]["contribution"] == 0.0 for item in explained(kept, context={"device": "fridge"})[1])


def test_a_device_named_counts_before_the_usual_one(kept):
    usual = {item["context"]["reason"].rsplit(": ", 1)[1] for item in explained(kept, user_name(1))[1]}
    assert len(usual) == 1
    for device in ("app", "web"):
        _, told = explained(kept, user_name(1), context={"device": device})
        assert {item["context"]["reason"].rsplit(": ", 1)[1] for item in told} == {device}


def test_a_ranker_that_is_trained_anew_reads_the_same_columns(kept, shop, tmp_path):
    old = Bundle.open(kept)
    retrain_ranker(
        kept,
        files=BehaviourFiles(interactions=shop.interactions),
        out=OutputOptions(folder=tmp_path / "new"),
        ranker=HARDLY,
        progress=silent(),
    )
    new = Bundle.open(tmp_path / "new")
    assert new.spec.own_features == old.spec.own_features != ()
    assert new.manifest["features"] == old.manifest["features"]
    assert new.manifest["ranker"]["ndcg_at_10"] == old.manifest["ranker"]["ndcg_at_10"]


def test_no_file_of_a_bundle_names_a_user(kept):
    """Nor do the lists of refused rows beside it: there were none."""
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert {"users.npy", "export.parquet", "manifest.json"} <= {path.name for path in files}
    for path in files:
        content = str(pq.read_table(path).to_pydict()).encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"telling-user" not in content, path
        assert b"somebody new" not in content, path
    names = Bundle.open(kept).user_names()
    assert TEST_KEY.user_name(user_name(1)) in names
    assert TEST_KEY.user_name("somebody new") in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--feature", "ratng"), "--feature ratng: the catalogue has no such column .*did you mean 'rating'"),
        (
            ("--feature", "category"),
            "--feature category: the ranker reads this column already; allowed: in_stock, .*rating",
        ),
        (("--users", "users.csv"), "users.csv: found no such file"),
    ],
)
def test_what_cannot_be_read_ends_the_export_with_a_sentence_and_leaves_nothing(
    arguments, message, shop, tiny_encoder, tmp_path
):
    out = tmp_path / "bundle"
    files = ("--catalog", shop.catalog, "--encoder", tiny_encoder, "--out", out)
    result = CliRunner().invoke(app, [str(part) for part in ("bundle", *files, *arguments)], env={"COLUMNS": "1000"})
    assert result.exit_code == 2
    assert re.search(message, result.output), result.output
    assert "Traceback" not in result.output
    assert not out.exists()
