"""Writes what the LanceDB peer works on, as plain files that need nothing of FuseRank to open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fuserank_benchmarks.hybrid.groceries import PastShop
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import render
from fuserank_export.index.shop import bundle_records
from fuserank_export.sources import read_interactions

GROUPS = ("category", "department", "brand")


def write_catalog(bundle: Bundle, out: Path) -> None:
    """Writes the catalogue, its vectors and the encoder of a bundle.

    Args:
        bundle: The bundle.
        out: Gets `items.json` (`item_id`, `title`, `text` by item), `vectors.npy` `[texts, dim]`, `text.npy` each
            item's text `[items]`, `encoder.onnx`, `tokenizer.json` and `encoder.json`.
    """
    out.mkdir(parents=True, exist_ok=True)
    records = list(bundle_records(bundle))
    items = {
        "item_id": [record["item_id"] for record in records],
        "title": [record["title"] for record in records],
        "text": [render(bundle.spec.text_template, record) for record in records],
    }
    (out / "items.json").write_text(json.dumps(items, ensure_ascii=False), "utf-8")
    np.save(out / "text.npy", bundle.items.text)
    shutil.copyfile(bundle.root / "index" / "vectors.npy", out / "vectors.npy")
    shutil.copyfile(bundle.engine("encoder"), out / "encoder.onnx")
    shutil.copyfile(bundle.tokenizer, out / "tokenizer.json")
    settings = {"pad": bundle.spec.pad_token_id, "template": bundle.spec.query_template}
    (out / "encoder.json").write_text(json.dumps(settings), "utf-8")
    np.savez(out / "columns.npz", **columns(records), text=bundle.items.text)


def columns(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The columns that the peer's features read: numbers of values `[items]` of `GROUPS`, and prices."""
    groups = {name: pd.factorize(np.asarray([str(record.get(name)) for record in records]))[0] for name in GROUPS}
    prices = [record.get("price") for record in records]
    return groups | {"price": np.asarray([np.nan if price is None else price for price in prices], np.float32)}


def write_log(past: Path, shop: PastShop, item_ids: Sequence[str], out: Path) -> None:
    """Writes the log before the cut, and the searches that the peer's ranker learns from.

    Args:
        past: Folder that `write_past_shop` has written.
        shop: The shop with its whole log.
        item_ids: Ids of the catalogue's items, in the order of their rows.
        out: Gets `log.npz` (`users`, `user`, `item`, `timestamp`) and `cases.json`.
    """
    log = read_interactions(past / "interactions.parquet", item_ids)
    users = np.asarray([str(user) for user in log.user_ids])
    np.savez(out / "log.npz", users=users, user=log.user, item=log.item, timestamp=log.timestamp)
    searches, moment = shop.training()
    relevant = [rows.tolist() for rows in searches.relevant]
    cases = {"moment": moment, "queries": searches.queries, "users": searches.users, "relevant": relevant}
    (out / "cases.json").write_text(json.dumps(cases), "utf-8")


def write_inputs(bundle: Path, past: Path, shop: Path, out: Path) -> None:
    """Writes all inputs of the peer for the groceries.

    Raises:
        ValueError: The shop's catalogue is not the bundle's.
    """
    opened = Bundle.open(bundle, verify=())
    item_ids = [item_id.decode() for item_id in opened.items.ids.tolist()]
    whole = PastShop.read(shop, item_ids)
    write_catalog(opened, out)
    write_log(past, whole, item_ids, out)
