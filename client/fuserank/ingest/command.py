"""The command `fuserank ingest`."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException

from fuserank.errors import ConfigurationError, FuseRankError
from fuserank.ingest.config import IngestConfig
from fuserank.ingest.delivery import Delivery
from fuserank.ingest.endpoint import serve_state
from fuserank.ingest.kafka import DeadLetterTopic, Ingest
from fuserank.ingest.metrics import IngestMetrics
from fuserank.reporting import report_errors

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file: which topics, and what they hold.")]
MetricsHost = Annotated[str, typer.Option(help="Address of /metrics, /live and /ready.")]
MetricsPort = Annotated[int, typer.Option(help="Their port.")]


def ingest(config: Config, metrics_host: MetricsHost = "127.0.0.1", metrics_port: MetricsPort = 8003) -> None:
    """Read topics of events and catalogue changes from Kafka into a server's log, until Ctrl-C.

    Example: fuserank ingest ingest.toml
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with report_errors():
        settings = IngestConfig.read(config)
        metrics, formats = IngestMetrics(), settings.open_formats()
        with settings.server.open_client() as client:
            delivery = Delivery(client, DeadLetterTopic(settings), formats, metrics)
            reader = Ingest(settings, delivery, metrics)
            try:
                endpoint = serve_state(metrics_host, metrics_port, metrics, reader)
            except OSError as error:
                where = f"{metrics_host}:{metrics_port}"
                raise ConfigurationError(f"--metrics-port: found {where} ({error}); allowed: a free port") from None
            with endpoint:
                try:
                    reader.run(stopping)
                except KafkaException as error:
                    raise FuseRankError(f"kafka: {error.args[0].str()}") from None
