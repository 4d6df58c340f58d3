"""`fuserank evaluate replay`: what it brings that the shop learns of a purchase at once, not with the next export.

A bundle of all but the last 28 days is served twice. One graph is told every purchase of those days in time order, the
other none; both are asked the same at the same moments.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_evaluation.datasets.cases import SEED, Rows
from fuserank_evaluation.metrics.measures import MEASURES, measure
from fuserank_evaluation.metrics.significance import compare
from fuserank_evaluation.replay.requests import TimedRequest, draw_requests, read_events
from fuserank_evaluation.reports.report import merge_report
from fuserank_export.builder.bundle import export_bundle
from fuserank_export.builder.options import EncoderOptions, InputFiles, OutputOptions, RankerOptions
from fuserank_export.index.shop import bundle_records
from fuserank_export.progress import Progress

FOLDER = Path("build/eval/replay")
FIRST = 10
BATCH = 1_000  # events of one call of `record`
WAIT_MS = 10_000.0  # of a request for the events before it: what is measured is what it answers, not when
TEMPLATE = "{title} | {category}"
KINDS = {"search": "searches for a product type by a household", "recommendation": "recommendations for a household"}


@dataclass(frozen=True)
class Replay:
    """What came of it.

    Attributes:
        requests: The requests, in time order.
        live: Item rows that each got from the graph that was told of the events.
        frozen: Those of the graph that was not.
        sent: Events that were sent.
        stored: Entries of the log afterwards.
        stale: Replies that did not know of all events before them.
    """

    requests: list[TimedRequest]
    live: list[Rows]
    frozen: list[Rows]
    sent: int
    stored: int
    stale: int


def evaluate_replay(shop: Path, encoder: str, searches: int, recommendations: int, console: Console) -> Path:
    """Exports the shop as it was 28 days before the log ends, replays those days, and writes the report.

    Args:
        shop: Folder of Complete Journey in the input formats.
        encoder: Hugging Face id or folder of the encoder.
        searches: How many searches to ask.
        recommendations: How many recommendations.
        console: Shows progress.

    Returns:
        The report's JSON file.
    """
    events, cut = read_events(str(shop / "interactions.parquet"))
    progress = Progress(console)
    bundle = _export(shop, events[events["seconds"] < cut], encoder, progress)
    window = events[events["seconds"] >= cut]
    records = list(bundle_records(bundle))
    types = {record["item_id"]: record["product_type"] for record in records if record.get("product_type")}
    requests = draw_requests(
        window,
        {id_.decode(): row for row, id_ in enumerate(bundle.items.ids.tolist())},
        types,
        searches=searches,
        recommendations=recommendations,
        seed=SEED,
    )
    with tempfile.TemporaryDirectory() as folder, progress.step("replaying", len(requests)) as advance:
        replay = replay_window(bundle, window, requests, StateSettings(f"sqlite:{folder}/log"), advance)
    return merge_report("live", "replay", bundle.id, *report_figures(replay), {})


def replay_window(
    bundle: Bundle,
    window: pd.DataFrame,
    requests: list[TimedRequest],
    settings: StateSettings,
    advance: Callable[[int], None] = lambda more: None,
) -> Replay:
    """Asks two graphs of a bundle each request in turn, one of which is told of all events before it.

    Args:
        bundle: The bundle, which knows of no event of the window.
        window: The events, in time order.
        requests: The requests, in time order.
        settings: Where the events go.
        advance: Called with 1 after each request.
    """
    frozen, living, record = LocalGraph(bundle), LocalGraph(bundle, state=settings), Record(bundle, settings)
    seconds = window["seconds"].to_numpy()
    sent = stale = position = 0
    answers: list[list[Rows]] = [[], []]
    for request in requests:
        before = int(np.searchsorted(seconds, request.moment))  # what is in this basket is not among it
        position = _record(record, window.iloc[sent:before], sent) or position
        sent = before
        for graph, listed in zip((living, frozen), answers, strict=True):
            wait = {"min_position": position, "deadline_ms": WAIT_MS} if graph is living and position else {}
            reply = graph.search(
                request.query, request.user, k=FIRST, fields=[], context={"timestamp": request.moment}, **wait
            )
            stale += bool(wait) and "stale" in json.loads(reply["STATUS"][0, 0]).get("degraded", [])
            ids = [item.decode() for item in reply["ITEM_ID"][0] if item]
            listed.append(np.asarray([bundle.items.row(item) for item in ids], np.int32))
        advance(1)
    _record(record, window.iloc[sent:], sent)
    stored = State.open(settings).log.size()
    record.close()
    return Replay(requests, answers[0], answers[1], len(window), stored, stale)


def report_figures(replay: Replay) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the report's figures, and what each means."""
    live, frozen = _ndcg(replay.live, replay), _ndcg(replay.frozen, replay)
    searched = np.asarray([bool(request.query) for request in replay.requests])
    figures: dict[str, Any] = {}
    meanings: dict[str, str] = {}
    for kind, of_kind in (("search", searched), ("recommendation", ~searched)):
        if of_kind.sum() < 2:
            continue
        gain = compare(live[of_kind], frozen[of_kind], SEED)
        figures |= {
            f"replay_{kind}_requests": int(of_kind.sum()),
            f"replay_{kind}_live_ndcg_at_10": round(float(live[of_kind].mean()), 4),
            f"replay_{kind}_frozen_ndcg_at_10": round(float(frozen[of_kind].mean()), 4),
            f"replay_{kind}_gain": round(gain.difference, 4),
            f"replay_{kind}_gain_low": round(gain.low, 4),
            f"replay_{kind}_gain_high": round(gain.high, 4),
            f"replay_{kind}_gain_p": max(gain.t_test, gain.wilcoxon, gain.permutation),
        }
        meanings |= {
            f"replay_{kind}_requests": KINDS[kind],
            f"replay_{kind}_live_ndcg_at_10": "nDCG@10 of the graph that learns of each purchase",
            f"replay_{kind}_frozen_ndcg_at_10": "nDCG@10 of the same bundle without them",
            f"replay_{kind}_gain": "their mean difference",
            f"replay_{kind}_gain_low": "lower end of its 95 % interval",
            f"replay_{kind}_gain_high": "upper end",
            f"replay_{kind}_gain_p": "the largest p of three paired tests",
        }
    figures |= {
        "replay_events_sent": replay.sent,
        "replay_events_stored": replay.stored,
        "replay_stale_replies": replay.stale,
    }
    meanings |= {
        "replay_events_sent": "purchases of the 28 days",
        "replay_events_stored": "entries of the log afterwards",
        "replay_stale_replies": "replies that did not know of all purchases before them",
    }
    return figures, meanings


def _export(shop: Path, known: pd.DataFrame, encoder: str, progress: Progress) -> Bundle:
    FOLDER.mkdir(parents=True, exist_ok=True)
    interactions = FOLDER / "interactions.parquet"
    known.drop(columns="seconds").to_parquet(interactions)
    export_bundle(
        inputs=InputFiles(catalog=shop / "catalog.parquet", interactions=interactions),
        encoder=EncoderOptions(source=encoder, text_template=TEMPLATE),
        ranker=RankerOptions(quality="quick"),
        out=OutputOptions(folder=FOLDER / "bundle", force=True, vector_cache=FOLDER / "vectors"),
        progress=progress,
    )
    return Bundle.open(FOLDER / "bundle", verify=())


def _record(record: Record, events: pd.DataFrame, first: int) -> int:
    """Sends events to the model `record`; returns the last position, 0 where there was none to send."""
    position = 0
    for batch in _batches(events, first):
        (answer,) = record.execute([{"EVENTS": string_tensor([[json.dumps(batch).encode()]])}])
        if isinstance(answer, Exception):
            raise answer
        position = max(position, json.loads(answer["STATUS"][0, 0])["position"])
    return position


def _batches(events: pd.DataFrame, first: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(events), BATCH):
        part = events.iloc[start : start + BATCH]
        columns = (part[name].tolist() for name in ("user_id", "item_id", "event", "seconds"))
        yield [
            {"event_id": f"replay-{number}", "user_id": user, "item_id": item, "event": event, "timestamp": moment}
            for number, (user, item, event, moment) in enumerate(zip(*columns, strict=True), start=first + start)
        ]


def _ndcg(listed: list[Rows], replay: Replay) -> NDArray[np.float64]:
    relevant = [request.relevant for request in replay.requests]
    return measure(listed, relevant, {"ndcg_at_10": MEASURES["ndcg_at_10"]})["ndcg_at_10"]
