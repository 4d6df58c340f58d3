"""Reads topics as a member of a consumer group, and writes the dead-letter topic."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from fuserank.errors import ConfigurationError
from fuserank.ingest.config import IngestConfig
from fuserank.ingest.delivery import Batch, DeadLetter, Delivery, NotTakenError
from fuserank.ingest.messages import Message
from fuserank.ingest.metrics import IngestMetrics

TAKE_SECONDS = 0.5  # how long a reader waits for a message; it can be stopped between two
RETRY_SECONDS = (0.1, 5.0)  # the first and the longest pause before a batch is delivered again
LAG_SECONDS = 2.0  # how often the ends of partitions are asked for
ASK_SECONDS = 1.0  # how long the broker may take to say
LETTER_SECONDS = 10.0  # how long it may take to keep dead letters
_LOG = logging.getLogger("fuserank.ingest")
# Memory bounded, and nothing of a topic skipped where the group is new. A shop may set them otherwise.
_CONSUMER = {"auto.offset.reset": "earliest", "queued.max.messages.kbytes": 16_384}
_PRODUCER = {"acks": "all", "message.timeout.ms": int(LETTER_SECONDS * 1_000)}
Place = tuple[str, int]


class DeadLetterTopic:
    """Writes messages as they came, with headers that say whence and why."""

    def __init__(self, config: IngestConfig) -> None:
        """Connects; the broker need not answer yet.

        Raises:
            ConfigurationError: Where Kafka's settings cannot be used.
        """
        self._topic = config.dead_letter_topic
        try:
            self._producer = Producer({**_PRODUCER, **config.kafka}, logger=_LOG)
        except KafkaException as error:
            raise ConfigurationError(f"kafka: {error.args[0].str()}") from None

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`. Of a message that is too large for the topic the headers alone are kept."""
        for letter in self._send_whole(letters):
            self._send_whole([letter], with_value=False)

    def _send_whole(self, letters: Sequence[DeadLetter], *, with_value: bool = True) -> list[DeadLetter]:
        """Writes letters and waits until all are kept; returns those that are too large.

        Raises:
            NotTakenError: Where some are not kept.
        """
        failures: list[tuple[DeadLetter, KafkaError]] = []
        for letter in letters:

            def delivered(error: KafkaError | None, _: KafkaMessage, letter: DeadLetter = letter) -> None:
                if error is not None:
                    failures.append((letter, error))

            message = letter.message
            value = message.value if with_value else None
            headers = letter.headers() | ({} if with_value else {"fuserank.left_out": str(len(message.value or b""))})
            try:
                self._producer.produce(self._topic, value, message.key, headers=dict(headers), on_delivery=delivered)
            except KafkaException as error:
                failures.append((letter, error.args[0]))
            except BufferError as error:
                raise NotTakenError("kafka", f"the topic {self._topic} cannot be written: {error}") from None
        left = self._producer.flush(LETTER_SECONDS)
        too_large = [letter for letter, error in failures if error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
        others = [error for _, error in failures if error.code() != KafkaError.MSG_SIZE_TOO_LARGE]
        if left or others or (too_large and not with_value):
            reason = failures[0][1].str() if failures else "no answer"
            raise NotTakenError("kafka", f"the topic {self._topic} cannot be written: {reason}")
        return too_large


class Ingest:
    """Reads, delivers, commits; one thread runs it."""

    def __init__(self, config: IngestConfig, delivery: Delivery, metrics: IngestMetrics) -> None:
        """Takes the settings and where messages go; connects, though the broker need not answer yet.

        Raises:
            ConfigurationError: Where Kafka's settings cannot be used.
        """
        self._config, self._delivery, self._metrics = config, delivery, metrics
        fixed = {"group.id": config.group, "enable.auto.commit": False, "enable.auto.offset.store": False}
        try:
            self._consumer = Consumer({**_CONSUMER, **config.kafka, **config.consumer, **fixed}, logger=_LOG)
        except KafkaException as error:
            raise ConfigurationError(f"kafka: {error.args[0].str()}") from None
        self._early: list[Message] = []  # came while nothing was to be read
        self._next: dict[Place, int] = {}  # the first offset of each partition that is not dealt with
        self._may_be_paused = False  # whether a partition may be paused
        self._lag_due = 0.0
        self.beat = time.monotonic()  # when the loop went round last
        self.joined = False  # whether the group has said which partitions are this reader's

    def run(self, stopping: threading.Event) -> None:
        """Reads until it is told to stop; what was taken and not delivered is left to the next reader.

        Raises:
            KafkaException: Where the consumer cannot go on.
        """
        self._consumer.subscribe(list(self._config.topics), on_assign=self._assigned, on_revoke=self._revoked)
        try:
            while not stopping.is_set():
                self.beat = time.monotonic()
                messages = self._take()
                if messages:
                    batch = self._delivery.open_batch(messages)
                    if not self._deliver(batch, stopping):
                        break
                    self._commit(batch)
                self._measure_lag()
        finally:
            self._consumer.close()

    def _take(self) -> list[Message]:
        """Waits for a message, and returns it with those that are there already."""
        early, self._early = self._early, []
        if early:
            return early
        if self._may_be_paused:
            self._consumer.resume(self._consumer.assignment())
            self._may_be_paused = False
        first = self._consumer.poll(TAKE_SECONDS)
        if first is None:
            return []
        more = self._consumer.consume(self._config.max_messages - 1, 0.0) if self._config.max_messages > 1 else []
        return self._readable([first, *more])

    def _readable(self, messages: Sequence[KafkaMessage]) -> list[Message]:
        """Returns messages without the errors that come among them.

        Raises:
            KafkaException: Where an error is fatal.
        """
        readable = []
        for message in messages:
            error = message.error()
            if error is None:
                readable.append(_to_message(message))
                continue
            if error.fatal():
                raise KafkaException(error)
            self._metrics.failures.labels("kafka").inc()
            _LOG.warning("kafka: %s", error.str())
        return readable

    def _deliver(self, batch: Batch, stopping: threading.Event) -> bool:
        """Delivers a batch, however long it takes; meanwhile nothing else is read. Returns whether it is delivered."""
        pause, failed = RETRY_SECONDS[0], False
        while True:
            try:
                self._delivery.deliver(batch)
            except NotTakenError as error:
                self._metrics.failures.labels(error.call).inc()
                self._metrics.waiting.set(1)
                if not failed:
                    _LOG.warning("nothing is read until what was read is taken: %s", error)
                failed = True
            else:
                if failed:
                    _LOG.warning("what was read is taken, reading goes on")
                self._metrics.waiting.set(0)
                return True
            if stopping.is_set():
                return False
            self._stay_in_group(pause)
            self._measure_lag()
            pause = min(2 * pause, RETRY_SECONDS[1])

    def _stay_in_group(self, seconds: float) -> None:
        """Waits without reading: the group gives the partitions of a reader that does not poll to others."""
        self.beat = time.monotonic()
        while (left := self.beat + seconds - time.monotonic()) > 0:
            self._consumer.pause(self._consumer.assignment())
            self._may_be_paused = True
            message = self._consumer.poll(left)
            if message is not None:  # of a partition that has just become this reader's
                self._early += self._readable([message])

    def _commit(self, batch: Batch) -> None:
        """Says which messages are dealt with. Where that fails they come again, and are known by their ids."""
        for message in batch.messages:
            self._next[message.place] = message.offset + 1
            self._metrics.messages.labels(message.topic).inc()
        places = {message.place for message in batch.messages}
        offsets = [TopicPartition(*place, self._next[place]) for place in places]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._metrics.failures.labels("commit").inc()
            _LOG.warning("offsets are not committed: %s", error.args[0].str())

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        del consumer
        # A partition that was paused, taken away and given back may be so still.
        self.joined, self._may_be_paused, self._lag_due = True, True, 0.0
        _LOG.info("partitions: %s", ", ".join(f"{p.topic}/{p.partition}" for p in partitions) or "none")

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forgets partitions that are others' now."""
        del consumer
        gone = {(partition.topic, partition.partition) for partition in partitions}
        self._early = [message for message in self._early if message.place not in gone]
        for place in gone:
            self._next.pop(place, None)
            self._metrics.lag.remove(place[0], str(place[1]))

    def _measure_lag(self) -> None:
        """Compares what is dealt with with the ends of the partitions."""
        if time.monotonic() < self._lag_due:
            return
        self._lag_due = time.monotonic() + LAG_SECONDS
        try:
            partitions = self._consumer.assignment()
            unknown = [p for p in partitions if (p.topic, p.partition) not in self._next]
            committed = self._consumer.committed(unknown, timeout=ASK_SECONDS) if unknown else []
            starts = {(p.topic, p.partition): p.offset for p in committed if p.offset >= 0} | self._next
            for partition in partitions:
                place = (partition.topic, partition.partition)
                first, end = self._consumer.get_watermark_offsets(partition, timeout=ASK_SECONDS)
                _, fetched_end = self._consumer.get_watermark_offsets(partition, cached=True)
                lag = max(end, fetched_end) - starts.get(place, first)
                self._metrics.lag.labels(place[0], str(place[1])).set(max(lag, 0))
        except KafkaException as error:
            self._metrics.failures.labels("kafka").inc()
            _LOG.debug("the lag is not known: %s", error)


def _to_message(message: KafkaMessage) -> Message:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Message(topic, partition, offset, max(message.timestamp()[1], 0), message.value(), message.key())
