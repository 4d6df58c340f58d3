"""What coverage-guided fuzzing asks for: each target takes bytes, and fails where they are neither read nor refused.

Where bytes alone would rarely get past the JSON, Hypothesis makes a value of them; files and queries are the bytes.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.filters import parse as parse_filter
from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.contract.changes import ChangeReader
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.contract.events import read_event
from fuserank_ensemble.contract.options import (
    MAX_QUERY_BYTES,
    decode_bounded,
    parse_embed_options,
    parse_options,
    parse_rerank_options,
    parse_similar_options,
    parse_suggest_options,
)
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser
from fuserank_export.index.units import unit_table
from fuserank_export.sources import InputError, read_catalog
from support.fuzzing import CHANGES, EVENTS, FILTERS, JSON, OPTIONS
from support.manifests import manifest

KINDS = ("click", "purchase", "rating")
FIELDS = {"brand": "keyword", "category": "category", "price": "number", "in_stock": "bool", "tags": "keywords"}
READER = ChangeReader(FIELDS, frozenset({*FIELDS, "title", "size"}), frozenset({"title", "size"}))
PARSER = QueryParser(Synonyms({"coke": "cola", "soda pop": "soft drink"}), Quantities(unit_table()))
PARSERS = (parse_options, parse_similar_options, parse_suggest_options, parse_embed_options, parse_rerank_options)
COLUMNS = Columns(
    3,
    {
        "price": Column("number", np.asarray([1.0, math.nan, -2.5])),
        "in_stock": Column("bool", np.asarray([1, 0, -1], np.int32)),
        "brand": Column("keyword", np.asarray([0, 1, -1], np.int32), ["Acme", "北山"]),
        "tags": Column("keywords", np.asarray([0, 1], np.int32), ["a", "b"], np.asarray([0, 2], np.int32)),
        "category": Column("category", np.asarray([0, 1, -1], np.int32), ["Food", "Food > Dairy"]),
    },
)
NOW = 1.7e9


def check_refusal(read: Callable[[Any], object], value: object) -> None:
    """A value is read, or refused with what is allowed."""
    try:
        read(value)
    except InvalidRequestError as error:
        assert "allowed: " in str(error)
        assert str(error).isprintable()
        assert len(str(error)) < 2_000


def check_options(raw: bytes) -> None:
    """Every model's options."""
    for parse in PARSERS:
        check_refusal(parse, raw)


def check_filter(condition: object) -> None:
    """A filter that is taken says of each item whether it is kept."""

    def keep(wanted: object) -> None:
        mask = parse_filter(wanted, COLUMNS.kinds)(COLUMNS)
        assert mask.dtype == np.bool_
        assert mask.shape == (COLUMNS.items,)

    check_refusal(keep, condition)


def check_event(value: object) -> None:
    """An event that is taken can be written again."""
    check_refusal(lambda event: read_event(event, KINDS, NOW), value)


def check_change(value: object) -> None:
    """A change of the catalogue."""
    check_refusal(READER.read, value)


def check_query(raw: bytes) -> None:
    """A query's limits are finite and in order, and what was understood is JSON."""

    def understand(sent: bytes) -> None:
        query = decode_bounded("QUERY", sent, MAX_QUERY_BYTES)
        for parts in ({}, {"parts": ("prices", "negation")}):
            understood = PARSER.parse(query, **parts)
            json.dumps(understood.describe(query), allow_nan=False).encode()
            low, high = understood.price_from, understood.price_to
            assert low is None or high is None or low <= high
            assert bool(understood.text) == bool(PARSER.parse(query, ()).text)

    check_refusal(understand, raw)


@st.composite
def manifests(draw: st.DrawFn) -> Any:
    """A manifest in which one to three values are others, left out or added; now and then any JSON at all."""
    whole: Any = manifest(files={"model_repository/encoder/1/model.onnx": "0" * 64})
    for _ in range(draw(st.integers(1, 3))):
        at, key = whole, draw(st.sampled_from(list(whole)))
        while isinstance(at[key], dict) and at[key] and draw(st.booleans()):
            at, key = at[key], draw(st.sampled_from(list(at[key])))
        change = draw(st.sampled_from(["value", "none", "added"]))
        if change == "none" and len(whole) > 1:
            del at[key]
        elif change == "added":
            at[draw(st.text(max_size=6))] = draw(JSON)
        else:
            at[key] = draw(JSON)
    return whole


def check_manifest(value: object) -> None:
    """A manifest is read, each of its parts too, or refused with the file's name and what to do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST
        path.write_text(json.dumps(value))
        try:
            bundle = Bundle.open(Path(folder), verify=("no file",))
            parts = bundle.user_key, bundle.snapshot_position, bundle.cost, bundle.event_table.strengths
            assert all(part is not None for part in parts)
            assert bundle.engine("encoder").is_relative_to(folder)
            Bundle.open(Path(folder))
        except BundleError as error:
            assert folder in str(error)
            assert "export" in str(error) or "allowed: " in str(error)


SUFFIXES = (".csv", ".jsonl", ".tsv", ".json", ".xml")


def check_catalog(raw: bytes) -> None:
    """A file's rows are kept or counted as bad; the first byte says what its name ends with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"items{SUFFIXES[raw[0] % len(SUFFIXES)] if raw else '.csv'}"
        path.write_bytes(raw[1:])
        try:
            catalog = read_catalog(path, max_bad_share=1.0, now=NOW)
        except InputError as error:
            assert str(path) in str(error)
            return
    report, ids = catalog.report, catalog.item_ids
    assert report.read == report.kept + report.bad
    assert sum(report.reasons.values()) == report.bad
    assert len(ids) == report.kept == len(set(ids))
    assert ids == sorted(ids, key=str.encode)
    assert all(catalog.items["title"])
    prices = catalog.items["price"].to_numpy(float)
    assert not np.isinf(prices).any()
    assert not (prices < 0).any()


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        check: Fails where the bytes show a fault.
        seeds: Bytes to begin with.
        most_bytes: The longest that are tried.
        words: What is put into bytes now and then.
    """

    check: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    most_bytes: int = 4_096
    words: tuple[str, ...] = ()


def _made_of_bytes(strategy: st.SearchStrategy, check: Callable[[Any], None]) -> Target:
    """A target whose values Hypothesis draws by the bytes, as numbers that a generator would give."""

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def drawn(value: Any) -> None:
        check(value)

    seeds = tuple(np.random.default_rng(seed).bytes(length) for seed, length in enumerate((64, 256, 1_024, 4_096)))
    return Target(drawn.hypothesis.fuzz_one_input, seeds)


_ROWS = [
    {"item_id": "a1", "title": "Whole <b>milk</b>", "category": "Food > Dairy", "brand": "Acme", "price": "$1,299.50"},
    {
        "item_id": "b2",
        "title": "绿茶",
        "price": "3,50 €",
        "in_stock": "yes",
        "created_at": "2024-02-29",
        "size": "1/2 gal",
    },
]
_HEAD = ["item_id", "title", "category", "brand", "price", "in_stock", "created_at", "size"]


def _delimited(delimiter: str) -> bytes:
    lines = [_HEAD, *([f'"{row.get(name, "")}"' for name in _HEAD] for row in _ROWS)]
    return "\n".join(delimiter.join(line) for line in lines).encode()


_FEED = "".join(
    "<item>" + "".join(f"<{name}>{text.replace('<', '&lt;')}</{name}>" for name, text in row.items()) + "</item>"
    for row in _ROWS
)
TARGETS: Mapping[str, Target] = {
    "options": _made_of_bytes(OPTIONS, check_options),
    "options_bytes": Target(
        check_options,
        (
            b'{"k": 5, "filter": {"price": {"gte": 1}}, "context": {"timestamp": "2024-01-01"}}',
            b'{"rules": [{"pin": 1, "item_ids": ["a"]}], "explore": {"method": "softmax"}, "facets": ["brand"]}',
        ),
    ),
    "filters": _made_of_bytes(FILTERS | JSON, check_filter),
    "events": _made_of_bytes(EVENTS, check_event),
    "changes": _made_of_bytes(CHANGES, check_change),
    "manifest": _made_of_bytes(manifests(), check_manifest),
    "queries": Target(
        check_query,
        tuple(
            text.encode()
            for text in (
                "cheap beer under $10 without rings", "half gallon milk", "wine $10 to $15", "5 lb bag of sugar",
                "24 x 16.9 oz water", "sugar-free non dairy soda pop", "除了牛奶以外的茶 10元以下",
                "想买一双跑鞋 不要红色",
                '"whole milk" 1/2 gal', "100到200元的鞋", "no country for old men", "toys between 1 and 3 dollars",
            )
        ),
        words=("under $", "less than ", "between ", "without ", "元以下", "除了", " lb ", "oz", "½", "to $", "\u00a0"),
    ),
    "catalog": Target(
        check_catalog,
        (
            b"\x00" + _delimited(","),
            b"\x00" + _delimited(";"),
            b"\x02" + _delimited("\t"),
            b"\x01" + "\n".join(json.dumps(row, ensure_ascii=False) for row in _ROWS).encode(),
            b"\x03" + json.dumps({"products": _ROWS}).encode(),
            b"\x04" + f"<rss><channel>{_FEED}</channel></rss>".encode(),
        ),
        words=("item_id", "title", "price", "category", "\ufeff", '""', " > ", "&amp;", "<item>", "\\ud800", "1e999"),
    ),
}  # fmt: skip
