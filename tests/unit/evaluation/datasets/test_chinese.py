"""The Chinese shop is well formed, and every query has a relevant item."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest

from fuserank_evaluation.datasets.chinese import FOLDER


@pytest.fixture(scope="module")
def catalog():
    return [json.loads(line) for line in (FOLDER / "catalog.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def queries():
    return dict(line.split("\t") for line in (FOLDER / "queries.tsv").read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def judgements():
    return [line.split(" ") for line in (FOLDER / "judgements.tsv").read_text("utf-8").splitlines()]


def test_every_item_has_every_field_and_an_id_of_its_own(catalog):
    assert len({item["item_id"] for item in catalog}) == len(catalog) == 200
    assert len({item["title"] for item in catalog}) == 200
    for item in catalog:
        assert set(item) == {"item_id", "title", "category", "brand", "price", "description"}
        assert item["price"] > 0
        assert item["title"].strip() == item["title"] != ""
        assert 2 <= len(item["category"].split(" > ")) <= 3


def test_scripts_are_mixed(catalog):
    texts = [item["title"] + item["description"] for item in catalog]
    assert all(re.search("[\u4e00-\u9fff]", text) for text in texts)
    assert sum(bool(re.search("[A-Za-z]{3}", text)) for text in texts) > 40


def test_judgements_are_of_known_items_once_and_every_query_has_an_answer(catalog, queries, judgements):
    assert len(queries) == len(set(queries.values())) == 60
    assert all(count == 1 for count in Counter((query, item) for query, _, item, _ in judgements).values())
    assert {query for query, _, _, grade in judgements if grade == "3"} == set(queries)
    assert {item for _, _, item, _ in judgements} <= {item["item_id"] for item in catalog}
    assert {(zero, grade) for _, zero, _, grade in judgements} <= {("0", "1"), ("0", "2"), ("0", "3")}


def test_the_lexical_channel_finds_something_for_every_query(catalog, queries, tmp_path):
    from fuserank_ensemble.interactions.history import History
    from fuserank_ensemble.retrieval.channel import ChannelQuery
    from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
    from fuserank_ensemble.retrieval.lexical.index import LexicalIndex

    LexicalIndex.write(tmp_path / "index", catalog, {"title": 3, "category": 1, "brand": 2, "description": 1}, {})
    channel = LexicalChannel(LexicalIndex.open(tmp_path / "index"), len(catalog))
    channel_queries = [ChannelQuery(q, np.zeros(1, np.float32), History.empty(), 0.0) for q in queries.values()]
    ranked = dict(zip(queries.values(), channel.search(channel_queries, 100), strict=True))
    assert [query for query, items in ranked.items() if not len(items)] == []
