"""Each implementation of the log, empty, for the one suite that all of them must pass."""

from __future__ import annotations

import pytest

from fuserank_ensemble.state.settings import open_log
from support.redis_server import start_redis


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path):
    server = start_redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "redis"])
def place(request, tmp_path):
    """Where an empty log is."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'state' / 'log.sqlite'}"
    server = request.getfixturevalue("redis_server")
    with server.connect() as client:
        client.flushall()
    return f"{server.url}?name=shop"


@pytest.fixture
def log(place):
    with_place = open_log(place)
    yield with_place
    with_place.close()
