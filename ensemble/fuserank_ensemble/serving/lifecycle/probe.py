"""The liveness probe: looks for every process of a Python model, and asks for one recommendation over HTTP.

Triton goes on without a model's process that has died, calls itself live and ready, and fails every request that comes
to it. Where a model has several processes, a single answer does not show that one is gone. Standard library only, since
it starts a Python anew each time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

_NOT_RUNNING = "TtZX"  # of proc_pid_stat(5): stopped, traced, dead
_COUNT = re.compile(r"^instance_group \{[^}]*?\bcount: (\d+)", re.M)
# A newcomer: no word is sure to be in every catalogue, and this one runs through all stages.
_INPUTS = {"QUERY": "", "USER_ID": "liveness", "OPTIONS": '{"k": 1}'}
_BODY = json.dumps(
    {
        "inputs": [
            {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [value]} for name, value in _INPUTS.items()
        ]
    }
)


def dead_model(models: Path, target: str, processes: Path = Path("/proc")) -> str | None:
    """Looks for the processes of Python models, one for each instance that the configuration names.

    Args:
        models: Triton's model repository.
        target: Which configurations Triton was started with.
        processes: Where the kernel lists processes.

    Returns:
        Which model lacks a process, or has one that stands still (SIGSTOP); None where all run.
    """
    running: Counter[str] = Counter()
    for path in processes.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            state = path.with_name("stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
            if state not in _NOT_RUNNING:
                running.update(path.read_text("utf-8", "replace").split("\0"))
    for model in sorted(models.iterdir()):
        named = model / "configs" / f"{target}.pbtxt"
        config = (named if named.is_file() else model / "config.pbtxt").read_text("utf-8")
        wanted = sum(map(int, _COUNT.findall(config))) if 'backend: "python"' in config else 0
        alive = running[str(model / "1" / "model.py")]
        if alive < wanted:
            return f"{model.name}: {alive} of {wanted} processes are alive"
    return None


def failure(port: int, timeout: float) -> str | None:
    """Asks once.

    Args:
        port: Triton's HTTP port on this machine.
        timeout: Seconds to wait for the answer.

    Returns:
        Why the server has to be started anew; nothing where it answers, or refuses because it is overloaded: a
        restart would only hand its load to the others.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/v2/models/search/infer", _BODY, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        body = reply.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer within {timeout:g} s: {error}"
    finally:
        connection.close()
    if reply.status in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    return f"status {reply.status}: {body.decode('utf-8', 'replace')}"


def main() -> str | None:
    """Reads the command line; returns what `sys.exit` takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="Triton's HTTP port")
    parser.add_argument("--timeout", type=float, default=8.0, help="seconds to wait for the answer")
    parser.add_argument("--models", type=Path, default=Path("/models"), help="Triton's model repository")
    parser.add_argument("--target", required=True, help="as --model-config-name was given to Triton")
    options = parser.parse_args()
    return dead_model(options.models, options.target) or failure(options.port, options.timeout)


if __name__ == "__main__":
    sys.exit(main())
