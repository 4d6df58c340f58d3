"""What a server answers decides what becomes of each message; nothing is lost between two tries."""

from __future__ import annotations

import pytest

from fuserank.changes import CatalogResult, ChangeOutcome
from fuserank.errors import InvalidRequestError, ServerUnavailableError
from fuserank.events import EventOutcome, FieldError, RecordResult
from fuserank.ingest.delivery import DeadLetter, Delivery, NotTakenError
from fuserank.ingest.formats.native import EventMessages, ItemMessages
from fuserank.ingest.messages import Message, Reason
from fuserank.ingest.metrics import IngestMetrics


class Log:
    """Takes what it has not, and fails as it is told."""

    def __init__(self):
        self.kept, self.calls, self.failures, self.away = [], [], [], False

    def record(self, events):
        self.calls.append(len(events))
        if self.failures:
            raise self.failures.pop(0)
        if any(event["event_id"] == "breaks" for event in events):
            raise InvalidRequestError("EVENTS: found 5,000,000 bytes; allowed: at most 4,194,304 bytes")
        if self.away:
            return RecordResult(tuple(EventOutcome(spooled=True) for _ in events), spooled=len(events))
        return RecordResult(tuple(self._take(event) for event in events))

    def change(self, changes):
        self.kept += [change["change_id"] for change in changes]
        return CatalogResult(tuple(ChangeOutcome(1) for _ in changes))

    def _take(self, event):
        name = event["event_id"]
        if "item_id" not in event:
            return EventOutcome(error=FieldError("item_id", "nothing", "the item's id"))
        if name in self.kept:
            return EventOutcome(1, duplicate=True)
        self.kept.append(name)
        return EventOutcome(1)


class Letters:
    """Keeps letters, and fails as it is told."""

    def __init__(self):
        self.kept, self.failures = [], []

    def send(self, letters):
        if self.failures:
            raise self.failures.pop(0)
        self.kept += letters


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def letters():
    return Letters()


@pytest.fixture
def delivery(log, letters):
    return Delivery(log, letters, {"t": EventMessages(), "items": ItemMessages()}, IngestMetrics())


def messages(*names, topic="t"):
    return [
        Message(topic, 0, offset, 0, f'{{"event_id": "{name}", "item_id": "i"}}'.encode())
        for offset, name in enumerate(names)
    ]


def counts(delivery):
    samples = (s for metric in delivery._metrics.registry.collect() for s in metric.samples)
    return {s.labels["result"]: s.value for s in samples if s.name == "fuserank_ingest_events_total"}


def test_a_batch_goes_in_calls_of_a_thousand(delivery, log):
    batch = delivery.open_batch(messages(*(f"e{n}" for n in range(2_300))))
    delivery.deliver(batch)
    assert log.calls == [1_000, 1_000, 300]
    assert log.kept == [f"e{n}" for n in range(2_300)]


def test_what_breaks_a_call_is_found_and_the_others_are_kept_in_their_order(delivery, log, letters):
    names = [f"e{n}" for n in range(40)]
    names[13] = "breaks"
    delivery.deliver(delivery.open_batch(messages(*names)))
    assert log.kept == [name for name in names if name != "breaks"]
    (letter,) = letters.kept
    assert letter.message.offset == 13
    assert letter.reasons == [Reason("EVENTS", "5,000,000 bytes", "at most 4,194,304 bytes")]
    assert counts(delivery) == {"new": 39, "rejected": 1}


def test_a_try_that_fails_in_the_middle_goes_on_where_it_was(delivery, log):
    batch = delivery.open_batch(messages(*(f"e{n}" for n in range(1_500))))
    log.failures = [ServerUnavailableError("away")]
    with pytest.raises(NotTakenError, match="away"):
        delivery.deliver(batch)
    delivery.deliver(batch)
    assert log.calls == [1_000, 1_000, 500]
    assert counts(delivery) == {"new": 1_500}


def test_events_that_wait_on_a_servers_own_disk_are_not_delivered(delivery, log):
    batch = delivery.open_batch(messages("e0", "e1"))
    log.away = True
    for _ in range(2):
        with pytest.raises(NotTakenError, match="the event log is away"):
            delivery.deliver(batch)
    assert counts(delivery) == {}
    log.away = False
    delivery.deliver(batch)
    assert counts(delivery) == {"new": 2}


def test_dead_letters_that_are_not_kept_are_sent_again_and_the_events_are_not(delivery, log, letters):
    bad = Message("t", 0, 7, 0, b'{"event_id": "b"}')
    batch = delivery.open_batch([*messages("e0"), bad, Message("t", 0, 8, 0, b"{")])
    letters.failures = [NotTakenError("kafka", "no answer")]
    with pytest.raises(NotTakenError, match="no answer"):
        delivery.deliver(batch)
    delivery.deliver(batch)
    assert log.calls == [2]
    assert [letter.message.offset for letter in letters.kept] == [7, 8]
    assert counts(delivery) == {"new": 1, "rejected": 2}


def test_changes_of_items_keep_their_order(delivery, log):
    values = [b'{"item_id": "i", "delete": true}', b'{"item_id": "i", "price": 1}']
    delivery.deliver(delivery.open_batch([Message("items", 0, n, 0, value) for n, value in enumerate(values)]))
    assert log.kept == ["items/0/0/0-0", "items/0/1/0-0"]


def test_a_letter_of_many_reasons_quotes_the_first_and_counts_all():
    letter = DeadLetter(Message("t", 3, 9, 5, b""), [Reason("event", "x", "y", n) for n in range(5_000)])
    headers = letter.headers()
    assert headers["fuserank.reason_count"] == "5000"
    assert headers["fuserank.reasons"].count('"event": 9') == 11  # the 9th, and the 90s
    assert [headers[f"fuserank.{name}"] for name in ("topic", "partition", "offset", "timestamp")] == [
        "t",
        "3",
        "9",
        "5",
    ]
