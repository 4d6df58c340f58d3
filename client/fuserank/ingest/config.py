"""The configuration of an ingest: a TOML file, and Kafka's secrets from the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fuserank.client import Client
from fuserank.connection import DEFAULT_TIMEOUT, DEFAULT_URL, TLS
from fuserank.errors import ConfigurationError
from fuserank.ingest.closed import check_keys, nearest
from fuserank.ingest.formats.mapped import FormatTable, MappedEvents
from fuserank.ingest.formats.native import EventMessages, ItemMessages
from fuserank.ingest.messages import MessageFormat

# FUSERANK_KAFKA_SASL_PASSWORD is Kafka's setting sasl.password.
KAFKA_VARIABLES = "FUSERANK_KAFKA_"
URL_VARIABLE = "FUSERANK_URL"
NATIVE: dict[str, type[EventMessages] | type[ItemMessages]] = {"events": EventMessages, "items": ItemMessages}
SHIPPED = ("ga4", "ga4_bigquery", "segment")
# What is promised rests on these.
RESERVED = {"group.id": "group", "enable.auto.commit": "false", "enable.auto.offset.store": "false"}
Table = TypeVar("Table", bound=msgspec.Struct)


class ServerTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the server is reached; see `fuserank.Client` and `fuserank.TLS`."""

    url: str = DEFAULT_URL
    timeout: float = DEFAULT_TIMEOUT
    headers: dict[str, str] = {}
    encrypt: bool = False
    root_ca: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None

    def open_client(self) -> Client:
        """Opens a client of the server.

        Raises:
            ConfigurationError: Where a setting cannot be used.
        """
        files = (self.root_ca, self.client_cert, self.client_key, self.server_name)
        tls = TLS(*files) if self.encrypt or any(files) else None
        return Client(self.url, timeout=self.timeout, tls=tls, headers=self.headers)


class IngestConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings.

    Attributes:
        topics: What each topic holds: `events`, `items`, a format that comes along, or one of `formats`.
        dead_letter_topic: Where messages go that cannot be taken, with the reason.
        group: The consumer group.
        max_messages: How many messages are taken together at most.
        kafka: Settings of librdkafka for reading and for writing, such as `bootstrap.servers`.
        consumer: More of them, for reading alone.
        server: How the server is reached.
        formats: The shop's own formats: tables as of `FormatTable`; `extends` names one of which they differ.
    """

    topics: dict[str, str]
    dead_letter_topic: str
    group: str = "fuserank"
    max_messages: int = 500
    kafka: dict[str, str | int | float | bool] = {}
    consumer: dict[str, str | int | float | bool] = {}
    server: ServerTable = msgspec.field(default_factory=ServerTable)
    formats: dict[str, dict[str, Any]] = {}

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] | None = None) -> IngestConfig:
        """Reads a file and the environment.

        Raises:
            ConfigurationError: Names the setting, what it held and what is allowed.
        """
        variables = os.environ if environment is None else environment
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: {error}") from None
        if isinstance(table.get("server"), dict):
            check_keys(table["server"], ServerTable.__struct_fields__, "server")
        config = _to_struct(cls, table, "")
        if not 1 <= config.max_messages <= 10_000:
            raise ConfigurationError(f"max_messages: found {config.max_messages}; allowed: 1 to 10,000")
        if not config.topics:
            raise ConfigurationError("topics: found none; allowed: a format for each topic that is read")
        if config.dead_letter_topic in config.topics:
            raise ConfigurationError("dead_letter_topic: found a topic that is read; allowed: one of its own")
        secrets = {
            name.removeprefix(KAFKA_VARIABLES).lower().replace("_", "."): value
            for name, value in variables.items()
            if name.startswith(KAFKA_VARIABLES)
        }
        kafka = config.kafka | secrets
        for given in (kafka, config.consumer):
            for setting, instead in RESERVED.items():
                if setting in given:
                    raise ConfigurationError(f"kafka.{setting}: cannot be set; it is {instead}")
        if "bootstrap.servers" not in kafka:
            raise ConfigurationError('kafka."bootstrap.servers": found nothing; allowed: host:port, as Kafka has them')
        if variables.get(URL_VARIABLE):
            config.server.url = variables[URL_VARIABLE]
        config.kafka = kafka
        return config

    def open_formats(self) -> dict[str, MessageFormat]:
        """Returns what reads each topic's messages.

        Raises:
            ConfigurationError: Where a topic has no such format, or a format cannot be used.
        """
        return {topic: self._format(topic, name) for topic, name in self.topics.items()}

    def _format(self, topic: str, name: str) -> MessageFormat:
        if name in NATIVE and name not in self.formats:
            return NATIVE[name]()
        table = self._table(name, f"topics.{topic}", ())
        return MappedEvents(name, _to_struct(FormatTable, table, f"formats.{name}"))

    def _table(self, name: str, place: str, above: tuple[str, ...]) -> dict[str, Any]:
        """A format's table with what it extends; `above` are the formats that extend it."""
        if name not in self.formats or name in above:
            if name in SHIPPED:
                return shipped_format(name)
            raise ConfigurationError(f"{place}: found {name!r}; allowed: {self._known(name)}")
        own = dict(self.formats[name])
        extended = own.pop("extends", None)
        if extended is None:
            return own
        base = self._table(extended, f"formats.{name}.extends", (*above, name))
        joined = {table: {**base.get(table, {}), **own.get(table, {})} for table in ("kinds", "fields")}
        return {**base, **own, **joined}

    def _known(self, name: str) -> str:
        return nearest(name, {*NATIVE, *SHIPPED, *self.formats})


def shipped_format(name: str) -> dict[str, Any]:
    """Returns the table of a format that comes along."""
    return tomllib.loads((resources.files("fuserank.ingest.formats") / f"{name}.toml").read_text("utf-8"))


def _to_struct(kind: type[Table], table: Mapping[str, Any], place: str) -> Table:
    """Converts a TOML table.

    Raises:
        ConfigurationError: Where a key is unknown, or a value of another type.
    """
    check_keys(table, kind.__struct_fields__, place)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place or 'the configuration'}: {error}") from None
