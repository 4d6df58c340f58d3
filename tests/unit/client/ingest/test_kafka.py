"""Partitions that were paused while a log was away are read again, whoever had them in between."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from confluent_kafka import TopicPartition

from fuserank.ingest import kafka
from fuserank.ingest.config import IngestConfig
from fuserank.ingest.delivery import NotTakenError
from fuserank.ingest.kafka import Ingest
from fuserank.ingest.metrics import IngestMetrics

PLACE = TopicPartition("events", 0)


class Group:
    """A consumer whose partition is taken away while it is paused and given back once the log has answered."""

    def __init__(self, delivery):
        self.assigned, self.paused, self.left, self.delivery = [], False, 2, delivery

    def subscribe(self, topics, on_assign, on_revoke):
        self.give, self.take_away = on_assign, on_revoke

    def assignment(self):
        return self.assigned

    def pause(self, places):
        self.paused = self.paused or bool(places)

    def resume(self, places):
        self.paused = self.paused and not places

    def poll(self, seconds):
        if self.delivery.tries == 1 and self.assigned:
            self.assigned = []
            self.take_away(self, [PLACE])
        elif self.delivery.tries != 1 and not self.assigned:
            self.assigned = [PLACE]
            self.give(self, [PLACE])
        elif self.assigned and not self.paused and self.left:
            self.left -= 1
            return Sent(1 - self.left)
        return None

    def commit(self, **_):
        pass

    def close(self):
        pass


class Sent:
    """A message of the partition."""

    def __init__(self, offset):
        self.offset = lambda: offset

    error = key = lambda _: None
    topic, partition = lambda _: PLACE.topic, lambda _: PLACE.partition
    timestamp, value = lambda _: (0, 0), lambda _: b"{}"


class AwayOnce:
    """A delivery whose log is away at the first try."""

    def __init__(self, stopping):
        self.tries, self.stopping = 0, stopping

    def open_batch(self, messages):
        return SimpleNamespace(messages=messages)

    def deliver(self, batch):
        self.tries += 1
        if self.tries == 1:
            raise NotTakenError("record", "the log is away")
        if self.tries == 3:
            self.stopping.set()


def test_a_partition_that_went_and_came_back_while_paused_is_read_again(tmp_path, monkeypatch):
    stopping = threading.Event()
    delivery = AwayOnce(stopping)
    monkeypatch.setattr(kafka, "Consumer", lambda *_, **__: Group(delivery))
    monkeypatch.setattr(kafka, "RETRY_SECONDS", (1e-3, 1e-3))
    monkeypatch.setattr(Ingest, "_measure_lag", lambda self: None)
    path = tmp_path / "ingest.toml"
    path.write_text(
        'group = "g"\nmax_messages = 1\ndead_letter_topic = "dead"\ntopics = { events = "events" }\n'
        '[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n[server]\nurl = "127.0.0.1:1"\n'
    )
    ending = threading.Timer(10.0, stopping.set)
    ending.start()
    Ingest(IngestConfig.read(path, {}), delivery, IngestMetrics()).run(stopping)
    ending.cancel()
    assert delivery.tries == 3
