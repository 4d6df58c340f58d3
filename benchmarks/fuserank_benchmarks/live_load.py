"""What events cost searches beside them, and searches events: part of the report `live`.

Windows with and without events take turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.progress import track

from fuserank_benchmarks.inputs.queries import FreshLoad, ShopVocabulary
from fuserank_benchmarks.load.open_loop import Outcome, Plan, send_from_process
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.settings import State, StateSettings

SEARCHES, EVENTS = 50, 200  # a second
APPENDED = 4  # events that another process appends at a time
WINDOW_SECONDS = 8.0
KINDS = ("alone", "tailing", "recording")  # of windows; each round turns their order around


def record_message(user: str, item: str) -> str:
    """The `EVENTS` of one purchase, with an id of its own."""
    return json.dumps([{"event_id": uuid.uuid4().hex, "user_id": user, "item_id": item, "event": "purchase"}])


def append_events(place: str, items: list[str], seconds: float, seed: int) -> None:
    """Appends `EVENTS` a second to a log, as another server would that took them."""
    state = State.open(StateSettings(place))
    draw = np.random.default_rng(seed)
    users = [state.key.user(f"tailed-{number}") for number in range(5_000)]
    due = time.monotonic()
    for _ in range(int(EVENTS * seconds / APPENDED)):
        state.log.append(
            [
                Interaction(
                    event_id=uuid.uuid4().hex,
                    item_id=items[int(draw.integers(len(items)))],
                    event="purchase",
                    timestamp=time.time(),
                    user=users[int(draw.integers(len(users)))],
                )
                for _ in range(APPENDED)
            ]
        )
        due += APPENDED / EVENTS
        time.sleep(max(due - time.monotonic(), 0.0))
    state.log.close()


def measure_load(url: str, place: str, shop: ShopVocabulary, items: list[str], rounds: int) -> dict[str, float]:
    """Searches alone, beside events of another process, and beside events that this server takes, by turns."""
    load = FreshLoad(shop)
    searched: dict[str, list[Outcome]] = {kind: [] for kind in KINDS}
    recorded: list[Outcome] = []
    windows = [kind for number in range(rounds) for kind in (KINDS if number % 2 else reversed(KINDS))]
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(2) as pool:
        for number, kind in enumerate(track(windows, "searches with and without events", transient=True)):
            if kind == "tailing":
                writer = context.Process(target=append_events, args=(place, items, WINDOW_SECONDS + 4, number))
                writer.start()
                time.sleep(2.0)  # until it has begun
            searches = Plan(url, load.draw(1_000).requests(), SEARCHES, WINDOW_SECONDS, seed=number // len(KINDS))
            # Drawn in every window, and before it: what the benchmark works is no part of what it measures.
            users = load.draw(int(EVENTS * WINDOW_SECONDS * 2)).users
            messages = [(record_message(user, items[at % len(items)]),) for at, user in enumerate(users)]
            events = Plan(url, messages, EVENTS, WINDOW_SECONDS, seed=number, model="record")
            sent = pool.submit(send_from_process, searches)
            if kind == "recording":
                recorded.append(pool.submit(send_from_process, events).result())
            searched[kind].append(sent.result())
            if kind == "tailing":
                writer.join()
    every = [*recorded, *(outcome for outcomes in searched.values() for outcome in outcomes)]
    figures: dict[str, float] = {}
    for name, outcomes in (("record", recorded), *((f"search_{kind}", searched[kind]) for kind in KINDS)):
        latencies = [latency for outcome in outcomes for latency in outcome.answered]
        figure, _, kind = name.partition("_")
        suffix = "" if not kind else "_alone" if kind == "alone" else f"_while_{kind}"
        figures |= {f"{figure}_p{q}_ms{suffix}": round(float(np.percentile(latencies, q)), 2) for q in (50, 99)}
    ratio = figures["search_p99_ms_while_tailing"] / figures["search_p99_ms_alone"]
    return figures | {
        "search_p99_ratio_while_tailing_200_per_s": round(ratio, 3),
        "refused_or_failed": sum(len(outcome.refused) + outcome.failed for outcome in every),
    }
