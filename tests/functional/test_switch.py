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
from fuserank_benchmarks.refreshing import write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.switch.folder import SwitchError
from fuserank_ensemble.serving.switch.switch import promote_bundle, rollback_bundle
from fuserank_ensemble.spec import Target
from fuserank_ensemble.state.settings import StateSettings
from support.busy_machine import PATIENCE, lengthen_queues
from support.running import endpoints, url

QUERY = "绿茶"
PAUSE_SECONDS = 0.01  # between two requests of a caller: without one the callers take the cores of the rest of the run


@dataclass
class Twins:
    """Two bundles, each of whose ids begin with a letter of its own."""

    first: Path
    second: Path
    prefixes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for root, prefix in ((self.first, "a"), (self.second, "b")):
            self.prefixes[Bundle.open(root, verify=()).id] = prefix


@pytest.fixture(scope="module")
def twins(first_day_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder = tmp_path_factory.mktemp("twins")
    made = Twins(*(write_twin(first_day_root, folder / name, prefix=name) for name in "ab"))
    for bundle in (made.first, made.second):
        lengthen_queues(bundle)
    return made


ASKED: dict[str, Callable[[Client], object]] = {
    "search": lambda client: client.search(QUERY, k=5),
    "recommend": lambda client: client.recommend("u", k=5),
    "similar": lambda client: client.similar(text=QUERY, k=5),
}


@dataclass
class Callers:
    """Threads that ask all the time; what they got is judged as it comes."""

    address: str
    prefixes: dict[str, str]
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
                if not ids or any(item[0] != self.prefixes[reply.status.bundle] for item in ids):
                    self.wrong.append(f"{name}: {reply.status.bundle} answered {ids}")
                stopping.wait(PAUSE_SECONDS)


@pytest.mark.parametrize(("runs_as", "switches"), [("single_process", 20), ("ensemble_cpu", 4)])
def test_switching_under_load_fails_nobody_and_mixes_nothing(
    twins: Twins, tmp_path: Path, runs_as: Target, switches: int
):
    state = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    with Server(twins.first, endpoints(), runs_as, state=state) as server:
        callers = Callers(url(server), twins.prefixes)
        taken = []
        with callers.asking(), Client(url(server), timeout=PATIENCE) as client:
            for number in range(switches):
                started = time.monotonic()
                promoted = (twins.second, twins.first)[number % 2]
                if number % 4 == 3:
                    rollback_bundle(server.switch, PATIENCE)
                else:
                    promote_bundle(server.switch, promoted, PATIENCE)
                taken.append(time.monotonic() - started)
                served = Bundle.open(promoted, verify=()).id
                # Whoever asks after the command has ended is answered from the new bundle.
                assert {client.search(QUERY).status.bundle, client.similar(text=QUERY).status.bundle} == {served}
                assert client.record([{"item_id": "x", "event": "view", "user_id": "u"}]).recorded == 1
        print(f"{runs_as}: replies {callers.replies}; seconds {taken[0]:.2f}, then at most {max(taken[1:]):.2f}")
        assert callers.wrong == []
        assert callers.bundles == set(twins.prefixes)
        assert min(callers.replies[name] for name in ASKED) > switches
        assert server.dead_stages() == []
        with pytest.raises(SwitchError, match="nothing was promoted"):  # the last was a rollback
            rollback_bundle(server.switch)
        with pytest.raises(SwitchError, match="is served already"):
            promote_bundle(server.switch, promoted)
