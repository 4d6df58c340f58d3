"""Shops that are nothing like a supermarket's year: the same commands serve them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from support import small_shops
from support.busy_machine import PATIENCE
from support.exporting import export_quickly
from support.running import BESIDE, endpoints, url


def test_a_shop_on_its_first_day_answers(first_day_root: Path):
    """Chinese titles in a CSV, and nothing else: no log, no category, no brand, no price."""
    bundle = Bundle.open(first_day_root)
    assert bundle.manifest["ranker"]["source"] == "catalog"
    with (
        Server(first_day_root, endpoints(), without=("embed", "rerank")) as server,
        Client(url(server), timeout=PATIENCE) as client,
    ):
        found = client.search("进口绿茶", k=20, explain=True)
        assert len({item.id for item in found}) == 20
        # Whatever this encoder makes of Chinese, the words decide: what has one of them stands before the rest.
        titles = [item.fields["title"] for item in found]
        assert "进口绿茶" in titles[0]
        assert all("进口" in title or "绿茶" in title for title in titles[:5])
        assert found[0].id.startswith("商品")
        for item in found:
            assert sum(signal.contribution for signal in item.signals) == pytest.approx(item.score, abs=1e-3)

        anyone = client.recommend("anonymous", k=5, explain=True)
        assert len(anyone) == 5
        assert not anyone.status.user_known
        assert len(client.search("牛奶", "anonymous", k=200)) == 20

        # Somebody who looks at rice today has a history at once.
        rice = [item.id for item in client.search("大米", k=2)]
        known = client.recommend("anonymous", history=rice, k=20)
        assert set(rice) <= {item.id for item in known}
        assert not set(rice) & {
            item.id for item in client.recommend("anonymous", history=rice, exclude_seen=True, k=20)
        }

        with pytest.raises(InvalidRequestError, match=r"OPTIONS\.fields"):
            client.search("牛奶", fields=["brand"])
        assert len(client.search("牛奶", filter={"price": {"lt": 5}})) == 0

        records = (first_day_root / "index" / "items" / "records.jsonl").read_text("utf-8").splitlines()
        titles = {json.loads(record)["title"] for record in records}
        similar = client.similar("商品00", k=5)
        assert len(similar) == 5
        assert similar.status.candidates.get("collaborative", 0) == 0
        assert len(client.similar(text="有机牛奶")) == 10
        completions = [suggestion.text for suggestion in client.suggest("有机", 50)]
        assert set(completions) == {title for title in titles if title.startswith("有机")}
        assert len(client.suggest("", 3)) == 3


def test_a_shop_of_one_item_answers(tmp_path: Path, tiny_encoder: Path):
    catalog = small_shops.single_item(tmp_path).catalog
    root = export_quickly(catalog, tiny_encoder, tmp_path / "bundle")
    with Server(root, endpoints(), without=BESIDE) as server, Client(url(server), timeout=PATIENCE) as client:
        for query, user, options in (
            ("chair", "", {}),
            ("milk", "", {"k": 200, "explain": True, "diversity": 0.5}),
            ("", "anonymous", {"explain": True}),
            ("chair", "anonymous", {"deadline_ms": 0.01}),
            ("chair", "", {"history": ["only"]}),
            ("", "", {"history": ["only"], "explain": True}),
        ):
            found = client.search(query, user, **options)
            assert [item.id for item in found] == ["only"], (query, user, options)
            assert found[0].fields == {"title": "hand-made wooden chair"}
        assert len(client.search("chair", history=["only"], exclude_seen=True)) == 0


def test_a_shop_whose_files_hold_bad_rows_counts_every_one_and_serves_the_rest(tmp_path: Path, tiny_encoder: Path):
    """No text, duplicates, 100 kB, control characters, emoji, prices below zero, cycles, unknown items, the future."""
    shop = small_shops.bad_rows(tmp_path)
    root = export_quickly(
        shop.catalog,
        tiny_encoder,
        tmp_path / "bundle",
        interactions=shop.interactions,
        max_bad_rows=0.3,
        max_unknown_items=0.7,
    )
    inputs = Bundle.open(root).manifest["inputs"]
    assert inputs["catalog"]["reasons"] == {
        "title: missing": 1,
        "item_id: duplicate": 1,
        "price: negative": 1,
        "category: category cycle": 1,
    }
    assert inputs["catalog"]["warnings"] == {"created_at in the future": 1}
    assert (inputs["catalog"]["read"], inputs["catalog"]["kept"]) == (len(shop.items) + 4, len(shop.items))
    log = inputs["interactions"]
    assert (log["read"], log["kept"], log["bad"], log["unknown_item"]) == (6, 2, 1, 3)
    with Server(root, endpoints(), without=BESIDE) as server, Client(url(server), timeout=PATIENCE) as client:
        for query, user in (("tea", ""), ("", "anybody"), ("🍵", "u00"), ("", "u00")):
            assert {item.id for item in client.search(query, user, k=50)} == shop.items.keys()
        assert client.search("🍵👩‍🌾", k=1)[0].id == "emoji"
        assert client.search("black tea", k=1, fields=["title"])[0].fields == {"title": "black  tea"}
        long = client.search("tea", filter={"price": 0}, fields=["title", "price"])
        assert [item.id for item in long] == ["free"]
        assert {item.id for item in client.recommend("u00", k=2)} == shop.bought["u00"]
