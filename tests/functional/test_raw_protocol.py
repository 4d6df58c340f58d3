"""Nothing but the KServe v2 protocol is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from fuserank.client import Client
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from support.running import REPOSITORY, url

EXAMPLE = REPOSITORY / "client" / "examples" / "raw_grpc.py"
NODE_EXAMPLE = EXAMPLE.with_name("kserve.mjs")


pytestmark = pytest.mark.targets("single_process", reason="the protocol is Triton's own, whatever runs the graph")


def run_example(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), *arguments, "--url", url(server)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_the_raw_grpc_example_gets_the_clients_answer(server: Server, client: Client, bundle: Bundle):
    done = run_example(server, "half gallon milk", "--user", "u03", "--options", '{"k": 4}')
    assert done.returncode == 0, done.stderr
    *items, last = (json.loads(line) for line in done.stdout.splitlines())
    expected = client.search("half gallon milk", "u03", k=4)
    assert [item["id"] for item in items] == [item.id for item in expected]
    assert [item["score"] for item in items] == pytest.approx([item.score for item in expected], abs=1e-4)
    assert last["status"]["bundle"] == bundle.id


def test_the_raw_grpc_example_shows_the_servers_error(server: Server):
    done = run_example(server, "milk", "--options", '{"k": 0}')
    assert done.returncode == 1
    assert done.stderr.startswith("INVALID_ARGUMENT: ")
    assert "OPTIONS.k: found 0" in done.stderr


def over_http(server: Server, **values: str) -> dict:
    """One search over KServe v2's JSON."""
    tensors = {"QUERY": "", "USER_ID": "", "OPTIONS": "{}"} | values
    body = {"inputs": [{"name": n, "datatype": "BYTES", "shape": [1, 1], "data": [v]} for n, v in tensors.items()]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.endpoints.http}/v2/models/search/infer",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        return {output["name"]: output["data"] for output in json.load(reply)["outputs"]}


def test_http_and_json_do_as_well(server: Server, client: Client):
    found = over_http(server, QUERY="rye bread", OPTIONS='{"k": 3}')
    assert found["ITEM_ID"] == [item.id for item in client.search("rye bread", k=3)]


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node is installed")
def test_the_node_example_gets_the_clients_answer(server: Server, client: Client, bundle: Bundle):
    address = f"http://127.0.0.1:{server.endpoints.http}"
    command = ["node", str(NODE_EXAMPLE), "half gallon milk", "u03", '{"k": 4}', address]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *items, last = (json.loads(line) for line in done.stdout.splitlines())
    expected = client.search("half gallon milk", "u03", k=4)
    assert [(item["id"], item["fields"]) for item in items] == [(item.id, item.fields) for item in expected]
    assert last["status"]["bundle"] == bundle.id


def test_http_refuses_with_400(server: Server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        over_http(server, QUERY="milk", OPTIONS='{"k": 0}')
    assert caught.value.code == 400
    assert "OPTIONS.k: found 0" in json.load(caught.value)["error"]
