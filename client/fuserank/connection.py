"""Settings of the connection to a server: address, time limit, encryption, headers and retries.

The blocking and the asyncio client share them.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from fuserank.errors import ConfigurationError

DEFAULT_URL = "127.0.0.1:8001"
DEFAULT_TIMEOUT = 10.0
DEFAULT_RETRIES = 2
BACKGROUND_PRIORITY = 2  # of two: the server takes all others first
MAX_RETRIES = 4  # gRPC caps a call at five attempts

SERVICE = "inference.GRPCInferenceService"
# What gRPC accepts; its own error, "Invalid metadata", does not name the header.
_HEADER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")

# Calls that change nothing on the server, so that sending one twice does no harm.
REPEATABLE = ("ModelInfer", "ServerLive", "ServerReady", "ModelReady", "ServerMetadata")


@dataclass(frozen=True)
class TLS:
    """Certificates of an encrypted connection; with one of the client's own it is mutual TLS. Files are PEM.

    Attributes:
        root_ca: Certificates to trust; gRPC's own list of public authorities where `None`.
        client_cert: The client's certificate chain; goes with `client_key`.
        client_key: The private key of that certificate.
        server_name: The name to expect in the server's certificate, where it is not the one in the address
            (behind a tunnel or a port-forward).
    """

    root_ca: str | PathLike[str] | None = None
    client_cert: str | PathLike[str] | None = None
    client_key: str | PathLike[str] | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_key is None):
            raise ConfigurationError("tls: client_cert and client_key go together; only one was given")

    def credentials(self) -> Any:
        """Returns the `grpc.ChannelCredentials`, which both of tritonclient's clients take.

        Raises:
            ConfigurationError: Where a file cannot be read.
        """
        from grpc import ssl_channel_credentials

        return ssl_channel_credentials(
            root_certificates=_read_pem("root_ca", self.root_ca),
            private_key=_read_pem("client_key", self.client_key),
            certificate_chain=_read_pem("client_cert", self.client_cert),
        )


@dataclass(frozen=True)
class Connection:
    """The settings of a client; `Client` documents them.

    Raises:
        ConfigurationError: Names the setting, what it held and what is allowed.
    """

    url: str | Sequence[str] = DEFAULT_URL
    timeout: float | None = DEFAULT_TIMEOUT
    tls: TLS | None = None
    headers: Mapping[str, str] | None = None
    retries: int = DEFAULT_RETRIES
    hedge_after: float | None = None
    background: bool = False

    def __post_init__(self) -> None:
        for url in self.urls or ("",):
            if not url or url.partition("://")[0] in ("http", "https", "grpc", "grpcs"):
                raise ConfigurationError(f"url: found {url!r}; allowed: host:port, such as {DEFAULT_URL}")
        if self.hedge_after is not None and not self.hedge_after > 0:
            raise ConfigurationError(f"hedge_after: found {self.hedge_after}; allowed: seconds above 0, or None")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError(f"timeout: found {self.timeout}; allowed: seconds above 0, or None")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise ConfigurationError(f"retries: found {self.retries}; allowed: 0 to {MAX_RETRIES}")
        for name, value in (self.headers or {}).items():
            if not _HEADER_NAME.fullmatch(name):
                raise ConfigurationError(f"headers: found {name!r}; allowed: letters, digits, - _ . in a name")
            if not _HEADER_VALUE.fullmatch(value):
                raise ConfigurationError(f"headers: found {value!r} for {name}; allowed: printable ASCII")

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, one or several."""
        return (self.url,) if isinstance(self.url, str) else tuple(self.url)

    @property
    def target(self) -> str:
        """What gRPC connects to. Of several addresses the names are looked up, now and once.

        Raises:
            ConfigurationError: Where one of several is no host and port, or is not known.
        """
        return self.urls[0] if len(self.urls) == 1 else _join_addresses(self.urls)

    def triton_arguments(self) -> dict[str, Any]:
        """Returns the constructor arguments of both `InferenceServerClient` classes of tritonclient."""
        return {
            "url": self.target,
            "creds": self.tls.credentials() if self.tls else None,
            "channel_args": self._channel_arguments(),
        }

    def call_arguments(self) -> dict[str, Any]:
        """Returns the arguments of every call."""
        # HTTP/2 knows only lower-case names, and gRPC refuses others.
        headers = {name.lower(): value for name, value in (self.headers or {}).items()}
        return {"client_timeout": self.timeout, "headers": headers}

    def question_arguments(self) -> dict[str, Any]:
        """Returns the further arguments of a call that changes nothing."""
        return {"priority": BACKGROUND_PRIORITY} if self.background else {}

    def _channel_arguments(self) -> list[tuple[str, Any]]:
        arguments: list[tuple[str, Any]] = [
            ("grpc.service_config", json.dumps(self._service_config())),
            ("grpc.enable_retries", int(self.retries > 0)),
            # A reconnect must be tried within the pauses of a retry, or the retry meets a channel that still waits.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # A dead peer is noticed while a call waits for it. An idle channel does not ping: Triton closes
            # connections that ping more often than every five minutes without data.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 0),
            # An explicit list replaces tritonclient's own arguments; these two are its values (no limit).
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ]
        if self.tls and self.tls.server_name:
            arguments.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return arguments

    def _service_config(self) -> dict[str, Any]:
        """Returns gRPC's service config: load balancing and the retry policy (gRPC proposal A6)."""
        # A name may stand for several servers, as that of a headless Service does: they take turns.
        load_balancing: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
        if not self.retries:
            return load_balancing
        policy = {
            "maxAttempts": self.retries + 1,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        names = [{"service": SERVICE, "method": method} for method in REPEATABLE]
        return {
            **load_balancing,
            "methodConfig": [{"name": names, "retryPolicy": policy}],
            # Retries stop while most calls fail: a struggling server must not get a multiple of its load.
            "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
        }


def _join_addresses(urls: Sequence[str]) -> str:
    """Several addresses as one target of gRPC's own form, such as `ipv4:10.0.0.1:8001,10.0.0.2:8001`."""
    addresses: dict[str, int] = {}
    for url in urls:
        host, _, port = url.rpartition(":")
        try:
            numeric = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4][0]
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"url: found {url!r}: {error}; allowed: host:port, such as {DEFAULT_URL}"
            ) from None
        address = ipaddress.ip_address(numeric)
        addresses[f"{address}:{int(port)}" if address.version == 4 else f"[{address}]:{int(port)}"] = address.version
    if len(set(addresses.values())) > 1:
        raise ConfigurationError(f"url: found IPv4 and IPv6 addresses in {', '.join(urls)}; allowed: one kind")
    return f"ipv{next(iter(addresses.values()))}:{','.join(addresses)}"


def _read_pem(setting: str, path: str | PathLike[str] | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"tls: {setting} cannot be read: {error}") from None
