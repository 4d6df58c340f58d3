"""nginx as a gRPC load balancer on loopback, given its servers as an ingress controller gives them: by a reload."""

from __future__ import annotations

import getpass
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.busy_machine import wait_until

CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream replicas {{
        {servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{ grpc_pass grpc://replicas; }}
    }}
}}
"""


class Balancer:
    """A running nginx."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where callers ask."""
        return f"127.0.0.1:{self._port}"

    def route(self, servers: Sequence[str]) -> None:
        """Sends new requests to these servers alone; those in flight end where they are."""
        self._write(servers)
        if self.process is None:
            command = ["nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
            with (self._folder / "out.log").open("wb") as out:
                self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
            self._wait()
        else:
            self.process.send_signal(signal.SIGHUP)

    def _write(self, servers: Sequence[str]) -> None:
        user = "user root;" if getpass.getuser() == "root" else ""
        lines = "\n        ".join(f"server {server};" for server in servers)
        text = CONFIG.format(folder=self._folder, port=self._port, servers=lines, user=user)
        (self._folder / "nginx.conf").write_text(text, "utf-8")

    def _wait(self) -> None:
        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        assert wait_until(listens), (self._folder / "out.log").read_text("utf-8")


@contextmanager
def balancer(folder: Path, port: int) -> Iterator[Balancer]:
    """Runs nginx until the block ends; it starts with the first `route`."""
    running = Balancer(folder, port)
    try:
        yield running
    finally:
        if running.process is not None:
            running.process.terminate()
            running.process.wait(20)
