"""Latency of the stages `retrieve` and `suggest` on the demo's catalogue, and of lexical search at a million items."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.text import normalise, query_text
from fuserank_ensemble.graph.steps.suggest import INDEX, Suggest
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.suggest import Suggester
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.index.shop import bundle_records
from fuserank_export.index.units import unit_table

SEED = 7
REQUESTS, BATCH = 480, 16
MILLION = 1_000_000
PREFIXES, TYPO_SHARE = 3_000, 0.2

MEANINGS = {
    "retrieve_p50_ms_92k": "ms, a query with a user in one process, all channels, fusion and features: median",
    "retrieve_p99_ms_92k": "ms, the same: 99th percentile",
    "retrieve_p50_ms_92k_query": "ms, a query without a user: median",
    "retrieve_p50_ms_92k_user": "ms, a user without a query: median",
    "retrieve_ms_per_request_batch16_92k": "ms a request, a query with a user, in batches of 16: median",
    "lexical_build_seconds_1m": "s to index the words of a million items",
    "lexical_p50_ms_1m": "ms, queries of 1 to 4 words: median",
    "lexical_p99_ms_1m": "ms, the same: 99th percentile",
    "suggest_phrases": "phrases that may be suggested",
    "suggest_p50_ms": "ms, the stage in one process, beginnings of those phrases, one in five with a slip: median",
    "suggest_p99_ms": "ms, the same: 99th percentile",
}


def measure_retrieve(folder: Path, console: Console) -> dict[str, float]:
    """Times the stage's work on real product types and households, one request at a time and in batches."""
    bundle = Bundle.open(folder, verify=())
    channel_queries = _channel_queries(bundle)
    with threadpool_limits(1), console.status("the retrieve stage"):
        retriever = Retriever(bundle.catalog("cpu"), bundle.learned("cpu"), bundle.spec)
        depth = bundle.spec.candidates
        by_kind = {
            "": channel_queries,
            "_query": [replace(query, seen=History.empty()) for query in channel_queries],
            "_user": [replace(query, query="", embedding=np.zeros_like(query.embedding)) for query in channel_queries],
        }
        retriever.retrieve(channel_queries[:BATCH], [depth] * BATCH)  # warms up
        figures = {}
        for name, queries in by_kind.items():
            times = _times(lambda part: retriever.retrieve(part, [depth] * len(part)), ([query] for query in queries))
            figures[f"retrieve_p50_ms_92k{name}"] = round(float(np.median(times)), 3)
            if not name:
                figures["retrieve_p99_ms_92k"] = round(float(np.percentile(times, 99)), 3)
        batches = (channel_queries[start : start + BATCH] for start in range(0, len(channel_queries), BATCH))
        times = _times(lambda part: retriever.retrieve(part, [depth] * len(part)), batches)
        figures["retrieve_ms_per_request_batch16_92k"] = round(float(np.median(times)) / BATCH, 3)
    return figures


def measure_lexical(folder: Path, console: Console) -> dict[str, float]:
    """Times the lexical channel on a million items, whose titles and categories recombine the catalogue's words."""
    bundle = Bundle.open(folder, verify=())
    records = list(bundle_records(bundle))
    titles = [str(record["title"]).split() for record in records]
    draw = np.random.default_rng(SEED)
    first, second, kind = draw.integers(0, len(records), (3, MILLION))
    items = [
        {
            "title": " ".join([*titles[a][:2], *titles[b][-2:]]),
            "category": records[c].get("category", ""),
            "brand": records[a].get("brand", ""),
        }
        for a, b, c in zip(first.tolist(), second.tolist(), kind.tolist(), strict=True)
    ]
    queries = [
        " ".join(items[row]["title"].split()[: 1 + n % 4]) for n, row in enumerate(draw.integers(0, MILLION, 500))
    ]
    no_embedding = np.zeros(bundle.spec.embedding_dim, np.float32)
    with tempfile.TemporaryDirectory() as temporary, console.status("the words of a million items"):
        started = time.perf_counter()
        LexicalIndex.write(Path(temporary) / "lexical", items, bundle.spec.lexical_fields, unit_table())
        seconds = time.perf_counter() - started
        channel = LexicalChannel(LexicalIndex.open(Path(temporary) / "lexical"), MILLION)
        requests = [[ChannelQuery(normalise(query), no_embedding, History.empty(), 0.0)] for query in queries]
        depth = 2 * bundle.spec.channel_depth  # as the retriever does
        for part in requests[:20]:  # warms up
            channel.search(part, depth)
        times = _times(lambda part: channel.search(part, depth), requests)
    return {
        "lexical_build_seconds_1m": round(seconds, 1),
        "lexical_p50_ms_1m": round(float(np.median(times)), 3),
        "lexical_p99_ms_1m": round(float(np.percentile(times, 99)), 3),
    }


def measure_suggest(folder: Path, console: Console) -> dict[str, float]:
    """Times the stage `suggest` on beginnings of the bundle's own phrases."""
    phrases = [text for text, _ in Suggester.open(folder / INDEX).complete("", MILLION)]
    stage = Suggest(Suggester.open(folder / INDEX))
    requests = [
        [{"PREFIX": string_tensor([[prefix.encode()]]), "OPTIONS": string_tensor([[b"{}"]])}]
        for prefix in draw_prefixes(phrases, PREFIXES, SEED)
    ]
    with console.status("suggest"):
        for part in requests[:BATCH]:  # warms up
            stage.execute(part)
        times = _times(stage.execute, requests)
    return {
        "suggest_phrases": len(phrases),
        "suggest_p50_ms": round(float(np.median(times)), 3),
        "suggest_p99_ms": round(float(np.percentile(times, 99)), 3),
    }


def draw_prefixes(phrases: Sequence[str], count: int, seed: int) -> list[str]:
    """Draws beginnings of phrases, of any length; in `TYPO_SHARE` of them two neighbouring characters are swapped."""
    draw = np.random.default_rng(seed)
    prefixes = []
    for row in draw.integers(0, len(phrases), count):
        prefix = phrases[row][: int(draw.integers(1, len(phrases[row]) + 1))]
        if draw.random() < TYPO_SHARE and len(prefix) > 1:
            at = int(draw.integers(0, len(prefix) - 1))
            prefix = prefix[:at] + prefix[at + 1] + prefix[at] + prefix[at + 2 :]
        prefixes.append(prefix)
    return prefixes


def _channel_queries(bundle: Bundle) -> list[ChannelQuery]:
    """Requests of real households for real product types."""
    column = bundle.items.columns.by_name["product_type"]
    draw = np.random.default_rng(SEED)
    texts = [column.words[code] for code in draw.integers(0, len(column.words), REQUESTS)]
    spec = bundle.spec
    engine = bundle.repository / "encoder" / "1" / "model.onnx"
    encoder = OnnxEncoder(engine, Tokenizer.from_file(str(bundle.tokenizer)), spec.pad_token_id, 128)
    vectors = encoder.embed([query_text(spec.query_template, text) for text in texts])
    users = draw.integers(0, len(bundle.histories), REQUESTS)
    now = float(bundle.manifest["log_end"])
    return [
        ChannelQuery(normalise(text), vector, bundle.histories.at(int(user)), now)
        for text, vector, user in zip(texts, vectors, users, strict=True)
    ]


def _times(call: Callable[[Any], object], parts: Iterable[Any]) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for part in parts:
        started = time.perf_counter()
        call(part)
        times.append((time.perf_counter() - started) * 1_000)
    return times
