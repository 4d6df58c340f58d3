"""A real server whose experiment has an arm with a bundle of its own: both answer, under load, each to its people."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from fuserank.client import Client
from fuserank.types import Request, SearchResult
from fuserank_benchmarks.refreshing import TWIN, write_twin
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.experiment import read_experiment
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.switch.folder import SwitchError
from fuserank_ensemble.serving.switch.switch import promote_bundle
from fuserank_ensemble.state.settings import State, StateSettings
from support.busy_machine import PATIENCE
from support.running import BESIDE, OF_STATE, endpoints, url

SECONDS = 1.5  # of load
LEAST = 3  # turns of each caller, however busy the machine is
PAUSE_SECONDS = 0.01


def test_a_real_server_answers_each_arm_from_its_bundle(bundle_root: Path, tmp_path: Path):
    twin = Bundle.open(write_twin(bundle_root, tmp_path / "twin"), verify=())
    file = tmp_path / "ab.toml"
    file.write_text(
        'name = "ab"\n[[arms]]\nname = "control"\nshare = 0.4\n[[arms]]\nname = "twin"\nshare = 0.4\nbundle = "twin"\n'
    )
    settings, experiment = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"), read_experiment(file)
    with Server(
        bundle_root, endpoints(), "single_process", state=settings, experiment=file, without=(*BESIDE, *OF_STATE)
    ) as server:
        state = State.open(settings)
        state.log.close()
        users = [f"user-{number}" for number in range(60)]
        arms = [experiment.assign(state.key.user(user)) for user in users]
        expected = {user: experiment.label(arm) if arm else "" for user, arm in zip(users, arms, strict=True)}
        assert set(expected.values()) == {"ab/control", "ab/twin", ""}
        ids = {label: twin.id if label == "ab/twin" else server.bundle.id for label in expected.values()}
        wrong: list[str] = []
        replies = [0, 0]

        def check(user: str, reply: SearchResult) -> None:
            label, items = expected[user], [item.id for item in reply]
            own = {item.startswith(TWIN) for item in items} == {label == "ab/twin"}
            if not own or (reply.status.arm, reply.status.bundle) != (label, ids[label]):
                wrong.append(f"{user} of {label}: {reply.status.arm} of {reply.status.bundle} answered {items}")

        def ask(caller: int) -> None:
            with Client(url(server), timeout=PATIENCE, retries=0) as client:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end or replies[caller] < LEAST:
                    try:
                        user = users[replies[caller] % len(users)]
                        check(user, client.search("milk", user=user, k=5))
                        several = client.search_batch([Request(query="milk", user=each, k=3) for each in users[:6]])
                        for each, reply in zip(users[:6], several, strict=True):
                            check(each, reply)
                    except Exception as error:  # whatever it is, it is what the test counts
                        wrong.append(repr(error))
                    replies[caller] += 1
                    time.sleep(PAUSE_SECONDS)

        threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert wrong == []
        assert min(replies) >= LEAST
        with pytest.raises(SwitchError, match=f"compares the served bundle with {twin.id}"):
            promote_bundle(server.switch, twin.root)
        assert server.dead_stages() == []
