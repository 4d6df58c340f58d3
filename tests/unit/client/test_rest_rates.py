"""Over REST each tenant has a rate of its own; what is beyond it is told when to come again, and costs no other."""

from __future__ import annotations

import json

import pytest

from fuserank.errors import ConfigurationError
from fuserank.rest.app import create_app
from fuserank.rest.rates import RateLimit
from support import asgi
from support.rest_client import FakeClient

BODY = json.dumps({"query": "milk"}).encode()


@pytest.fixture
def client():
    return FakeClient()


@pytest.fixture
def send(client):
    app = create_app(client, rate=RateLimit("3/minute", "X-Tenant"))

    def send(path="/v1/search", method="POST", body=BODY, **headers):
        return asgi.send(app, method, path, body, {"content-type": "application/json", "host": "127.0.0.1", **headers})

    return send


def test_what_a_tenant_asks_beyond_its_rate_is_refused_before_it_reaches_the_server(send, client):
    assert [send(**{"x-tenant": "a"}).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert len(client.calls) == 3
    refused = send(**{"x-tenant": "a"})
    assert 1 <= int(dict(refused.headers)["retry-after"]) <= 60
    assert "X-Tenant 'a': found more requests than allowed; allowed: 3 per 1 minute" in refused.text


def test_another_tenant_is_answered_meanwhile_and_those_without_a_name_are_one(send):
    for _ in range(4):
        send(**{"x-tenant": "a"})
    assert send(**{"x-tenant": "b"}).status == 200
    assert [send().status for _ in range(4)] == [200, 200, 200, 429]


def test_the_description_and_whether_it_is_ready_are_not_counted(send):
    for _ in range(4):
        send()
    assert send("/openapi.json", "GET", b"").status == 200
    assert send("/ready", "GET", b"").status == 200


@pytest.mark.parametrize("rate", ["", "fast", "0/second", "-3/minute", "10 per fortnight"])
def test_a_rate_that_is_none_names_what_is_allowed(rate):
    with pytest.raises(ConfigurationError, match=r"--rate: found .*; allowed: "):
        RateLimit(rate, "X-Tenant")


def test_a_header_that_cannot_be_one_is_named():
    with pytest.raises(ConfigurationError, match="--tenant-header: found 'X Tenant'"):
        RateLimit("1/second", "X Tenant")
