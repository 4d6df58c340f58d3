"""What the retrieve stage and `suggest` cost on the demo's catalogue, and the lexical channel at a million items."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
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

SEED = 7
REQUESTS, BATCH = 480, 16
MILLION = 1_000_000
PREFIXES, SLIPS = 3_000, 0.2

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


def bench_stage(folder: Path, console: Console) -> tuple[dict[str, float], dict[str, str]]:
    """Times the stage's work on real product types and households, one request at a time and in batches."""
    bundle = Bundle.open(folder, verify=())
    questions = _questions(bundle)
    with threadpool_limits(1), console.status("the retrieve stage"):
        retriever = Retriever(bundle.catalog("cpu"), bundle.learned("cpu"), bundle.spec)
        depth = bundle.spec.candidates
        kinds = {
            "": questions,
            "_query": [_without(q, user=True) for q in questions],
            "_user": [_without(q, query=True) for q in questions],
        }
        retriever.retrieve(questions[:BATCH], [depth] * BATCH)
        figures = {}
        for name, asked in kinds.items():
            times = _times(lambda part: retriever.retrieve(part, [depth] * len(part)), ([q] for q in asked))
            figures[f"retrieve_p50_ms_92k{name}"] = round(float(np.median(times)), 3)
            if not name:
                figures["retrieve_p99_ms_92k"] = round(float(np.percentile(times, 99)), 3)
        batches = (questions[start : start + BATCH] for start in range(0, len(questions), BATCH))
        times = _times(lambda part: retriever.retrieve(part, [depth] * len(part)), batches)
        figures["retrieve_ms_per_request_batch16_92k"] = round(float(np.median(times)) / BATCH, 3)
    return figures, {name: MEANINGS[name] for name in figures}


def bench_lexical(folder: Path, console: Console) -> tuple[dict[str, float], dict[str, str]]:
    """Times the lexical channel on a million items, whose titles and categories recombine the catalogue's words."""
    bundle = Bundle.open(folder, verify=())
    records = [json.loads(bundle.records.raw(row)) for row in range(len(bundle.items))]
    titles = [str(record["title"]).split() for record in records]
    draw = np.random.default_rng(SEED)
    first, second, kind = draw.integers(0, len(records), (3, MILLION))
    made = [
        {
            "title": " ".join([*titles[a][:2], *titles[b][-2:]]),
            "category": records[c].get("category", ""),
            "brand": records[a].get("brand", ""),
        }
        for a, b, c in zip(first.tolist(), second.tolist(), kind.tolist(), strict=True)
    ]
    queries = [
        " ".join(made[row]["title"].split()[: 1 + n % 4]) for n, row in enumerate(draw.integers(0, MILLION, 500))
    ]
    nothing = np.zeros(bundle.spec.embedding_dim, np.float32)
    with tempfile.TemporaryDirectory() as place, console.status("the words of a million items"):
        started = time.perf_counter()
        LexicalIndex.write(Path(place) / "lexical", made, bundle.spec.lexical_fields)
        seconds = time.perf_counter() - started
        channel = LexicalChannel(LexicalIndex.open(Path(place) / "lexical"), MILLION)
        asked = [[ChannelQuery(normalise(query), nothing, History.empty(), 0.0)] for query in queries]
        depth = 2 * bundle.spec.channel_depth  # as the retriever asks it
        for part in asked[:20]:
            channel.search(part, depth)
        times = _times(lambda part: channel.search(part, depth), asked)
    figures = {
        "lexical_build_seconds_1m": round(seconds, 1),
        "lexical_p50_ms_1m": round(float(np.median(times)), 3),
        "lexical_p99_ms_1m": round(float(np.percentile(times, 99)), 3),
    }
    return figures, {name: MEANINGS[name] for name in figures}


def bench_suggest(folder: Path, console: Console) -> tuple[dict[str, float], dict[str, str]]:
    """Times the stage `suggest` on what is typed on the way to the bundle's own phrases."""
    phrases = [text for text, _ in Suggester.open(folder / INDEX).complete("", MILLION)]
    stage = Suggest(Suggester.open(folder / INDEX))
    asked = [
        [{"PREFIX": string_tensor([[prefix.encode()]]), "OPTIONS": string_tensor([[b"{}"]])}]
        for prefix in typed(phrases, PREFIXES, SEED)
    ]
    with console.status("suggest"):
        for part in asked[:BATCH]:
            stage.execute(part)
        times = _times(stage.execute, asked)
    figures = {
        "suggest_phrases": len(phrases),
        "suggest_p50_ms": round(float(np.median(times)), 3),
        "suggest_p99_ms": round(float(np.percentile(times, 99)), 3),
    }
    return figures, {name: MEANINGS[name] for name in figures}


def typed(phrases: Sequence[str], count: int, seed: int) -> list[str]:
    """Draws beginnings of phrases, of any length; of `SLIPS` of them two neighbouring characters are swapped."""
    draw = np.random.default_rng(seed)
    prefixes = []
    for row in draw.integers(0, len(phrases), count):
        prefix = phrases[row][: int(draw.integers(1, len(phrases[row]) + 1))]
        if draw.random() < SLIPS and len(prefix) > 1:
            at = int(draw.integers(0, len(prefix) - 1))
            prefix = prefix[:at] + prefix[at + 1] + prefix[at] + prefix[at + 2 :]
        prefixes.append(prefix)
    return prefixes


def _questions(bundle: Bundle) -> list[ChannelQuery]:
    """Real product types, asked by real households."""
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


def _without(question: ChannelQuery, *, query: bool = False, user: bool = False) -> ChannelQuery:
    return ChannelQuery(
        "" if query else question.query,
        np.zeros_like(question.embedding) if query else question.embedding,
        History.empty() if user else question.seen,
        question.now,
    )


def _times(call: Callable[[Any], object], parts: Iterable[Any]) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for part in parts:
        started = time.perf_counter()
        call(part)
        times.append((time.perf_counter() - started) * 1_000)
    return times
