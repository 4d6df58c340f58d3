"""A real redis-server of the tests' own, on a free port, that can be stopped, killed and started again."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from support.running import free_ports


class RedisServer:
    """Runs redis-server with an append-only file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, (self.port,) = folder, free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        with self.connect() as client:
            while True:
                try:
                    client.ping()
                    return self
                except RedisError:
                    assert self._process.poll() is None, "redis-server stopped"
                    assert time.monotonic() < deadline, "redis-server does not answer"
                    time.sleep(0.02)

    def connect(self) -> Redis:
        return Redis(port=self.port, socket_timeout=5)

    def stop(self) -> None:
        """Asks it to end, and waits."""
        self._end(kill=False)

    def kill(self) -> None:
        """Kills it without a word."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(30)
        self._process = None


def start_redis(folder: Path) -> RedisServer:
    """Starts a server, or skips the test where none is installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    return RedisServer(folder).start()
