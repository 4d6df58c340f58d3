"""The raw example searches with gRPC and protobuf alone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2

EXAMPLE = Path(__file__).parents[3] / "client" / "examples" / "raw_grpc.py"


@pytest.fixture(scope="module")
def raw_grpc():
    spec = importlib.util.spec_from_file_location("raw_grpc", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_raw_example_returns_what_the_client_returns(triton):
    arguments = ["half gallon milk", "--user", "900", "--options", '{"k": 2}', "--url", triton.url]
    run = subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, check=True)
    milk, bread, last = map(json.loads, run.stdout.splitlines())
    assert (milk["id"], milk["score"], milk["fields"]["price"]) == ("item 0", 2.75, 2.5)
    assert (bread["id"], last["status"]["bundle"]) == ("item 1", "b-1a2b")
    (row,) = triton.requests[0]
    assert (row.query, row.user, row.options) == (b"half gallon milk", b"900", {"k": 2})


def test_the_raw_example_reports_a_refused_request(triton, raw_grpc, capsys):
    triton.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "OPTIONS.k: found 0; allowed: more")]
    assert raw_grpc.main(["milk", "--url", triton.url]) == 1
    assert capsys.readouterr().err == "INVALID_ARGUMENT: OPTIONS.k: found 0; allowed: more\n"


def test_the_raw_example_imports_no_triton_package():
    imports = [line for line in EXAMPLE.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert not [line for line in imports if "triton" in line or "fuserank" in line]


@pytest.mark.parametrize("message", ["ModelInferRequest", "ModelInferResponse"])
def test_the_raw_examples_field_numbers_are_those_of_the_protocol(raw_grpc, message):
    ours = raw_grpc.build_messages()[message].DESCRIPTOR
    theirs = getattr(service_pb2, message).DESCRIPTOR
    for field in ours.fields:
        assert field.number == theirs.fields_by_name[field.name].number
