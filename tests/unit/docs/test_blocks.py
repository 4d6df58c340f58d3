"""What pages show of JSON, TOML and YAML is taken by whatever reads it."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from fuserank.ingest.config import IngestConfig
from fuserank_ensemble.contract.changes import ChangeReader, parse_changes
from fuserank_ensemble.contract.events import parse_events, read_event
from fuserank_ensemble.contract.options import parse_options
from fuserank_ensemble.state.entries import EVENT_KINDS
from support.charts import manifests
from support.pages import REPOSITORY, Page

CONTRACT = Page(REPOSITORY / "docs" / "contract.md")
CHART = Page(REPOSITORY / "k8s" / "README.md")
INGEST = Page(REPOSITORY / "docs" / "ingest.md")


def values(block):
    """The JSON values of a block, one after the other."""
    decoder, rest = json.JSONDecoder(), block.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()


def block_with(page, language, mark):
    (block,) = [block for block in page.fences(language) if mark in block]
    return block


def test_the_filters_and_rules_of_the_contract_are_options_of_a_search():
    filters = list(values(block_with(CONTRACT, "json", '"size": "1 gallon"')))
    assert len(filters) == 6
    for condition in filters:
        assert parse_options(json.dumps({"filter": condition}).encode()).filter == condition
    rules = json.loads(block_with(CONTRACT, "json", '"boost"'))
    assert len(parse_options(json.dumps({"rules": rules}).encode()).rules) == len(rules) == 4


def test_the_events_and_changes_of_the_contract_are_taken():
    events = parse_events(block_with(CONTRACT, "json", '"propensity"').encode())
    assert [read_event(event, EVENT_KINDS, time.time()).event for event in events] == ["purchase", "impression"]
    changes = parse_changes(block_with(CONTRACT, "json", '"delete": true').encode())
    reader = ChangeReader({"price": "number", "in_stock": "bool"}, frozenset({"price", "in_stock", "season"}))
    assert [reader.read(change).delete for change in changes] == [False, True]


@pytest.mark.parametrize("block", CHART.fences("yaml"))
def test_the_values_of_the_charts_page_can_be_installed(block):
    assert manifests(yaml.safe_load(block))


def test_the_configuration_of_the_ingest_page_is_read(tmp_path):
    path = tmp_path / "ingest.toml"
    path.write_text("\n".join(INGEST.fences("toml")))
    config = IngestConfig.read(path, {})
    assert set(config.formats) == {"erp"}
