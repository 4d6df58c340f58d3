"""A real Triton with a log: what is recorded counts in the next answer, whoever serves it, and outlives any process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from fuserank.client import Client
from fuserank.errors import FuseRankError, IncompatibleServerError
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.live.past import PastFeatures
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.state.settings import StateSettings, open_log
from support.busy_machine import PATIENCE
from support.redis_server import RedisServer, start_redis
from support.running import (
    BESIDE,
    FUSERANK,
    RECORDS_ONLY,
    assert_no_traceback,
    endpoints,
    options,
    raw_inputs,
    refusal,
    stub_pids,
    text_tensor,
    tritonserver,
    url,
)

pytestmark = pytest.mark.targets("single_process", reason="a server with a state each; what differs has its own test")


@pytest.fixture(scope="module")
def live(live_server: Server) -> Iterator[Client]:
    with Client(url(live_server), timeout=PATIENCE) as connected:
        yield connected


def purchase(item: str, user: str, **more: object) -> dict[str, object]:
    return {"item_id": item, "event": "purchase", "user_id": user, **more}


def last_of(client: Client, user: str) -> str:
    """An item that is recommended to somebody of whom nothing is known, but not among the first."""
    return client.recommend(user, k=60)[-1].id


def test_a_purchase_leads_the_next_answer_and_nobody_elses(live: Client):
    before = live.recommend("stranger", k=10)
    assert (before.status.user_known, before.status.degraded) == (False, ())
    item = last_of(live, "stranger")
    recorded = live.record([purchase(item, "stranger")])
    assert (recorded.recorded, recorded.rejected, recorded.unknown_items) == (1, 0, 0)
    after = live.recommend("stranger", k=10, min_position=recorded.position)
    assert after[0].id == item
    assert after.status.user_known
    assert after.status.position is not None
    assert after.status.position >= recorded.position
    assert after.status.degraded == ()
    others = live.recommend("another", k=10)
    assert not others.status.user_known
    assert others[0].id == before[0].id


def test_what_the_ranker_read_is_computed_again_bit_by_bit(live: Client, live_server: Server, bundle: Bundle):
    item = last_of(live, "sampled")
    position = live.record([purchase(item, "sampled")]).position
    shown = [
        live.search("milk", "sampled", k=5, min_position=position),
        live.recommend("sampled", min_position=position),
    ]
    past, wanted = PastFeatures(bundle, live_server.state), {tuple(one.id for one in listed) for listed in shown}
    deadline = time.monotonic() + PATIENCE
    while True:
        kept = [sample for at, sample in past.samples() if at > position and tuple(sample.items) in wanted]
        if len(kept) >= len(wanted):
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [past.of_sample(sample).tobytes() == sample.features for sample in kept] == [True] * len(kept)
    past.close()


def test_every_reply_names_the_arm_of_who_asks_and_impressions_take_it_over(live: Client):
    arms = [live.search("milk", user=f"dealt-{number}", k=1).status.arm for number in range(12)]
    assert set(arms) == {"alike/a", "alike/b"}
    assert arms == [live.recommend(f"dealt-{number}", k=1).status.arm for number in range(12)]
    assert live.search("milk", k=1).status.arm == ""
    shown = {"item_id": "i0001", "event": "impression", "user_id": "dealt-0", "position": 1, "arm": arms[0]}
    assert live.record([shown]).recorded == 1


def test_an_answer_knows_what_was_recorded_before_it_without_being_told_to_wait(live: Client):
    item = last_of(live, "eventually")
    live.record([purchase(item, "eventually")])
    deadline = time.monotonic() + PATIENCE
    while live.recommend("eventually", k=1)[0].id != item:
        assert time.monotonic() < deadline


def test_every_instance_knows_the_log(live: Client):
    item = last_of(live, "each")
    position = live.record([purchase(item, "each")]).position
    firsts: list[str] = []

    def ask() -> None:
        firsts.extend(live.recommend("each", k=1, min_position=position)[0].id for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert firsts == [item] * 40


def test_a_thousand_events_with_bad_ones_among_them_are_kept_but_for_these(live: Client):
    events = [purchase("i0001", f"many-{n % 7}", event_id=f"many-{n}") for n in range(1_000)]
    events[17], events[500] = {**events[17], "event": "purchse"}, {**events[500], "value": "x"}
    result = live.record(events)
    assert (result.recorded, result.rejected) == (998, 2)
    assert {place: outcome.error.field for place, outcome in enumerate(result.events) if outcome.error} == {
        17: "event",
        500: "value",
    }
    again = live.record(events)
    assert (again.recorded, again.duplicates, again.position) == (0, 998, result.position)


def test_what_is_no_batch_is_refused_with_the_field_and_what_is_allowed(live_server: Server):
    with triton.InferenceServerClient(url(live_server)) as client:
        for raw in (b"", b"{}", b"[]", b"\xff", b"[" + b"1," * 1_000 + b"1]"):
            code, message = refusal(client, [text_tensor("EVENTS", [[raw]])], "record")
            assert code == "INVALID_ARGUMENT"
            assert "EVENTS: found" in message
            assert "allowed: " in message
            assert_no_traceback(message)


def test_a_hidden_item_is_gone_and_a_session_counts_until_it_logs_in(live: Client):
    first = live.recommend("hider", k=1)[0].id
    position = live.record([{"item_id": first, "event": "hide", "user_id": "hider"}]).position
    assert first not in [item.id for item in live.recommend("hider", k=60, min_position=position)]
    item = last_of(live, "visitor")
    position = live.record([{"item_id": item, "event": "cart", "session_id": "visit"}]).position
    assert live.search("", "", session_id="visit", k=1, min_position=position)[0].id == item
    change = live.merge("visitor", from_session="visit")
    assert change.merged == 1
    assert live.recommend("visitor", k=1, min_position=change.position)[0].id == item


def test_a_user_of_the_bundle_is_forgotten_and_opts_out(live: Client, bundle: Bundle):
    def first_ids(user: str, position: int) -> list[str]:
        return [item.id for item in live.recommend(user, k=10, min_position=position)]

    assert live.recommend("u09", k=10).status.user_known
    out = live.opt_out("u09").position
    answer = live.recommend("u09", k=10, min_position=out)
    assert ([item.id for item in answer], answer.status.opted_out) == (first_ids("nobody", out), True)
    live.opt_in("u09")
    assert live.profile("u09").bundles == [bundle.id]
    change = live.forget("u09")
    assert change.bundles == [bundle.id]
    answer = live.recommend("u09", k=10, min_position=change.position)
    assert ([item.id for item in answer], answer.status.user_known) == (first_ids("nobody", change.position), False)
    assert live.profile("u09").forgotten


def test_nothing_that_a_server_writes_names_a_user_or_a_session(
    live: Client, live_server: Server, place: str, bundle: Bundle
):
    user, other, visit, another = (f"{kind}-with-a-telling-name-{n}" for kind in ("user", "visit") for n in (1, 2))
    done = [purchase("i0001", user, session_id=visit), {"item_id": "i0002", "event": "cart", "session_id": another}]
    position = live.record(done).position
    for query, asks, session in (("milk", user, ""), ("", other, another), ("milk", "", visit)):
        live.search(query, asks, min_position=position, session_id=session)
    live.similar("i0001", user=user)
    live.merge(user, from_session=visit)
    live.merge(other, from_user=user)
    live.opt_out(other)
    live.profile(user)
    # What is refused quotes the caller's own words in the answer, and nowhere else.
    live.record(
        [{"item_id": "i0001", "event": user, "user_id": user}, {"item_id": user, "user_id": 7, "event": "view"}]
    )
    with triton.InferenceServerClient(url(live_server)) as client:
        for inputs in (
            raw_inputs(user=user.encode(), options=options(k=0, session_id=visit)),
            raw_inputs(user=user.encode(), options=options(session_id=[visit])),
            raw_inputs(user=user.encode() + b"\xff"),
            raw_inputs(options=b'{"session_id": "' + visit.encode()),
        ):
            refusal(client, inputs)
        refusal(client, [text_tensor("EVENTS", [[b'{"user_id": "%s"' % user.encode()]])], "record")
        for action, given in (("forgt", b"{}"), ("merge", options(from_user=user, from_session=visit))):
            tensors = {"USER_ID": user.encode(), "ACTION": action.encode(), "OPTIONS": given}
            refusal(client, [text_tensor(name, [[value]]) for name, value in tensors.items()], "profile")
    live.forget(other)
    metrics = f"http://127.0.0.1:{live_server.endpoints.metrics}/metrics"
    with urllib.request.urlopen(metrics, timeout=PATIENCE) as reply:
        written = {"metrics": reply.read(), "log": live_server.logs().encode()}
    folders = (Path(place.removeprefix("sqlite:")).parent, live_server.switch.path, bundle.root)
    written |= {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert any(path.endswith("log.sqlite") for path in written)
    for name in (user, other, visit, another):
        assert [path for path, content in written.items() if name.encode() in content] == []
    assert all(name.startswith("hash:") for name in bundle.user_names())


def test_a_replica_that_comes_later_knows_all_and_both_go_on_together(live: Client, bundle_root: Path, place: str):
    item = last_of(live, "mover")
    position = live.record([purchase(item, "mover")]).position
    with (
        Server(bundle_root, endpoints(), "ensemble_cpu", state=StateSettings(place), without=RECORDS_ONLY) as second,
        Client(url(second), timeout=PATIENCE) as other,
    ):
        answer = other.recommend("mover", k=1)
        assert answer[0].id == item
        assert answer.status.position is not None
        assert answer.status.position >= position
        another = last_of(live, "stayer")
        position = other.record([purchase(another, "stayer")]).position
        assert live.recommend("stayer", k=1, min_position=position)[0].id == another


def test_a_server_without_the_models_that_change_the_state_reads_it_and_changes_nothing(
    live: Client, bundle_root: Path, place: str
):
    item = last_of(live, "reader")
    position = live.record([purchase(item, "reader")]).position
    closed = ("record", "catalog", "profile")
    with (
        Server(bundle_root, endpoints(), state=StateSettings(place), without=(*BESIDE, *closed)) as second,
        Client(url(second), timeout=PATIENCE) as other,
    ):
        assert other.recommend("reader", k=1, min_position=position)[0].id == item
        for change in (
            lambda: other.record([purchase(item, "reader")]),
            lambda: other.delete([item]),
            lambda: other.forget("reader"),
        ):
            with pytest.raises(IncompatibleServerError):
                change()
        for model in closed:
            address = f"http://127.0.0.1:{second.endpoints.http}/v2/models/{model}/infer"
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(address, b"{}", timeout=PATIENCE)
            assert caught.value.code in (400, 404)
    assert live.recommend("reader", k=1)[0].id == item


def test_a_server_without_a_state_answers_as_ever_and_records_nothing(client: Client):
    with pytest.raises(IncompatibleServerError, match="fuserank serve --state"):
        client.record([purchase("i0001", "u")])
    assert client.search("milk").status.position is None


def kill(server: Server) -> None:
    """Ends a server and its stages without a word."""
    process = tritonserver(server.endpoints.grpc)
    assert process is not None
    for pid in (*stub_pids(server), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait(PATIENCE)


def test_what_was_acknowledged_is_there_after_everything_was_killed(bundle_root: Path, tmp_path: Path):
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    acknowledged: list[str] = []
    server = Server(bundle_root, endpoints(), state=settings, without=RECORDS_ONLY).start()
    try:
        with Client(url(server), timeout=PATIENCE, retries=0) as client:
            killer = threading.Timer(1.0, kill, [server])
            killer.start()
            try:
                while True:
                    names = [f"e{len(acknowledged) + n}" for n in range(5)]
                    client.record([purchase("i0001", "u", event_id=name) for name in names])
                    acknowledged += names
            except FuseRankError:
                killer.join()
    finally:
        server.stop()
    assert acknowledged
    log = open_log(settings.place)
    kept = [logged.entry.event_id for logged in log.read(0, 10**6)]
    log.close()
    # What was not acknowledged may be there, too: all of its call or nothing.
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) in (0, 5)
    with (
        Server(bundle_root, endpoints(), state=settings, without=RECORDS_ONLY) as again,
        Client(url(again), timeout=PATIENCE) as client,
    ):
        assert client.recommend("u", k=1)[0].id == "i0001"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def test_over_redis_another_server_sees_it_and_a_restart_of_redis_loses_nothing(redis: RedisServer, bundle_root: Path):
    settings = StateSettings(redis.url)
    with (
        Server(bundle_root, endpoints(), state=settings, without=RECORDS_ONLY) as first,
        Client(url(first), timeout=PATIENCE) as client,
    ):
        item = last_of(client, "u")
        position = client.record([purchase(item, "u", event_id="one")]).position
        assert client.recommend("u", k=1, min_position=position)[0].id == item
        redis.kill()
        deadline = time.monotonic() + PATIENCE
        while "stale" not in client.recommend("u", k=1).status.degraded:
            assert time.monotonic() < deadline
        assert client.recommend("u", k=1)[0].id == item
        redis.start()
        while client.recommend("u", k=1).status.degraded:
            assert time.monotonic() < deadline + PATIENCE
        again = client.record([purchase(item, "u", event_id="one"), purchase(item, "u", event_id="two")])
        assert (again.duplicates, again.recorded) == (1, 1)
        assert again.position > position


def test_the_command_serves_with_a_state_beside_the_bundle_and_records(bundle_root: Path, tmp_path: Path):
    bundle = tmp_path / "shop"
    bundle.symlink_to(bundle_root)
    ports = endpoints()
    command = [FUSERANK, "serve", str(bundle), "--http-port", str(ports.http), "--grpc-port", str(ports.grpc)]
    command += [word for model in (*BESIDE, "catalog") for word in ("--without", model)]
    command += ["--metrics-port", str(ports.metrics), "--state", f"sqlite:{tmp_path / 'shop.state' / 'log.sqlite'}"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        lines = [serving.stdout.readline() for _ in range(2)]
        assert "ready after" in lines[0]
        assert lines[1] == f"events are kept in sqlite:{tmp_path / 'shop.state' / 'log.sqlite'}\n"

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            whole = [FUSERANK, *arguments, "--url", f"127.0.0.1:{ports.grpc}", "--timeout", str(PATIENCE)]
            return subprocess.run(whole, check=False, capture_output=True, text=True)

        done = run("record", "--user", "u", "--item", "i0007", "--event", "purchase", "--json")
        assert done.returncode == 0, done.stderr
        position = json.loads(done.stdout)["position"]
        found = run("recommend", "u", "-k", "1", "--min-position", str(position), "--json")
        assert json.loads(found.stdout)["items"][0]["id"] == "i0007"
        assert "erased 1" in run("forget", "u").stdout
    finally:
        serving.terminate()
        serving.wait(PATIENCE)
