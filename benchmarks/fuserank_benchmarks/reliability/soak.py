"""A server under load for long: whether memory, descriptors, shared memory or latency grow.

Searches come at a share of the peak, with events, changed items, and switches to another bundle and back beside them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from fuserank.client import Client
from fuserank_benchmarks.demo import free_ports, served
from fuserank_benchmarks.inputs.queries import ShopVocabulary
from fuserank_benchmarks.live_load import record_message
from fuserank_benchmarks.load.open_loop import Outcome, Plan, send_from_process
from fuserank_benchmarks.refreshing import write_twin
from fuserank_benchmarks.reliability.overload import DEADLINE_MS, Place, measure_peak
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.switch.folder import SwitchFolder
from fuserank_ensemble.serving.switch.switch import promote_bundle
from fuserank_evaluation.reports.report import merge_report

SHARE_OF_PEAK = 0.7
EVENTS = 10.0  # a second
CHANGES_SECONDS = 1.0  # between changes of an item's price
SWITCHES = 8  # over the whole time, half of them in the warm-up
WARM_UP = 0.5  # of the time: both bundles are opened, and the caches of both fill
SAMPLES = 120
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  what Triton uses, and whoever else does on this machine
MESSAGES = 20_000  # after them the first ones come again

MEANINGS = {
    "soak_minutes": "minutes of load, half of them a warm-up",
    "soak_requests_per_second": f"searches a second, {SHARE_OF_PEAK:.0%} of what callers without a pause got before",
    "soak_memory_mb": "MB of the server's processes at the end, without what files are mapped to",
    "soak_memory_mb_per_minute": "MB that they grew each minute after the warm-up, fitted by a line",
    "soak_descriptors_growth": "open descriptors more at the end than after the warm-up, means of a tenth of the time",
    "soak_shared_memory_mb_growth": "MB more in /dev/shm, the same",
    "soak_p50_drift": "median latency of the last tenth over that after the warm-up",
    "soak_p99_drift": "99th percentile, the same",
    "soak_p99_ms": "ms of all searches after the warm-up: 99th percentile",
    "soak_refused": "searches that were refused",
    "soak_failed": "searches that failed otherwise, or had no answer within 10 s",
    "soak_events": "events that were recorded",
    "soak_events_failed": "events that were refused or failed",
    "soak_changes": "changes of prices",
    "soak_switches": "switches to another bundle of the same answers, or back",
}


@dataclass(frozen=True)
class Sample:
    """What the server held at a moment, in seconds from the start; memory in MB."""

    at: float
    memory: float  # that lies in no file: pages of the index come and go as the system likes
    descriptors: int
    shared_memory: float


def take_sample(process: psutil.Process, at: float) -> Sample:
    """Looks at a server's processes and at shared memory."""
    parts = (process, *process.children(recursive=True))
    memory = sum(mapped.anonymous for part in parts for mapped in part.memory_maps())
    descriptors = sum(part.num_fds() for part in parts)
    return Sample(at, memory / 1e6, descriptors, shutil.disk_usage(SHARED_MEMORY).used / 1e6)


def summarize(samples: Sequence[Sample], outcome: Outcome) -> dict[str, float]:
    """The figures of what was seen of a server, and of its searches, after the warm-up."""
    start, end = outcome.seconds * WARM_UP, outcome.seconds
    tenth = outcome.seconds / 10
    warm = [sample for sample in samples if start <= sample.at < end]
    slope = np.polyfit([sample.at / 60 for sample in warm], [sample.memory for sample in warm], 1)[0]

    def grown(value: Callable[[Sample], float]) -> float:
        first, last = (
            [value(sample) for sample in warm if low <= sample.at < high]
            for low, high in ((start, start + tenth), (end - tenth, end))
        )
        return float(np.mean(last) - np.mean(first))

    early, late = outcome.due_within(start, start + tenth), outcome.due_within(end - tenth, end)
    return {
        "soak_memory_mb": round(warm[-1].memory, 1),
        "soak_memory_mb_per_minute": round(float(slope), 3),
        "soak_descriptors_growth": round(grown(lambda sample: sample.descriptors), 1),
        "soak_shared_memory_mb_growth": round(grown(lambda sample: sample.shared_memory), 2),
        "soak_p50_drift": round(float(np.percentile(late, 50) / np.percentile(early, 50)), 3),
        "soak_p99_drift": round(float(np.percentile(late, 99) / np.percentile(early, 99)), 3),
        "soak_p99_ms": round(float(np.percentile(outcome.due_within(start, end), 99)), 1),
        "soak_refused": len(outcome.refused),
        "soak_failed": outcome.failed,
    }


@dataclass
class Disturbance:
    """What happens beside the searches: changed prices, and switches between a bundle and its twin.

    Attributes:
        url: gRPC's address.
        bundles: The two, the twin first.
        items: Ids whose price is changed.
        seconds: How long it all takes.
        changes: How many prices were changed.
        switches: How many switches there were.
    """

    url: str
    bundles: tuple[Path, Path]
    items: Sequence[str]
    seconds: float
    changes: int = 0
    switches: int = 0

    def run(self) -> None:
        """Changes and switches until the time is over."""
        started = time.monotonic()
        folder = SwitchFolder.of_port(int(self.url.rpartition(":")[2]))
        with Client(self.url) as client:
            while (passed := time.monotonic() - started) < self.seconds - CHANGES_SECONDS:
                if passed >= (self.switches + 1) * self.seconds / (SWITCHES + 1):
                    promote_bundle(folder, self.bundles[self.switches % 2])
                    self.switches += 1
                price = 1.0 + self.changes % 50
                client.upsert([{"item_id": self.items[self.changes % len(self.items)], "price": price}])
                self.changes += 1
                time.sleep(CHANGES_SECONDS)


@contextmanager
def sampling(process: psutil.Process, seconds: float) -> Iterator[list[Sample]]:
    """Samples a server's processes while the block runs; yields the list that fills."""
    samples: list[Sample] = []
    stopping, started = threading.Event(), time.monotonic()

    def sample() -> None:
        while not stopping.wait(seconds / SAMPLES):
            samples.append(take_sample(process, time.monotonic() - started))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stopping.set()
        thread.join()


def soak(place: Place, bundle: Path, twin: Path, shop: ShopVocabulary, minutes: float) -> dict[str, float]:
    """Loads a running server that serves a bundle; returns the figures of `MEANINGS`.

    Args:
        place: Where it is.
        bundle: The bundle's folder.
        twin: A bundle of the same answers, to switch to.
        shop: What requests are drawn from.
        minutes: How long.
    """
    seconds = minutes * 60
    items = [item.decode() for item in Bundle.open(bundle, verify=()).items.ids[:500].tolist()]
    options = f'{{"deadline_ms":{DEADLINE_MS:.0f}}}'
    requests = shop.draw(MESSAGES, "none").requests(options=options)
    rate = SHARE_OF_PEAK * measure_peak(place.url, requests, seconds=max(seconds / 60, 2.0))
    events = [(record_message(user, items[at % len(items)]),) for at, (_, user, _) in enumerate(requests)]
    beside = Disturbance(place.url, (twin, bundle), items, seconds)
    with sampling(server_process(place.url), seconds) as samples, ThreadPoolExecutor(2) as pool:
        searched = pool.submit(send_from_process, Plan(place.url, requests, rate, seconds, deadline_ms=DEADLINE_MS))
        recorded = pool.submit(send_from_process, Plan(place.url, events, EVENTS, seconds, seed=11, model="record"))
        beside.run()
        outcome, written = searched.result(), recorded.result()
    return {
        "soak_minutes": minutes,
        "soak_requests_per_second": round(outcome.sent / seconds, 1),
        **summarize(samples, outcome),
        "soak_events": len(written.answered),
        "soak_events_failed": len(written.refused) + written.failed,
        "soak_changes": beside.changes,
        "soak_switches": beside.switches,
    }


def server_process(url: str) -> psutil.Process:
    """Returns the `fuserank serve` of this process that listens on a gRPC address."""
    port = url.rpartition(":")[2]
    lines = {child: child.cmdline() for child in psutil.Process().children()}
    return next(child for child, line in lines.items() if "serve" in line and port in line)


def measure_soak(bundle: Path, shop: Path, minutes: float, console: Console) -> Path:
    """Serves a bundle with a state under load, and writes the part `soak` of the report `reliability`.

    Args:
        bundle: The bundle to serve.
        shop: Folder of the catalogue's and the log's Parquet files.
        minutes: How long.
        console: Shows progress and figures.

    Returns:
        The report's JSON file.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=f"soak-{uuid.uuid4().hex[:8]}-") as folder:
        twin = write_twin(bundle.resolve(), Path(folder) / "twin", prefix="")
        ports = free_ports(3)
        with served(
            bundle, (ports[0], ports[1], ports[2]), console, state=f"sqlite:{Path(folder).resolve() / 'log.sqlite'}"
        ):
            place = Place(f"127.0.0.1:{ports[1]}", f"http://127.0.0.1:{ports[2]}/metrics")
            console.print(f"{minutes:g} minutes of load", highlight=False)
            figures = soak(place, bundle.resolve(), twin, ShopVocabulary.read(shop), minutes)
    console.print_json(data=figures)
    return merge_report("reliability", "soak", manifest["id"], figures, MEANINGS, {})
