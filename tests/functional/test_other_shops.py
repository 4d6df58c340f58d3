"""Shops that are nothing like a supermarket's year: the same commands serve them."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_shops
from fuserank import Client, InvalidRequestError
from running import endpoints, export_bundle, url

from ensemble.bundle import Bundle
from ensemble.server import Server


def test_a_shop_on_its_first_day_answers(first_day_root: Path):
    """Chinese titles in a CSV, and nothing else: no log, no category, no brand, no price."""
    bundle = Bundle.open(first_day_root)
    assert bundle.manifest["ranker"]["source"] == "catalog"
    with Server(first_day_root, endpoints()) as server, Client(url(server)) as client:
        found = client.search("进口绿茶", k=20, explain=True)
        assert len({item.id for item in found}) == 20
        # This English encoder reads few Chinese characters, but 进口 it can tell from the rest: cosine 1 for these five
        # or nearly. A ranker that had too little to learn from must not put others before them.
        assert {item.fields["title"][:2] for item in found.items[:5]} == {"进口"}
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


def test_a_shop_of_one_item_answers(tmp_path: Path):
    root = export_bundle(tmp_path / "bundle", small_shops.single_item(tmp_path).catalog)
    with Server(root, endpoints()) as server, Client(url(server)) as client:
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
