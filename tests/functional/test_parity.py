"""The wire changes nothing: answers over gRPC are those of the same stages run in this process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from fuserank.client import Client
from fuserank_ensemble.graph.local import LocalGraph
from support.small_shops import BRANDS, KINDS, Shop

SCORE_TOLERANCE = 1e-4


def requests(count: int = 60) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests of every kind, drawn with a seed: query, user and options."""
    draw = random.Random(3)
    words = [word for kinds in KINDS.values() for word in kinds]
    choices: list[dict[str, Any]] = [
        {},
        {"k": 1},
        {"k": 150},
        {"explain": True},
        {"diversity": 0.4},
        {"exclude_seen": True},
        {"filter": {"brand": draw.choice(BRANDS)}},
        {"filter": {"category": "Dairy"}, "k": 40},
        {"filter": {"price": {"gte": 2.5}}, "diversity": 1},
        {"objective": {"purchase": 2, "click": 0.5}},
        {"history": ["i0003", "i0013", "i0003", "missing"]},
        {"context": {"timestamp": 1_700_000_000}},
        {"fields": ["title", "tags"]},
        {"rules": [{"boost": 1, "filter": {"category": "Dairy"}}, {"pin": 2, "item_ids": ["i0003"]}]},
        {"explore": {"rate": 0.5, "slots": [3, 7], "seed": 4, "max_events": 1000}, "diversity": 0.2},
    ]
    asked = []
    for number in range(count):
        query = " ".join(draw.sample(words, draw.choice((1, 1, 2, 9))))  # long ones reach the next length bucket
        user = f"u{draw.randrange(45):02}"  # some are unknown
        kind = number % 3
        asked.append(("" if kind == 1 else query, "" if kind == 0 else user, choices[number % len(choices)]))
    return asked


def test_answers_over_grpc_equal_the_stages_in_process(client: Client, graph: LocalGraph):
    differences = []
    for query, user, options in requests():
        found = client.search(query, user, **options)
        expected = graph.search(query, user, **options)
        ids = [item_id.decode() for item_id in expected["ITEM_ID"][0]]
        assert [item.id for item in found] == ids, (query, user, options)
        scores = np.array([item.score for item in found])
        differences.append(float(np.abs(scores - expected["SCORE"][0]).max()))
        assert differences[-1] <= SCORE_TOLERANCE, (query, user, options)
    print(f"{len(differences)} requests, largest difference of a score {max(differences):.1e}")


def test_a_bundle_keeps_every_item_and_field(client: Client, shop: Shop):
    """What went into the export comes out of the server."""
    names = ["title", "category", "brand", "price", "in_stock", "size", "tags", "description"]
    seen = {}
    for category in KINDS:
        for item in client.search(user="anyone", filter={"category": category}, k=200, fields=names):
            seen[item.id] = dict(item.fields)
    assert seen.keys() == shop.items.keys()
    for item_id, row in shop.items.items():
        expected = {name: row[name] for name in names if name in row}
        assert seen[item_id] == expected
