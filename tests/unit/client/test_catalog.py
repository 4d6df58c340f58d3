"""`catalog` from both clients and the command line: its requests and results."""

from __future__ import annotations

import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor
from typer.testing import CliRunner

from fuserank.aio import AsyncClient
from fuserank.changes import CatalogResult, ChangeOutcome
from fuserank.cli import app
from fuserank.client import Client
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.events import FieldError

ERROR = {"field": "fields.pric", "found": "an unknown field", "allowed": "price"}


@dataclass
class FakeCatalog(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Takes every change but those that are no object or name a field `pric`."""

    failures: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    url: str = ""
    position: int = 0

    def ModelInfer(self, request, context):
        assert request.model_name == "catalog"
        changes = json.loads(deserialize_bytes_tensor(request.raw_input_contents[0])[0])
        self.sent.append(changes)
        if self.failures:
            context.abort(*self.failures.pop(0))
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, value in (self.outputs or self._taken(changes)).items():
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            response.outputs.add(name=name, datatype="BYTES", shape=[1, 1])
            response.raw_output_contents.append(serialize_byte_tensor(np.array([text], np.object_)).item())
        return response

    def _taken(self, changes):
        results = []
        for change in changes:
            bad = not isinstance(change, dict) or "pric" in change.get("fields", {})
            self.position += not bad
            results.append({"error": ERROR} if bad else {"position": self.position, "from_a_newer_server": 1})
        rejected = sum("error" in result for result in results)
        counts = {"changed": len(changes) - rejected, "rejected": rejected, "duplicates": 0}
        return {"RESULT": results, "STATUS": {"position": self.position, "microseconds": 5, **counts}}


@pytest.fixture
def fake():
    triton = FakeCatalog()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    triton.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield triton
    server.stop(0).wait()


@pytest.fixture
def client(fake):
    with Client(fake.url) as connected:
        yield connected


@pytest.fixture
def fuserank(fake, monkeypatch):
    monkeypatch.setenv("FUSERANK_URL", fake.url)
    return lambda *arguments, **more: CliRunner().invoke(app, list(arguments), prog_name="fuserank", **more)


def test_items_go_with_their_changed_fields_and_an_id_of_the_change(fake, client):
    result = client.upsert(
        [{"item_id": "i1", "price": np.float32(2), "brand": None, "change_id": "a"}, {"item_id": "i2", "pric": 1}]
    )
    first, second = fake.sent[0]
    assert first == {"change_id": "a", "item_id": "i1", "fields": {"price": 2.0, "brand": None}}
    assert len(second.pop("change_id")) == 32
    assert second == {"item_id": "i2", "fields": {"pric": 1}}
    assert result == CatalogResult(
        (ChangeOutcome(1), ChangeOutcome(error=FieldError(**ERROR))), position=1, changed=1, rejected=1
    )


def test_deletions_go_by_id(fake, client):
    assert client.delete(["i1", "i2"]).changed == 2
    assert [{**change, "change_id": None} for change in fake.sent[0]] == [
        {"change_id": None, "item_id": item, "delete": True} for item in ("i1", "i2")
    ]


def test_changes_and_deletions_go_in_their_order_with_one_call(fake, client):
    changes = [{"item_id": "i1", "delete": True}, {"change_id": "a", "item_id": "i1", "fields": {"price": 1}}]
    assert client.change(changes).changed == 2
    first, second = fake.sent[0]
    assert len(first.pop("change_id")) == 32
    assert [first, second] == changes


def test_a_call_that_is_repeated_repeats_the_ids(fake, client):
    for call in (lambda: client.upsert([{"item_id": "i1"}]), lambda: client.delete(["i1"])):
        fake.failures = [(grpc.StatusCode.UNAVAILABLE, "the server is starting")]
        call()
        first, second = fake.sent[-2:]
        assert first == second


def test_a_value_that_json_cannot_hold_is_refused_before_it_is_sent(fake, client):
    with pytest.raises(InvalidRequestError, match="CHANGES: found a value without a JSON form"):
        client.upsert([{"item_id": "i1", "price": object()}])
    assert fake.sent == []


@pytest.mark.parametrize(
    "outputs", [{"RESULT": b"no JSON", "STATUS": {}}, {"RESULT": [], "STATUS": []}, {"RESULT": []}]
)
def test_an_answer_that_is_none_is_an_incompatible_server(fake, client, outputs):
    fake.outputs = outputs
    with pytest.raises(IncompatibleServerError):
        client.delete(["i1"])


async def test_the_async_client_does_the_same(fake):
    async with AsyncClient(fake.url) as client:
        assert (await client.upsert([{"item_id": "i1", "price": 2.0}])).changed == 1
        assert (await client.delete(["i1"])).position == 2
        assert (await client.change([{"item_id": "i1", "delete": True}])).changed == 1
    for name in ("upsert", "delete", "change"):
        assert str(inspect.signature(getattr(AsyncClient, name))) == str(inspect.signature(getattr(Client, name)))


def test_the_command_upserts_lines_and_names_those_that_were_not_taken(fake, fuserank, tmp_path):
    file = tmp_path / "items.jsonl"
    file.write_text('{"item_id": "i1", "price": 2.5}\n\n{"item_id": "i2", "pric": 1}\nno JSON\n')
    done = fuserank("upsert", str(file))
    assert done.exit_code == 2
    assert done.stdout == "position 1 · changed 1 · duplicates 0 · rejected 2\n"
    assert done.stderr == (
        "fuserank: line 3: fields.pric: found an unknown field; allowed: price\n"
        "fuserank: line 4: fields.pric: found an unknown field; allowed: price\n"
    )
    done = fuserank("upsert", "-", "--json", input='{"item_id": "i1", "price": 3}\n' * 1_001)
    assert (done.exit_code, json.loads(done.stdout)["changed"]) == (0, 1_001)
    assert [len(changes) for changes in fake.sent] == [3, 1_000, 1]


def test_the_command_deletes_ids_of_the_command_line_or_of_stdin(fake, fuserank):
    assert fuserank("delete", "i1", "i2").stdout == "position 2 · changed 2 · duplicates 0 · rejected 0\n"
    assert fuserank("delete", "-", input="i3\n\ni4\n").exit_code == 0
    assert [[change["item_id"] for change in changes] for changes in fake.sent] == [["i1", "i2"], ["i3", "i4"]]


def test_a_file_that_cannot_be_read_is_named(fake, fuserank, tmp_path):
    done = fuserank("upsert", str(tmp_path / "missing.jsonl"))
    assert done.exit_code == 2
    assert "FILE:" in done.stderr
