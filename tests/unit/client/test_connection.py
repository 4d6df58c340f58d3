"""The connection: retries, time limits, headers, encryption and closing."""

from __future__ import annotations

import time

import grpc
import pytest

from fuserank.client import Client
from fuserank.connection import TLS
from fuserank.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    FuseRankError,
    InvalidRequestError,
    OverloadedError,
    ServerUnavailableError,
)

BUSY = (grpc.StatusCode.UNAVAILABLE, "server is not ready")
FULL = (grpc.StatusCode.UNAVAILABLE, "in ensemble 'search', Exceeds maximum queue size")
BAD_K = "OPTIONS.k: found 0; allowed: an integer from 1 to 200"


def test_an_unavailable_server_is_asked_again_until_it_answers(triton):
    triton.failures = [BUSY, BUSY]
    with Client(triton.url, retries=2) as client:
        assert len(client.search("milk")) == 2
    assert len(triton.requests) == 3


def test_retries_end_at_their_limit(triton):
    triton.failures = [BUSY] * 3
    with Client(triton.url, retries=1) as client, pytest.raises(ServerUnavailableError, match="not ready"):
        client.search("milk")
    assert len(triton.requests) == 2


def test_retries_can_be_turned_off(triton):
    triton.failures = [BUSY]
    with Client(triton.url, retries=0) as client, pytest.raises(ServerUnavailableError):
        client.search("milk")
    assert len(triton.requests) == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL", "DEADLINE_EXCEEDED"])
def test_only_an_unavailable_server_is_asked_again(triton, code):
    triton.failures = [(grpc.StatusCode[code], "no")]
    with Client(triton.url) as client, pytest.raises(FuseRankError) as raised:
        client.search("milk")
    assert raised.value.code == code
    assert len(triton.requests) == 1


def test_a_refused_request_names_its_field(triton):
    triton.failures = [(grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'search', {BAD_K}")]
    with Client(triton.url) as client, pytest.raises(InvalidRequestError) as raised:
        client.search("milk", k=0)
    assert (str(raised.value), raised.value.field) == (BAD_K, "OPTIONS.k")


def test_a_full_queue_is_an_overload_and_not_an_unavailable_server(triton):
    triton.failures = [FULL]
    with Client(triton.url, retries=0) as client, pytest.raises(OverloadedError, match=r"^Exceeds maximum"):
        client.search("milk")


@pytest.mark.parametrize("retries", [0, 4])
def test_the_timeout_bounds_a_call_and_its_retries(triton, retries):
    triton.delay = 60
    triton.failures = [BUSY] * 5
    started = time.monotonic()
    with (
        Client(triton.url, timeout=0.2, retries=retries) as client,
        pytest.raises(DeadlineExceededError, match=r"limit is 0\.2 s"),
    ):
        client.search("milk")
    assert time.monotonic() - started < triton.delay / 2


def test_an_unreachable_server_is_an_error_within_the_timeout(unused_tcp_port):
    started = time.monotonic()
    with Client(f"127.0.0.1:{unused_tcp_port}", timeout=30) as client:
        with pytest.raises(ServerUnavailableError, match=str(unused_tcp_port)):
            client.search("milk")
        with pytest.raises(ServerUnavailableError):
            client.status()
    assert time.monotonic() - started < 60


def test_headers_go_with_every_call(triton):
    with Client(triton.url, headers={"Authorization": "Bearer x"}) as client:
        client.search("milk")
        client.status()
    assert [headers["authorization"] for headers in triton.metadata] == ["Bearer x"] * 3


def test_tls_connects_where_both_sides_trust_each_other(encrypted_triton, certificates):
    own = (certificates.client.cert, certificates.client.key) if encrypted_triton.mutual else ()
    with Client(encrypted_triton.url, tls=TLS(certificates.server.cert, *own)) as client:
        assert client.search("milk")[0].id == "item 0"


def test_tls_checks_the_name_that_is_expected(encrypted_triton, certificates):
    own = (certificates.client.cert, certificates.client.key) if encrypted_triton.mutual else (None, None)
    tls = TLS(certificates.server.cert, *own, server_name="search.test")
    with Client(encrypted_triton.url, tls=tls) as client:
        assert len(client.search("milk")) == 2
    tls = TLS(certificates.server.cert, *own, server_name="other.test")
    with Client(encrypted_triton.url, tls=tls) as client, pytest.raises(AuthenticationError):
        client.search("milk")


def test_tls_refuses_a_server_that_is_not_trusted(encrypted_triton, certificates):
    tls = TLS(certificates.stranger.cert)
    with Client(encrypted_triton.url, tls=tls) as client, pytest.raises(AuthenticationError, match=r"(?i)certificate"):
        client.search("milk")
    assert not encrypted_triton.requests


@pytest.mark.parametrize("encrypted_triton", ["mutual"], indirect=True)
@pytest.mark.parametrize("who", [None, "stranger"])
def test_mutual_tls_refuses_a_client_that_the_server_does_not_trust(encrypted_triton, certificates, who):
    own = vars(certificates)[who] if who else None
    tls = TLS(certificates.server.cert, own and own.cert, own and own.key)
    # What is seen depends on who hangs up first: the handshake fails, or the open connection breaks.
    with (
        Client(encrypted_triton.url, tls=tls) as client,
        pytest.raises((AuthenticationError, ServerUnavailableError)),
    ):
        client.search("milk")
    assert not encrypted_triton.requests


def test_a_closed_client_raises_client_closed(triton):
    client = Client(triton.url)
    client.close()
    client.close()
    with pytest.raises(ClientClosedError):
        client.search("milk")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "http://127.0.0.1:8001"}, "url: found 'http://127.0.0.1:8001'"),
        ({"url": ""}, "url: found ''"),
        ({"timeout": 0}, "timeout: found 0"),
        ({"timeout": float("nan")}, "timeout: found nan"),
        ({"retries": 5}, "retries: found 5; allowed: 0 to 4"),
        ({"retries": -1}, "retries: found -1"),
        ({"headers": {"a b": "c"}}, "headers: found 'a b'"),
        ({"headers": {"x-a": "é"}}, "headers: found 'é'"),
    ],
)
def test_unusable_settings_are_refused_at_once(settings, named):
    with pytest.raises(ConfigurationError, match=named):
        Client(**settings)


def test_an_unreadable_certificate_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"root_ca cannot be read.*none\.pem"):
        Client(tls=TLS(tmp_path / "none.pem"))


def test_half_a_client_certificate_is_refused():
    with pytest.raises(ConfigurationError, match="go together"):
        TLS(client_cert="client.pem")
