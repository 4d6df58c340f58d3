"""How soon an event counts, and what recording costs the searches beside it: the report `live`."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.progress import track

from fuserank.client import Client
from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.live_load import APPENDED, EVENTS, SEARCHES, measure_load
from fuserank_benchmarks.refreshing import measure_refresh, measure_switches, write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import Interaction, Logged
from fuserank_evaluation.reports.report import merge_report

PROBES = 200  # events whose appearance is waited for
PATIENCE = 30.0  # seconds until an event or a change counts as lost
UNUSUAL_PRICE = 7_000_001  # that no item has
LETTERS = str.maketrans("0123456789", "ghijklmnop")  # a word without digits, which part words
MILLION, PEOPLE = 1_000_000, 90_000

MEANINGS = {
    "event_visible_p50_ms": "ms from the answer of `record` to the reply of the first recommendation that knows the "
    "event, one caller who asks without a pause, SQLite: median",
    "event_visible_p99_ms": "ms, the same: 99th percentile",
    "event_visible_redis_p50_ms": "ms, the same over Redis on this machine: median",
    "event_visible_redis_p99_ms": "ms, the same: 99th percentile",
    "read_your_writes_p99_ms": "ms of a recommendation that waits for the event by `min_position`: 99th percentile",
    "item_visible_p50_ms": "ms from the call of `catalog` with a new item, whose text it embeds, to the reply of the "
    "first search that finds the item by its words, one caller who asks without a pause, SQLite: median",
    "item_visible_p99_ms": "ms, the same: 99th percentile",
    "price_visible_p50_ms": "ms from the answer of `catalog` to the reply of the first search whose filter finds the "
    "item by its new price, one caller who asks without a pause, SQLite: median",
    "price_visible_p99_ms": "ms, the same: 99th percentile",
    "record_p50_ms": f"ms, one event a call, {EVENTS} events/s beside {SEARCHES} searches/s, from when each was due: "
    "median",
    "record_p99_ms": "ms, the same: 99th percentile",
    "search_p50_ms_while_recording": "ms of those searches: median",
    "search_p99_ms_while_recording": "ms, the same: 99th percentile",
    "search_p50_ms_while_tailing": f"ms, {SEARCHES} searches/s beside {EVENTS} events/s that another process appends, "
    f"{APPENDED} at a time: median",
    "search_p99_ms_while_tailing": "ms, the same: 99th percentile",
    "search_p50_ms_alone": f"ms, {SEARCHES} searches/s without events, in windows by turns: median",
    "search_p99_ms_alone": "ms, the same: 99th percentile",
    "search_p99_ratio_while_tailing_200_per_s": "search_p99_ms_while_tailing over search_p99_ms_alone",
    "refused_or_failed": "searches and records that were refused or failed in all windows",
    "failed_or_mixed_in_20_switches": "replies that failed or had items of another bundle than they named, in 20 "
    "switches between two bundles under three callers without a pause",
    "replies_in_20_switches": "replies of all callers meanwhile",
    "switch_p50_seconds": "s of `promote` under these callers, both bundles open but for the first time: median",
    "refresh_seconds": "s of `export refresh` after a change of one in a hundred events and items, a fifth of these "
    "with another title",
    "refresh_share_of_full_export": "the same over the seconds of the bundle's own export, as its manifest has them",
    "refresh_ndcg_loss_relative": "nDCG@10 that the refresh loses on requests of what both bundles know, as a share",
    "memory_mb_per_million_events": f"MB of a process for a million events of {PEOPLE:,} users in memory",
}


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Runs redis-server with an append-only file in a folder; yields its address."""
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


def measure_visibility(url: str, items: list[str]) -> tuple[list[float], list[float]]:
    """Records events of new users and asks for each without a pause until it counts.

    Returns:
        Milliseconds until each counted, and of each recommendation that waited for its event by position.
    """
    visible, waited = [], []
    with Client(url, retries=0) as client:
        for probe in track(range(PROBES), "waiting for events", transient=True):
            user, item = f"probe-{uuid.uuid4().hex}", items[probe % len(items)]
            position = client.record([{"user_id": user, "item_id": item, "event": "purchase"}]).position
            answered = time.perf_counter()
            while not client.recommend(user, k=1).status.user_known:
                if time.perf_counter() - answered > PATIENCE:
                    raise SystemExit(f"an event at position {position} does not count after {PATIENCE:.0f} s")
            visible.append((time.perf_counter() - answered) * 1e3)
            position = client.record([{"user_id": user, "item_id": item, "event": "purchase"}]).position
            asked = time.perf_counter()
            status = client.recommend(user, k=1, min_position=position).status
            waited.append((time.perf_counter() - asked) * 1e3)
            if (status.position or 0) < position:
                raise SystemExit(
                    f"a recommendation with min_position {position} knows position {status.position} alone"
                )
    return visible, waited


def measure_item_visibility(url: str) -> list[float]:
    """Adds items and asks for each by a word that no other has; returns milliseconds from the call to the reply."""
    visible = []
    with Client(url, retries=0) as client:
        for _ in track(range(PROBES), "waiting for new items", transient=True):
            word = uuid.uuid4().hex.translate(LETTERS)[:12]
            called = time.perf_counter()
            item = {"item_id": f"probe-{word}", "title": f"{word} ground coffee", "price": 4.5}
            position = client.upsert([item]).position
            while [found.id for found in client.search(word, k=1)] != [item["item_id"]]:
                if time.perf_counter() - called > PATIENCE:
                    raise SystemExit(f"an item at position {position} is not found after {PATIENCE:.0f} s")
            visible.append((time.perf_counter() - called) * 1e3)
    return visible


def measure_price_visibility(url: str, items: list[str]) -> list[float]:
    """Changes prices and asks for each without a pause until it counts; returns milliseconds until each did."""
    visible = []
    with Client(url, retries=0) as client:
        for probe in track(range(PROBES), "waiting for prices", transient=True):
            item, price = items[probe % len(items)], UNUSUAL_PRICE + probe
            position = client.upsert([{"item_id": item, "price": price}]).position
            answered = time.perf_counter()
            while not len(client.recommend("nobody", k=1, filter={"price": price})):
                if time.perf_counter() - answered > PATIENCE:
                    raise SystemExit(f"a price at position {position} does not count after {PATIENCE:.0f} s")
            visible.append((time.perf_counter() - answered) * 1e3)
    return visible


def fill_overlay(bundle: str, out: multiprocessing.SimpleQueue[float]) -> None:
    """Puts into a queue how many bytes a process takes more for a million events."""
    items = Bundle.open(Path(bundle), verify=()).items
    ids = [item.decode() for item in items.ids[:10_000]]
    overlay = LiveOverlay(items)
    draw = np.random.default_rng(7)
    users, rows = draw.integers(0, PEOPLE, MILLION), draw.integers(0, len(ids), MILLION)
    names = [int(user).to_bytes(16, "big") for user in range(PEOPLE)]
    process = psutil.Process()
    before = process.memory_info().rss
    for start in range(0, MILLION, 1_000):
        batch = [
            Logged(
                at + 1,
                Interaction(
                    event_id="", item_id=ids[rows[at]], event="purchase", timestamp=1.7e9 + at, user=names[users[at]]
                ),
            )
            for at in range(start, start + 1_000)
        ]
        overlay.apply(batch)
    out.put(float(process.memory_info().rss - before))


def measure_memory(bundle: Path) -> float:
    """MB that a million events take in a process that ranks."""
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.SimpleQueue[float] = context.SimpleQueue()
    child = context.Process(target=fill_overlay, args=(str(bundle), out))
    child.start()
    taken = out.get()
    child.join()
    return round(taken / 1e6, 1)


def measure_live(bundle: Path, shop: Path, rounds: int, console: Console, load_only: bool = False) -> Path:
    """Measures a server with a state, and writes the report `live`.

    Args:
        bundle: The bundle to serve.
        shop: Folder of the catalogue's and the log's Parquet files.
        rounds: How many windows of each of `live_load.KINDS`.
        console: Shows progress and figures.
        load_only: Measure these windows alone.

    Returns:
        The report's JSON file.

    Raises:
        SystemExit: Where an event does not count in time.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    items = [item.decode() for item in Bundle.open(bundle, verify=()).items.ids[:2_000].tolist()]
    figures: dict[str, float | None] = {}
    # Beside the bundle, since a folder for temporary files may lie in memory, where nothing has to reach a disk.
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix="live-") as folder:
        ports = free_ports(3)
        state = f"sqlite:{Path(folder).resolve() / 'log.sqlite'}"
        with served(bundle, (ports[0], ports[1], ports[2]), console, state=state):
            url = f"127.0.0.1:{ports[1]}"
            figures |= measure_load(url, state, ShopVocabulary.read(shop), items, rounds)
            if not load_only:
                figures |= _measure_server(url, bundle, shop, items, Path(folder))
        if not load_only:
            figures |= _measure_beside(bundle, items, Path(folder), console)
    console.print_json(data=figures)
    meanings = {name: meaning for name, meaning in MEANINGS.items() if name in figures}
    return merge_report("live", "load" if load_only else "events", manifest["id"], figures, meanings, {})


def _measure_server(url: str, bundle: Path, shop: Path, items: list[str], folder: Path) -> dict[str, float]:
    """Measures what a server with a state in SQLite shows when."""
    visible, waited = measure_visibility(url, items)
    figures = {
        **_visible("event_visible", visible),
        "read_your_writes_p99_ms": round(float(np.percentile(waited, 99)), 2),
        **_visible("price_visible", measure_price_visibility(url, items)),
        **_visible("item_visible", measure_item_visibility(url)),
    }
    twin = write_twin(bundle.resolve(), folder / "twin")
    return figures | measure_switches(url, ShopVocabulary.read(shop).types[0], bundle.resolve(), twin)


def _measure_beside(bundle: Path, items: list[str], folder: Path, console: Console) -> dict[str, float | None]:
    """Measures a server over Redis where there is one, a refresh, and memory."""
    figures: dict[str, float | None] = {"event_visible_redis_p50_ms": None, "event_visible_redis_p99_ms": None}
    if shutil.which("redis-server"):
        ports = free_ports(3)
        with redis_server(folder) as state, served(bundle, (ports[0], ports[1], ports[2]), console, state=state):
            visible, _ = measure_visibility(f"127.0.0.1:{ports[1]}", items)
        figures |= _visible("event_visible_redis", visible)
    figures |= measure_refresh(Bundle.open(bundle), folder, console)[1]
    return figures | {"memory_mb_per_million_events": measure_memory(bundle)}


def _visible(name: str, milliseconds: list[float]) -> Mapping[str, float]:
    return {f"{name}_p{q}_ms": round(float(np.percentile(milliseconds, q)), 2) for q in (50, 99)}
