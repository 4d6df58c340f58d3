"""`record` and `profile` from both clients and the command line: their requests and results."""

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
from fuserank.cli import app
from fuserank.client import Client
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.events import EventOutcome, FieldError, Profile, ProfileChange

PURCHASE = {"item_id": "i1", "event": "purchase", "user_id": "900"}
ERROR = {"field": "event", "found": '"purchse"', "allowed": "purchase, view"}


@dataclass
class FakeState(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Takes every event but those that are no object or of the kind `purchse`."""

    failures: list = field(default_factory=list)
    profile: dict = field(default_factory=dict)
    sent: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    url: str = ""
    position: int = 0

    def ModelInfer(self, request, context):
        values = [deserialize_bytes_tensor(raw)[0] for raw in request.raw_input_contents]
        inputs = dict(zip([i.name for i in request.inputs], values, strict=True))
        self.sent.append((request.model_name, inputs))
        if self.failures:
            context.abort(*self.failures.pop(0))
        answer = self.outputs or (
            self._recorded(json.loads(inputs["EVENTS"]))
            if request.model_name == "record"
            else {"PROFILE": self.profile}
        )
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, value in answer.items():
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            response.outputs.add(name=name, datatype="BYTES", shape=[1, 1])
            response.raw_output_contents.append(serialize_byte_tensor(np.array([text], np.object_)).item())
        return response

    def _recorded(self, events):
        results = []
        for event in events:
            bad = not isinstance(event, dict) or event.get("event") == "purchse"
            self.position += not bad
            results.append({"error": ERROR} if bad else {"position": self.position, "from_a_newer_server": 1})
        rejected = sum("error" in result for result in results)
        counts = {"recorded": len(events) - rejected, "rejected": rejected, "duplicates": 0, "unknown_items": 1}
        return {"RESULT": results, "STATUS": {"position": self.position, "microseconds": 5, **counts}}


@pytest.fixture
def fake():
    triton = FakeState()
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


def events_sent(fake):
    return [json.loads(inputs["EVENTS"]) for model, inputs in fake.sent if model == "record"]


def test_events_go_as_they_are_with_an_id_and_come_back_in_order(fake, client):
    result = client.record([{**PURCHASE, "event_id": "a", "value": np.float32(2)}, {**PURCHASE, "event": "purchse"}])
    first, second = events_sent(fake)[0]
    assert first == {**PURCHASE, "event_id": "a", "value": 2.0}
    assert len(second.pop("event_id")) == 32
    assert result.events == (EventOutcome(1), EventOutcome(error=FieldError(**ERROR)))
    assert (result.position, result.recorded, result.rejected, result.unknown_items) == (1, 1, 1, 1)


def test_a_call_that_is_repeated_repeats_the_ids(fake, client):
    fake.failures = [(grpc.StatusCode.UNAVAILABLE, "the server is starting")]
    client.record([PURCHASE])
    first, second = events_sent(fake)
    assert first == second


def test_an_event_that_json_cannot_hold_is_refused_before_it_is_sent(fake, client):
    with pytest.raises(InvalidRequestError, match="EVENTS: found a value without a JSON form"):
        client.record([{**PURCHASE, "value": object()}])
    assert fake.sent == []


def test_profiles_are_read_and_changed(fake, client):
    fake.profile = {"events": [{"item_id": "i1"}], "personalised": False, "position": 7, "bundles": ["b"], "more": 1}
    assert client.profile("900") == Profile([{"item_id": "i1"}], personalised=False, position=7, bundles=["b"])
    fake.profile = {"position": 9, "erased": 2, "bundles": ["b"]}
    assert client.forget("900") == ProfileChange(9, erased=2, bundles=["b"])
    fake.profile = {"position": 10, "merged": 3}
    assert client.merge("900", from_session="s").merged == 3
    assert (client.opt_out("900").position, client.opt_in("900").position) == (10, 10)
    asked = [(inputs["ACTION"].decode(), json.loads(inputs["OPTIONS"])) for _, inputs in fake.sent]
    assert asked == [("get", {}), ("forget", {}), ("merge", {"from_session": "s"}), ("opt_out", {}), ("opt_in", {})]


def test_a_server_without_a_state_is_told_how_to_get_one(fake, client):
    for name, call in (("record", lambda: client.record([PURCHASE])), ("profile", lambda: client.forget("900"))):
        fake.failures = [(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")]
        with pytest.raises(IncompatibleServerError, match="fuserank serve --state"):
            call()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"RESULT": []}, "STATUS"),
        ({"RESULT": [], "STATUS": b"no JSON"}, "STATUS is not JSON"),
        ({"RESULT": {}, "STATUS": {}}, "RESULT is not a JSON list"),
        ({"RESULT": [{"error": {}}, {"error": {"found": "1"}}], "STATUS": {}}, "a fielderror is incomplete"),
    ],
)
def test_an_answer_outside_the_contract_is_an_error_that_names_the_output(fake, client, outputs, message):
    fake.outputs = outputs
    with pytest.raises(IncompatibleServerError, match=message):
        client.record([PURCHASE])


async def test_the_asyncio_client_does_the_same(fake):
    fake.profile = {"position": 3}
    async with AsyncClient(fake.url) as client:
        assert (await client.record([PURCHASE])).recorded == 1
        assert (await client.profile("900")).position == 3
        changes = [await client.forget("900"), await client.merge("900", from_user="v"), await client.opt_out("900")]
        assert [change.position for change in [*changes, await client.opt_in("900")]] == [3] * 4
    assert [inputs.get("ACTION") for _, inputs in fake.sent] == [
        None,
        b"get",
        b"forget",
        b"merge",
        b"opt_out",
        b"opt_in",
    ]


def test_both_clients_have_the_same_methods():
    for name in ("record", "profile", "forget", "merge", "opt_out", "opt_in"):
        both = [inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient)]
        assert both[0] == both[1], name


def test_the_command_records_one_event(fake, fuserank):
    run = fuserank("record", "--user", "900", "--item", "i1", "--event", "rating", "--value", "4.5", "--session", "s")
    assert (run.exit_code, run.stderr) == (0, "")
    assert run.stdout == "position 1 · recorded 1 · duplicates 0 · spooled 0 · rejected 0 · unknown items 1\n"
    ((event,),) = events_sent(fake)
    assert event.pop("event_id")
    assert event == {"item_id": "i1", "event": "rating", "user_id": "900", "session_id": "s", "value": 4.5}


def test_the_command_records_a_file_in_batches_and_names_the_lines_that_were_not_taken(fake, fuserank, tmp_path):
    lines = [json.dumps({**PURCHASE, "event_id": f"e{n}"}) for n in range(1_500)]
    lines[2], lines[1_200], lines[5] = '{"event": "purchse"}', "no JSON", ""
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    run = fuserank("record", str(tmp_path / "events.jsonl"), "--json")
    assert run.exit_code == 2
    assert [len(batch) for batch in events_sent(fake)] == [1_000, 499]
    assert json.loads(run.stdout) == {
        "position": 1_497, "recorded": 1_497, "duplicates": 0, "spooled": 0, "rejected": 2, "unknown_items": 2,
    }  # fmt: skip
    problems = run.stderr.splitlines()
    assert problems[0] == 'fuserank: line 3: event: found "purchse"; allowed: purchase, view'
    assert problems[1].startswith("fuserank: line 1201: ")


def test_the_command_reads_stdin(fake, fuserank):
    run = fuserank("record", "-", input=json.dumps(PURCHASE) + "\n")
    assert run.exit_code == 0
    assert len(events_sent(fake)[0]) == 1


@pytest.mark.parametrize("arguments", [[], ["-", "--user", "900"], ["/none/such.jsonl"]])
def test_the_command_wants_a_file_or_an_event(fuserank, arguments):
    run = fuserank("record", *arguments)
    assert run.exit_code == 2
    assert run.stderr.startswith("fuserank: FILE: ")
    assert len(run.stderr.splitlines()) == 1


def test_the_commands_of_profiles_say_what_they_did(fake, fuserank):
    fake.profile = {"position": 1_234, "erased": 2, "bundles": ["b-1"]}
    assert fuserank("forget", "900").stdout == "position 1,234 · erased 2 · still in bundle b-1 until the next export\n"
    fake.profile = {"position": 5, "merged": 3}
    assert fuserank("merge", "900", "--session", "s").stdout == "position 5 · merged 3\n"
    assert json.loads(fuserank("opt-out", "900", "--json").stdout)["position"] == 5
    fake.profile = {"position": 6, "personalised": True}
    assert fuserank("opt-in", "900").stdout == "position 6\n"
    fake.profile = {"events": [], "personalised": True}
    assert json.loads(fuserank("profile", "900").stdout)["personalised"] is True


def test_a_search_names_its_session_and_the_position_that_it_must_know(fuserank, fake):
    fake.failures = [(grpc.StatusCode.INVALID_ARGUMENT, "seen")] * 3
    fuserank("search", "milk", "--session", "s", "--min-position", "7")
    assert json.loads(fake.sent[0][1]["OPTIONS"]) == {"session_id": "s", "min_position": 7}
