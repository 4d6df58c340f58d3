"""A server goes from one bundle to another and back under load: nobody's request fails, and no reply mixes the two."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fuserank.client import Client
from fuserank_benchmarks.refreshing import TWIN, write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.switch.folder import SwitchError
from fuserank_ensemble.serving.switch.switch import promote_bundle, rollback_bundle
from fuserank_ensemble.spec import Target
from support.busy_machine import PATIENCE
from support.running import url

QUERY = "milk"
SWITCHES: dict[Target, int] = {"single_process": 20, "ensemble_cpu": 4}
PAUSE_SECONDS = 0.01  # between two requests of a caller: without one the callers take the cores of the rest of the run


@pytest.fixture(scope="module")
def twin(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that answers as the served one does, under ids that begin with `TWIN`."""
    return Bundle.open(write_twin(bundle_root, tmp_path_factory.mktemp("twin") / "twin"))


ASKED: dict[str, Callable[[Client], object]] = {
    "search": lambda client: client.search(QUERY, k=5),
    "recommend": lambda client: client.recommend("u", k=5),
    "similar": lambda client: client.similar(text=QUERY, k=5),
}


@dataclass
class Callers:
    """Threads that ask all the time; what they got is judged as it comes."""

    address: str
    twin: str  # the twin's id
    replies: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    bundles: set[str] = field(default_factory=set)

    @contextmanager
    def asking(self) -> Iterator[None]:
        stopping = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(name, stopping)) for name in ASKED]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join(PATIENCE)

    def _ask(self, name: str, stopping: threading.Event) -> None:
        with Client(self.address, timeout=PATIENCE, retries=0) as client:
            while not stopping.is_set():
                try:
                    reply = ASKED[name](client)
                except Exception as error:  # whatever it is, it is what the test counts
                    self.wrong.append(f"{name}: {error!r}")
                    continue
                self.replies[name] = self.replies.get(name, 0) + 1
                self.bundles.add(reply.status.bundle)
                ids = [item.id for item in reply]
                is_twin = reply.status.bundle == self.twin
                if not ids or any(item.startswith(TWIN) != is_twin for item in ids):
                    self.wrong.append(f"{name}: {reply.status.bundle} answered {ids}")
                stopping.wait(PAUSE_SECONDS)


def test_switching_under_load_fails_nobody_and_mixes_nothing(
    server: Server, target: Target, bundle_root: Path, bundle: Bundle, twin: Bundle
):
    callers, seconds = Callers(url(server), twin.id), []
    try:
        with callers.asking(), Client(url(server), timeout=PATIENCE) as client:
            for number in range(SWITCHES[target]):
                started = time.monotonic()
                promoted = bundle if number % 2 else twin
                if number % 4 == 3:
                    rollback_bundle(server.switch, PATIENCE)
                else:
                    promote_bundle(server.switch, promoted.root, PATIENCE)
                seconds.append(time.monotonic() - started)
                # Whoever asks after the command has ended is answered from the new bundle.
                replies = [*(ask(client) for ask in ASKED.values()), client.embed([QUERY]), client.rerank(QUERY, ["a"])]
                assert {reply.status.bundle for reply in replies} == {promoted.id}
        print(f"{target}: replies {callers.replies}; seconds {seconds[0]:.2f}, then at most {max(seconds[1:]):.2f}")
        assert callers.wrong == []
        assert callers.bundles == {bundle.id, twin.id}
        assert min(callers.replies[name] for name in ASKED) > SWITCHES[target]
        assert server.dead_stages() == []
        with pytest.raises(SwitchError, match="nothing was promoted"):  # the last was a rollback
            rollback_bundle(server.switch)
        with pytest.raises(SwitchError, match="is served already"):
            promote_bundle(server.switch, bundle_root)
    finally:
        # Other tests have the same server.
        if server.switch.wanted().active != bundle.id:
            promote_bundle(server.switch, bundle_root, PATIENCE)
