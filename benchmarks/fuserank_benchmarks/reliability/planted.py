"""A planted item: how often a title that is stuffed with what people ask for reaches the first page."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fuserank.client import Client
from fuserank_benchmarks.demo import free_ports, served
from fuserank_evaluation.datasets.shoppers import read_shopper_queries
from fuserank_evaluation.reports.report import merge_report

WORDS = (15, 40, 100, 400)  # of the titles, the most frequent of all queries
PAGE, FIRST = 10, 3
WAIT_MS = 5_000.0  # for a search that has to see the item
MEANINGS = {
    f"planted_{words}_{place}_share": f"share of the shoppers' queries among whose first {count} items is a planted "
    f"one, which nobody had and whose title is the {words} most frequent words of all these queries"
    for words in WORDS
    for place, count in (("page", PAGE), ("first", FIRST))
}


def stuffed_title(queries: Sequence[str], words: int) -> str:
    """Returns the most frequent words of the queries, the most frequent first."""
    counts = Counter(word for query in queries for word in query.lower().split())
    return " ".join(word for word, _ in counts.most_common(words))


def share_of_lists(lists: Sequence[Sequence[str]], item: str, first: int) -> float:
    """Returns in what share of the lists an item is among the first ones."""
    return sum(item in ranked[:first] for ranked in lists) / len(lists)


def measure_planted(bundle: Path, console: Console) -> Path:
    """Adds items to a served bundle, and writes the part `planted` of the report `reliability`.

    Args:
        bundle: The demo's bundle, whose shoppers' words are asked.
        console: Shows the figures.

    Returns:
        The report's JSON file.
    """
    queries = [query.text for query in read_shopper_queries()]
    figures: dict[str, float] = {}
    http, grpc, metrics = free_ports(3)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(bundle, (http, grpc, metrics), console, state=f"sqlite:{folder}/log.sqlite"),
        Client(f"127.0.0.1:{grpc}", timeout=60.0) as client,
    ):
        # In the category and of the brand of what people take most.
        like = client.search(queries[0], k=1)[0].fields
        for words in WORDS:
            item = f"planted-{words}"
            fields = {name: like[name] for name in ("category", "brand") if like.get(name) is not None}
            added = client.upsert([{"item_id": item, "title": stuffed_title(queries, words), **fields}])
            lists = [
                [found.id for found in client.search(query, k=PAGE, min_position=added.position, deadline_ms=WAIT_MS)]
                for query in queries
            ]
            for place, first in (("page", PAGE), ("first", FIRST)):
                figures[f"planted_{words}_{place}_share"] = round(share_of_lists(lists, item, first), 4)
            client.delete([item])
    console.print_json(data=figures)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    return merge_report("reliability", "planted", manifest["id"], figures, MEANINGS, {})
