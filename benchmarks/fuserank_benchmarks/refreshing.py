"""What it costs to make the next bundle, and whether switching to it disturbs anybody."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from fuserank.client import Client
from fuserank.types import SearchResult
from fuserank_ensemble.bundle import MANIFEST, Bundle
from fuserank_ensemble.serving.switch.folder import SwitchFolder
from fuserank_ensemble.serving.switch.switch import promote_bundle
from fuserank_ensemble.state.entries import Entry, Interaction, ItemChange
from fuserank_ensemble.state.keys import carry_key, key_file_beside
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_export.builder.options import OutputOptions
from fuserank_export.progress import Progress
from fuserank_export.refresh.events import link
from fuserank_export.refresh.refresh import refresh_bundle
from fuserank_export.repository.sealing import seal

CHANGE = 0.01  # of the events and of the items
RETITLED = 0.2  # of the changed items; the others have another price
BATCH = 1_000
SWITCHES = 20
TWIN = "twin-"  # no item's id begins so
ASKED: Mapping[str, Callable[[Client, str], SearchResult]] = {
    "search": lambda client, query: client.search(query, k=5),
    "recommend": lambda client, query: client.recommend("nobody", k=5),
    "similar": lambda client, query: client.similar(text=query, k=5),
}


def append_change(bundle: Bundle, state: State) -> None:
    """Appends events and changes of items, one for each hundred that the bundle has."""
    draw = np.random.default_rng(3)
    items = [item.decode() for item in bundle.items.ids.tolist()]
    users = [state.key.user(name.decode()) for name in bundle.histories.users.tolist()]
    start = float(bundle.manifest["log_end"])
    entries: list[Entry] = [
        Interaction(
            event_id=uuid.uuid4().hex,
            item_id=items[int(draw.integers(len(items)))],
            event="purchase",
            timestamp=start + number,
            user=users[int(draw.integers(len(users)))],
        )
        for number in range(round(CHANGE * bundle.manifest["counts"]["events"]))
    ]
    changed = draw.permutation(len(items))[: round(CHANGE * len(items))].tolist()
    for number, row in enumerate(changed):
        title = {"title": f"another title, number {number}"} if number < RETITLED * len(changed) else {}
        entries.append(
            ItemChange(event_id=uuid.uuid4().hex, item_id=items[row], fields={"price": 1.0 + number, **title})
        )
    for begin in range(0, len(entries), BATCH):
        state.log.append(entries[begin : begin + BATCH])


def measure_refresh(bundle: Bundle, folder: Path, console: Console) -> tuple[Path, dict[str, float]]:
    """Refreshes a bundle after a change of one in a hundred.

    Returns:
        The next bundle, and the figures.
    """
    state = State.open(StateSettings(f"sqlite:{folder / 'refresh.sqlite'}", key_file_beside(bundle.root)))
    append_change(bundle, state)
    out = folder / "next"
    started = time.monotonic()
    manifest = refresh_bundle(bundle, state, OutputOptions(folder=out), Progress(console))
    seconds = time.monotonic() - started
    state.log.close()
    assert manifest is not None, "the log holds what was appended"
    whole = float(bundle.manifest["export_seconds"])
    console.print(f"refresh: {seconds:.1f} s of {whole:.1f} s; steps {manifest['export_steps']}")
    return out, {
        "refresh_seconds": round(seconds, 1),
        "refresh_share_of_full_export": round(seconds / whole, 3),
        "refresh_ndcg_loss_relative": manifest["refresh"]["gate"]["ndcg_loss_relative"],
    }


def write_twin(bundle: Path, out: Path, prefix: str = TWIN) -> Path:
    """Writes a later bundle whose answers are another one's but for a prefix of the ids; returns its folder.

    Files that do not differ are linked: nobody may write into them.
    """
    shutil.copytree(bundle, out, copy_function=_link)
    carry_key(bundle, out)
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8")) | {"created": datetime.now(UTC).isoformat()}
    ids = Path("index") / "items" / "ids.npy"
    for name in (ids, Path(MANIFEST)):
        (out / name).unlink()
    np.save(out / ids, np.char.add(prefix.encode(), np.load(bundle / ids)))
    known = {name: digest for name, digest in manifest["files"].items() if name != ids.as_posix()}
    seal(out, {name: value for name, value in manifest.items() if name not in ("id", "files")}, known)
    return out


def _link(source: str, target: str) -> None:
    link(Path(source), Path(target))


@dataclass
class _Callers:
    """Threads that ask without a pause, and what is wrong with what they got."""

    url: str
    query: str
    twin: str  # the twin's id
    replies: int = 0
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Asks while the block runs."""
        stopping = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(kind, stopping)) for kind in ASKED]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def _ask(self, kind: str, stopping: threading.Event) -> None:
        with Client(self.url, retries=0) as client:
            while not stopping.is_set():
                try:
                    reply = ASKED[kind](client, self.query)
                except Exception as error:  # whatever it is, it is what is counted
                    self.wrong.append(f"{kind}: {error!r}")
                    continue
                self.replies += 1
                is_twin = reply.status.bundle == self.twin
                if not len(reply) or any(item.id.startswith(TWIN) != is_twin for item in reply):
                    self.wrong.append(f"{kind}: {reply.status.bundle} answered {[item.id for item in reply]}")


def measure_switches(url: str, query: str, bundle: Path, twin: Path) -> dict[str, float]:
    """Switches a server that serves a bundle to its twin and back while others ask."""
    folder = SwitchFolder.of_port(int(url.rpartition(":")[2]))
    callers, seconds = _Callers(url, query, Bundle.open(twin, verify=()).id), []
    with callers.asking():
        for number in track(range(SWITCHES), "switching", transient=True):
            started = time.monotonic()
            promote_bundle(folder, bundle if number % 2 else twin)
            seconds.append(time.monotonic() - started)
    for what in callers.wrong[:3]:
        sys.stderr.write(f"{what}\n")
    return {
        "failed_or_mixed_in_20_switches": len(callers.wrong),
        "replies_in_20_switches": callers.replies,
        "switch_p50_seconds": round(float(np.median(seconds)), 2),
    }
