"""The example in JavaScript searches with fetch alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from support.busy_machine import PATIENCE

NODE = shutil.which("node")
EXAMPLE = Path(__file__).parents[3] / "client" / "examples" / "kserve.mjs"
pytestmark = pytest.mark.skipif(NODE is None, reason="no Node is installed")
OUTPUTS = {
    "ITEM_ID": ["i1", "i2"],
    "SCORE": [1.5, 0.5],
    "ITEM": ['{"fields": {"title": "牛奶"}}', '{"fields": {}}'],
    "STATUS": ['{"bundle": "b-1"}'],
}


class Triton(BaseHTTPRequestHandler):
    """Answers a search as Triton does over HTTP with JSON; a `k` of 0 is refused."""

    asked: ClassVar[list[tuple[str, dict]]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sent = {tensor["name"]: tensor["data"] for tensor in body["inputs"]}
        assert all((tensor["datatype"], tensor["shape"]) == ("BYTES", [1, 1]) for tensor in body["inputs"])
        self.asked.append((self.path, sent))
        refused = json.loads(sent["OPTIONS"][0]).get("k") == 0
        outputs = [{"name": name, "datatype": "", "shape": [1, len(d)], "data": d} for name, d in OUTPUTS.items()]
        answer = {"error": "OPTIONS.k: found 0; allowed: 1 to 200"} if refused else {"outputs": outputs}
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address():
    Triton.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Triton) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(*arguments):
    return subprocess.run([NODE, EXAMPLE, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_the_example_sends_a_row_and_prints_what_was_found(address):
    done = run("milk", "900", '{"k": 2}', address)
    assert done.returncode == 0, done.stderr
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert first == {"id": "i1", "score": 1.5, "fields": {"title": "牛奶"}}
    assert (second["id"], last["status"]["bundle"]) == ("i2", "b-1")
    assert Triton.asked == [
        ("/v2/models/search/infer", {"QUERY": ["milk"], "USER_ID": ["900"], "OPTIONS": ['{"k":2}']})
    ]


def test_the_example_shows_the_servers_error(address):
    done = run("milk", "", '{"k": 0}', address)
    assert (done.returncode, done.stdout) == (1, "")
    assert "OPTIONS.k: found 0" in done.stderr
