"""What an ingest counts, for Prometheus; nothing of it names a user or an item."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)


class IngestMetrics:
    """The metrics of one ingest, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.messages = Counter(
            "fuserank_ingest_messages", "Messages that were dealt with and committed", ["topic"], registry=registry
        )
        self.parts = Counter(
            "fuserank_ingest_events",
            "Events and changes of items by what became of them: new, duplicate, rejected or ignored",
            ["topic", "result"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "fuserank_ingest_dead_letters", "Messages that went to the dead-letter topic", ["topic"], registry=registry
        )
        self.lag = Gauge(
            "fuserank_ingest_lag",
            "Messages of a partition that are not dealt with yet",
            ["topic", "partition"],
            registry=registry,
        )
        self.waiting = Gauge(
            "fuserank_ingest_waiting", "1 while nothing is read, because the server takes nothing", registry=registry
        )
        self.failures = Counter(
            "fuserank_ingest_failures",
            "Calls that failed and are repeated: server, kafka or commit",
            ["call"],
            registry=registry,
        )
        self.age = Histogram(
            "fuserank_ingest_age_seconds",
            "Time from a message's production until the log has what it holds",
            registry=registry,
            buckets=_SECONDS,
        )
        for call in ("server", "kafka", "commit"):
            self.failures.labels(call)
