"""The liveness probe: asks the server for one recommendation over HTTP, from within its container.

Triton goes on without a stage whose process has died, calls itself live and ready, and fails every request: only an
answer proves that all stages are there. Standard library only, since it starts a Python anew each time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys

# A newcomer: no word is sure to be in every catalogue, and this one runs through all stages.
_INPUTS = {"QUERY": "", "USER_ID": "liveness", "OPTIONS": '{"k": 1}'}
_BODY = json.dumps(
    {
        "inputs": [
            {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [value]} for name, value in _INPUTS.items()
        ]
    }
)


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
    asked = parser.parse_args()
    return failure(asked.port, asked.timeout)


if __name__ == "__main__":
    sys.exit(main())
