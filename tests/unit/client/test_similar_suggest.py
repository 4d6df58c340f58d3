"""`similar` and `suggest` from both clients and the command line: their requests and results."""

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
from fuserank.errors import IncompatibleServerError, InvalidRequestError, OverloadedError
from fuserank.types import SimilarOptions, Suggestion

ITEM = json.dumps({"fields": {"title": "Oat drink", "price": 2.5}})
STATUS = json.dumps({"bundle": "b-1", "candidates": {"content": 9, "fused": 9}, "returned": 1})
SIMILAR = {"ITEM_ID": [b"i1", b""], "SCORE": [0.75, 0.0], "ITEM": [ITEM.encode(), b""], "STATUS": [STATUS.encode()]}
SUGGEST = {"SUGGESTION": [b"oat drink", "乌龙茶 🥛".encode(), b""], "SCORE": [40.0, 2.5, 0.0]}


@dataclass
class FakeSimilarAndSuggest(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers as the two models would."""

    answers: dict = field(default_factory=lambda: {"similar": dict(SIMILAR), "suggest": dict(SUGGEST)})
    failure: tuple | None = None
    sent: list = field(default_factory=list)
    url: str = ""

    def ModelInfer(self, request, context):
        assert all((tensor.datatype, list(tensor.shape)) == ("BYTES", [1, 1]) for tensor in request.inputs)
        values = [deserialize_bytes_tensor(raw)[0] for raw in request.raw_input_contents]
        self.sent.append((request.model_name, dict(zip([i.name for i in request.inputs], values, strict=True))))
        if self.failure:
            context.abort(*self.failure)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, cells in self.answers[request.model_name].items():
            number = name == "SCORE"
            response.outputs.add(name=name, datatype="FP32" if number else "BYTES", shape=[1, len(cells)])
            text = serialize_byte_tensor(np.array(cells, np.object_)).item() if cells and not number else b""
            response.raw_output_contents.append(np.array(cells, np.float32).tobytes() if number else text)
        return response


@pytest.fixture
def fake():
    triton = FakeSimilarAndSuggest()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    triton.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield triton
    server.stop(0).wait()


@pytest.fixture
def client(fake):
    with Client(fake.url, retries=0) as connected:
        yield connected


@pytest.fixture
def fuserank(fake, monkeypatch):
    monkeypatch.setenv("FUSERANK_URL", fake.url)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, list(arguments), prog_name="fuserank")


def test_an_item_or_a_text_is_sent_with_the_options_that_were_given(fake, client):
    result = client.similar("i0", k=3, filter={"price": {"lt": np.float32(5)}}, fields=("title",))
    client.similar(text="oat drink 🥛")
    (first, second) = fake.sent
    assert first[0] == second[0] == "similar"
    assert (first[1]["ITEM_ID"], first[1]["TEXT"]) == (b"i0", b"")
    assert json.loads(first[1]["OPTIONS"]) == {"k": 3, "filter": {"price": {"lt": 5.0}}, "fields": ["title"]}
    assert second[1] == {"ITEM_ID": b"", "TEXT": "oat drink 🥛".encode(), "OPTIONS": b"{}"}
    assert [(item.id, item.score, item.fields["title"]) for item in result] == [("i1", 0.75, "Oat drink")]
    assert (result.status.bundle, result.status.candidates["content"]) == ("b-1", 9)


def test_completions_come_in_order_without_padding(fake, client):
    assert client.suggest("oa", 3) == [Suggestion("oat drink", 40.0), Suggestion("乌龙茶 🥛", 2.5)]
    client.suggest("")
    assert fake.sent == [
        ("suggest", {"PREFIX": b"oa", "OPTIONS": b'{"count":3}'}),
        ("suggest", {"PREFIX": b"", "OPTIONS": b"{}"}),
    ]


def test_no_match_is_an_empty_result(fake, client):
    fake.answers = {
        "similar": {**SIMILAR, "ITEM_ID": [], "SCORE": [], "ITEM": []},
        "suggest": {"SUGGESTION": [], "SCORE": []},
    }
    assert list(client.similar("i0")) == []
    assert client.suggest("x") == []


async def test_the_asyncio_client_asks_and_answers_as_the_blocking_one(fake, client):
    blocking = [client.similar("i0", k=2), client.similar(text="tea"), client.suggest("oa"), client.suggest("o", 1)]
    sent, fake.sent = fake.sent, []
    async with AsyncClient(fake.url) as other:
        awaited = [await other.similar("i0", k=2), await other.similar(text="tea")]
        awaited += [await other.suggest("oa"), await other.suggest("o", 1)]
    assert awaited == blocking
    assert fake.sent == sent


@pytest.mark.parametrize("name", ["similar", "suggest"])
def test_both_clients_have_the_same_signatures(name):
    assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))


def test_an_error_names_its_field(fake, client):
    fake.failure = (grpc.StatusCode.INVALID_ARGUMENT, 'ITEM_ID: found "nope"; allowed: an item of the catalogue')
    with pytest.raises(InvalidRequestError) as caught:
        client.similar("nope")
    assert caught.value.field == "ITEM_ID"


def test_a_full_queue_behind_similar_is_an_overload(fake, client):
    text = "retrieve: Model retrieve - Error when running inference: Exceeds maximum queue size"
    fake.failure = (grpc.StatusCode.UNAVAILABLE, text)
    with pytest.raises(OverloadedError):
        client.similar("i0")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.similar(7),
        lambda client: client.similar(text=None),
        lambda client: client.similar("i0", filter={"brand": object()}),
        lambda client: client.suggest(b"oa"),
        lambda client: client.suggest("oa", {1}),
    ],
)
def test_a_value_that_cannot_be_encoded_is_refused_before_any_call(fake, client, ask):
    with pytest.raises(InvalidRequestError, match=r"^(ITEM_ID|TEXT|PREFIX|OPTIONS): found "):
        ask(client)
    assert fake.sent == []


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("suggest", {"SUGGESTION": [b"a"]}),
        ("suggest", {"SUGGESTION": [b"a"], "SCORE": [1.0, 2.0]}),
        ("similar", {**SIMILAR, "STATUS": [b"[]"]}),
    ],
)
def test_a_response_outside_the_contract_is_an_error(fake, client, model, answer):
    fake.answers[model] = answer
    with pytest.raises(IncompatibleServerError):
        client.similar("i0") if model == "similar" else client.suggest("a")


def test_a_server_without_the_models_is_incompatible(fake, client):
    fake.failure = (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'suggest' is not found")
    with pytest.raises(IncompatibleServerError):
        client.suggest("a")


def test_similar_prints_a_table_or_json(fuserank, fake):
    run = fuserank("similar", "i0", "-k", "2", "--filter", '{"price": {"lt": 5}}', "--fields", "title,price")
    assert run.exit_code == 0
    for text in ("like i0", "i1", "Oat drink", "2.50", "0.750"):
        assert text in run.stdout
    options = {"k": 2, "filter": {"price": {"lt": 5}}, "fields": ["title", "price"]}
    assert json.loads(fake.sent[0][1]["OPTIONS"]) == options
    assert json.loads(fuserank("similar", "--text", "tea", "--json").stdout)["items"][0]["id"] == "i1"
    assert fake.sent[1][1] == {"ITEM_ID": b"", "TEXT": b"tea", "OPTIONS": b"{}"}


def test_every_option_of_similar_has_an_option_of_the_command(fuserank, fake):
    run = fuserank(
        *["similar", "--basket", "a, b", "--complements", "--user", "u1", "--session", "s1", "--min-position", "7"],
        *["-k", "2", "--filter", "{}", "--fields", "title", "--explain", "--language", "zh"],
    )
    assert run.exit_code == 0
    sent = json.loads(fake.sent[0][1]["OPTIONS"])
    assert sent.keys() == SimilarOptions.__annotations__.keys()
    assert (sent["basket"], sent["relation"], sent["session_id"], sent["min_position"]) == (
        ["a", "b"], "complement", "s1", 7,
    )  # fmt: skip


def test_suggest_prints_a_table_or_json(fuserank, fake):
    fake.answers["suggest"]["SUGGESTION"] = [b"oat [bold] drink", "乌龙茶".encode(), b""]
    run = fuserank("suggest", "oa")
    assert run.exit_code == 0
    for text in ("oat [bold] drink", "40", "乌龙茶"):
        assert text in run.stdout
    completions = json.loads(fuserank("suggest", "oa", "--count", "3", "--json").stdout)
    assert completions == [{"text": "oat [bold] drink", "score": 40.0}, {"text": "乌龙茶", "score": 2.5}]
    assert fake.sent[1][1]["OPTIONS"] == b'{"count":3}'


def test_a_refusal_is_one_line_and_exit_2(fuserank, fake):
    text = "ITEM_ID, TEXT: found both empty; allowed: one of them"
    fake.failure = (grpc.StatusCode.INVALID_ARGUMENT, text)
    run = fuserank("similar")
    assert (run.exit_code, run.stdout, run.stderr) == (2, "", f"fuserank: {text}\n")


@pytest.mark.parametrize("command", ["similar", "suggest"])
def test_help_shows_an_example(fuserank, command):
    assert f"Example: fuserank {command}" in fuserank(command, "--help").stdout
