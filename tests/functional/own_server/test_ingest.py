"""A real broker, a real server, a real Redis: whatever ends, comes twice or is broken, the counts reconcile."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fuserank.client import Client
from fuserank.ingest.config import IngestConfig
from fuserank.ingest.delivery import Delivery
from fuserank.ingest.kafka import DeadLetterTopic, Ingest
from fuserank.ingest.metrics import IngestMetrics
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.state.settings import StateSettings, open_log
from support.broker import QUICK_GROUP, Broker, Letter
from support.busy_machine import PATIENCE, wait_until
from support.redis_server import RedisServer, start_redis
from support.running import BESIDE, endpoints, free_ports, url

TOPICS = {"events": 2, "ga4": 1, "segment": 1, "items": 1, "dead": 1}
EVERY_PARTITION = {(t, str(number)) for t, count in TOPICS.items() if t != "dead" for number in range(count)}
GROUP = "shop"
DAY = 86_400.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    running = Broker(tmp_path_factory.mktemp("broker")).start(TOPICS)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = start_redis(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = StateSettings(redis.url, spool=tmp_path_factory.mktemp("spool") / "spool.sqlite")
    # A server writes compiled modules into its folder, and other tests have this bundle, too.
    bundle = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("shop") / "bundle")
    with Server(bundle, endpoints(), state=state, without=(*BESIDE, "profile")) as running:
        yield running


@pytest.fixture(scope="module")
def config(broker: Broker, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches are small, so that something ends in the middle of a stream."""
    path = tmp_path_factory.mktemp("config") / "ingest.toml"
    consumer = "\n".join(f'"{name}" = {value}' for name, value in QUICK_GROUP.items())
    path.write_text(
        f"""
group = "{GROUP}"
dead_letter_topic = "dead"
max_messages = 50
topics = {{ events = "events", ga4 = "ga4", segment = "segment", items = "items" }}
[kafka]
"bootstrap.servers" = "{broker.address}"
"reconnect.backoff.max.ms" = 500
[consumer]
{consumer}
[server]
url = "{url(server)}"
timeout = 30.0
"""
    )
    return path


@dataclass
class Running:
    """An ingest in a thread of this process."""

    config: Path
    metrics: IngestMetrics = field(default_factory=IngestMetrics)

    @contextmanager
    def reading(self) -> Iterator[Running]:
        settings, stopping = IngestConfig.read(self.config, {}), threading.Event()
        with settings.server.open_client() as client:
            delivery = Delivery(client, DeadLetterTopic(settings), settings.open_formats(), self.metrics)
            thread = threading.Thread(target=Ingest(settings, delivery, self.metrics).run, args=(stopping,))
            thread.start()
            try:
                yield self
            finally:
                stopping.set()
                thread.join(PATIENCE)
                assert not thread.is_alive()

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        samples = (sample for metric in self.metrics.registry.collect() for sample in metric.samples)
        wanted = labels.items()
        return sum(s.value for s in samples if s.name == name and wanted <= s.labels.items())

    def partitions(self) -> set[tuple[str, str]]:
        """Those that it reads."""
        samples = (sample for metric in self.metrics.lag.collect() for sample in metric.samples)
        return {(sample.labels["topic"], sample.labels["partition"]) for sample in samples}


def event(event_id: str, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "event": "view", "item_id": "i01", "user_id": "anna", **more}


def encoded(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def logged(redis: RedisServer) -> list[Any]:
    """All entries of the log."""
    log = open_log(redis.url)
    try:
        return [entry.entry for entry in log.read(0, 10**6)]
    finally:
        log.close()


def names(redis: RedisServer, prefix: str) -> list[str]:
    """The ids that begin so, in the order of the log."""
    return [entry.event_id for entry in logged(redis) if entry.event_id.startswith(prefix)]


def reasons(letters: list[Letter]) -> list[tuple[str, str, str]]:
    """What the dead letters say: the topic, the field, what it held."""
    return [
        (letter.headers["fuserank.topic"], reason["field"], reason["found"])
        for letter in letters
        for reason in json.loads(letter.headers["fuserank.reasons"])
    ]


@contextmanager
def killed_at_the_end(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Kills a process that has not ended by itself."""
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object]) -> None:
    assert wait_until(condition)


def test_every_message_is_in_the_log_once_or_a_dead_letter_with_the_reason(
    broker: Broker, server: Server, redis: RedisServer, config: Path
):
    now = time.time()
    good = [event(f"a-{n}", timestamp=now - 60 * n) for n in range(120)]
    # Out of order, twice, and from clocks a day ahead and behind.
    good = [*good[::-1], *good[:40], event("a-ahead", timestamp=now + 0.9 * DAY), event("a-old", timestamp=now - DAY)]
    bad = [event("a-skewed", timestamp=now + 1.5 * DAY), event("a-kind", event="veiw"), {"event_id": "a-nobody"}]
    poison = [b"\xff\xfe", b"{", b'"text"', b"[]", None]
    broker.produce("events", [*encoded(good), *encoded(bad), *poison])
    broker.produce(
        "events", encoded([{"item_id": "i02", "event": "click", "session_id": "s"}]) * 2, timestamp=int(now * 1e3)
    )
    products = [{"product_id": "i03", "position": 1}, {"product_id": "i04"}, {"price": 1}]
    track = {"type": "track", "event": "Order Completed", "messageId": "a-order", "userId": "bob"}
    order = {**track, "properties": {"products": products}}
    unknown = {**track, "messageId": "a-x", "event": "Order Complete", "properties": {}}
    broker.produce("segment", encoded([order, unknown, {"type": "page", "messageId": "a-page"}]))
    ga4 = {"client_id": "c", "timestamp_micros": int(now * 1e6), "events": [
        {"name": "view_item", "params": {"items": [{"item_id": "i05", "index": 0}]}},
        {"name": "page_view", "params": {}},
    ]}  # fmt: skip
    broker.produce("ga4", encoded([ga4, ga4]))
    broker.produce("items", encoded([{"item_id": "i01", "price": 99.5}, {"item_id": "i02", "colour": "red"}]))
    broker.produce("items", [None], key=b"i06")
    produced = {"events": len(good) + len(bad) + len(poison) + 2, "segment": 3, "ga4": 2, "items": 3}

    with Running(config).reading() as running:
        until(lambda: running.count("fuserank_ingest_messages_total") == sum(produced.values()))
        until(lambda: running.count("fuserank_ingest_lag") == 0)
        with Client(url(server), timeout=PATIENCE) as client:
            until(lambda: client.recommend("bob", k=60).status.user_known)
            until(lambda: "i06" not in [item.id for item in client.recommend("bob", k=60)])
            assert [item.id for item in client.recommend("bob", filter={"price": {"gt": 99}})] == ["i01"]
    assert {topic: broker.committed(GROUP, topic, TOPICS[topic]) for topic in produced} == produced

    entries = logged(redis)
    ids = [entry.event_id for entry in entries]
    assert len(set(ids)) == len(ids)
    assert {name for name in ids if name.startswith("a-")} == {
        *(f"a-{n}" for n in range(120)), "a-ahead", "a-old", "a-order-0", "a-order-1",
    }  # fmt: skip
    # What has no id of its own: two clicks of one content and time are one, and so are the two views of GA4.
    unnamed = [entry for entry in entries if not entry.event_id.startswith("a-")]
    assert [type(entry).__name__ for entry in unnamed].count("Interaction") == 2
    assert [type(entry).__name__ for entry in unnamed].count("ItemChange") == 1
    assert [type(entry).__name__ for entry in unnamed].count("ItemDelete") == 1
    letters = broker.read("dead")
    assert sorted((topic, name) for topic, name, _ in reasons(letters)) == [
        *[("events", "event")] * 3,
        *[("events", "message")] * 4,
        ("events", "timestamp"),
        ("items", "fields.colour"),
        ("segment", "event"),
        ("segment", "item_id"),
    ]
    assert [letter.value for letter in letters if letter.headers["fuserank.topic"] == "segment"] == encoded(
        [order, unknown]
    )
    misspelt = next(reason for reason in reasons(letters) if reason[2] == "Order Complete")
    assert misspelt == ("segment", "event", "Order Complete")

    def parts(topic: str) -> dict[str, float]:
        results = ("new", "duplicate", "rejected", "ignored")
        return {r: running.count("fuserank_ingest_events_total", topic=topic, result=r) for r in results}

    assert parts("events") == {"new": 123, "duplicate": 41, "rejected": 8, "ignored": 0}
    assert parts("segment") == {"new": 2, "duplicate": 0, "rejected": 2, "ignored": 1}
    assert parts("ga4") == {"new": 1, "duplicate": 1, "rejected": 0, "ignored": 2}
    assert parts("items") == {"new": 2, "duplicate": 0, "rejected": 1, "ignored": 0}
    assert running.count("fuserank_ingest_dead_letters_total") == len(letters) == 11


def test_while_the_log_is_away_nothing_is_read_or_committed_and_then_all_arrives_once(
    broker: Broker, redis: RedisServer, config: Path
):
    before = broker.committed(GROUP, "events", 2)
    with Running(config).reading() as running:
        broker.produce("events", encoded([event("b-first")]))
        until(lambda: broker.committed(GROUP, "events", 2) == before + 1)
        redis.kill()
        broker.produce("events", encoded([event(f"b-{n}") for n in range(120)]))
        until(lambda: running.count("fuserank_ingest_waiting") == 1)
        until(lambda: running.count("fuserank_ingest_lag", topic="events") == 120)
        assert broker.committed(GROUP, "events", 2) == before + 1
        # Meanwhile a second reader joins, and takes a part of the topics over.
        with Running(config).reading() as other:
            until(lambda: other.count("fuserank_ingest_waiting") == 1)
            redis.start()
            until(lambda: broker.committed(GROUP, "events", 2) == before + 121)
            until(lambda: running.count("fuserank_ingest_waiting") == other.count("fuserank_ingest_waiting") == 0)
            until(lambda: running.partitions() | other.partitions() == EVERY_PARTITION)
            assert running.partitions() != EVERY_PARTITION != other.partitions()
        # Tansu 0.6 lets nobody in again where all readers leave at once.
        until(lambda: running.partitions() == EVERY_PARTITION)
    assert sorted(names(redis, "b-")) == sorted(["b-first", *(f"b-{n}" for n in range(120))])


def test_a_reader_that_is_killed_is_followed_by_one_that_goes_on(broker: Broker, redis: RedisServer, config: Path):
    before = broker.committed(GROUP, "events", 2)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "fuserank.ingest", str(config), "--metrics-port", str(port)]
    with killed_at_the_end(subprocess.Popen(command, stderr=subprocess.DEVNULL)):
        broker.produce("events", encoded([event(f"c-{n}") for n in range(600)]))
        until(lambda: broker.committed(GROUP, "events", 2) > before)
    with killed_at_the_end(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as second:
        until(lambda: broker.committed(GROUP, "events", 2) == before + 600)
        until(lambda: listens(port))  # the first one may have done all, and this one still imports
        second.send_signal(signal.SIGTERM)
        _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, said
    assert "Traceback" not in said
    assert "anna" not in said
    assert sorted(names(redis, "c-")) == sorted(f"c-{n}" for n in range(600))


def test_a_broker_that_is_killed_and_has_lost_its_memory_loses_no_event_that_is_sent_again(
    broker: Broker, redis: RedisServer, config: Path
):
    values = encoded([*(event(f"d-{n}") for n in range(200)), {"event": "view"}])
    with Running(config).reading() as running:
        broker.produce("events", values[:100])
        until(lambda: len(names(redis, "d-")) > 0)
        broker.kill()
        broker.start(TOPICS)
        broker.produce("events", values)
        until(lambda: len(names(redis, "d-")) == 200)
        until(lambda: broker.committed(GROUP, "events", 2) == 201)
        assert running.count("fuserank_ingest_events_total", result="new") == 200
    assert [letter.value for letter in broker.read("dead")] == values[-1:]
