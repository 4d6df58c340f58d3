"""From a log to an answer: a word that no item has finds what people took for it."""

from __future__ import annotations

import csv
import json
from datetime import timedelta

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from support.exporting import HARDLY, export_quickly, rank_all_kinds
from support.tiny_shop import LOG_END, write_csv

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_word_of_the_log_that_no_item_has_is_asked_as_what_people_took_for_it(tiny_shop, tiny_encoder, tmp_path):
    with tiny_shop.interactions.open(encoding="utf-8", newline="") as stream:
        events = list(csv.DictReader(stream))
    cheeses = sorted(item for item, row in tiny_shop.items.items() if row["title"].startswith("goat cheese"))
    for number in range(24):
        user, item = f"u{number % 12:02}", cheeses[number % len(cheeses)]
        time = (LOG_END - timedelta(days=60, minutes=number)).isoformat()
        columns = {"user_id": user, "item_id": item, "event": "click", "timestamp": time, "query": "Chevre"}
        events.append(dict.fromkeys(events[0], "") | columns)
    log = write_csv(tmp_path / "events.csv", events)
    out = export_quickly(tiny_shop.catalog, tiny_encoder, tmp_path / "bundle", interactions=log, ranker=HARDLY)
    bundle = Bundle.open(rank_all_kinds(out, ()))  # fusion orders: what was learned is the word
    assert bundle.manifest["search"]["synonyms"] == {"given": 0, "learned": {"chevre": "goat cheese"}}
    outputs = LocalGraph(bundle).search("chevre", k=5)
    assert outputs["ITEM_ID"][0, 0].decode() in cheeses
    assert json.loads(outputs["STATUS"][0, 0])["understood"]["text"] == "goat cheese"
