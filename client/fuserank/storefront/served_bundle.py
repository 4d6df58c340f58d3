"""A server that `fuserank shop --serve` runs beside its pages."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fuserank.connection import DEFAULT_URL
from fuserank.errors import ConfigurationError

STOP_SECONDS = 30
TAIL_LINES = 30
TAIL_BYTES = 20_000


class ServedBundle:
    """Runs a server as a process of its own, as a context manager that ends it.

    What it prints goes to a file, so that its last lines can be shown where it ends by itself.

    Args:
        command: The program with its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed on exit

    def __enter__(self) -> Self:
        # In a group of its own: Ctrl-C reaches the pages alone, which end the server in their turn.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, process_group=0
        )
        return self

    def watch(self, then: Callable[[], None]) -> None:
        """Calls a function, from another thread, when the process has ended."""

        def wait() -> None:
            self._process.wait()
            then()

        threading.Thread(target=wait, daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell has it, 128 and the number of a signal that ended it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def read_tail(self) -> str:
        """Returns the last lines that it printed."""
        end = self._log.seek(0, 2)
        self._log.seek(max(0, end - TAIL_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def list_command(bundle: Path, url: str) -> list[str]:
    """Returns the command line that serves a bundle at a gRPC address, its other ports beside that one.

    Raises:
        ConfigurationError: Where the address has no port.
    """
    host, _, port = url.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"--url: found {url!r}; allowed: host:port, such as {DEFAULT_URL}")
    ports = ["--http-port", str(int(port) - 1), "--grpc-port", port, "--metrics-port", str(int(port) + 1)]
    return [sys.executable, "-m", "fuserank.cli", "serve", str(bundle), "--host", host, *ports, "--verbose"]
