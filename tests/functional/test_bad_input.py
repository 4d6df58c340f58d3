"""A bad request gets INVALID_ARGUMENT with the field, what it held and what is allowed; the stubs live on."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank_ensemble.serving.server import Server
from support.busy_machine import wait_until
from support.running import assert_no_traceback, options, raw_inputs, refusal, stub_pids, text_tensor, url

INVALID = "INVALID_ARGUMENT"


@pytest.fixture(scope="module", autouse=True)
def unharmed(server: Server, client: Client) -> Iterator[None]:
    """Whatever this file sends: the same processes answer afterwards."""
    before = stub_pids(server)
    assert len(before) >= 5  # one a stage at least
    yield
    assert len(client.search("milk")) == 10
    assert stub_pids(server) == before


LONE = "\\ud800"  # half of a surrogate pair: JSON can write it, UTF-8 cannot
CASES = {
    "nothing asked": ({"query": b""}, ["QUERY, USER_ID", "both empty", "a query, a user or a history"]),
    "white space asked": ({"query": b" \n\t "}, ["QUERY, USER_ID", "both empty"]),
    "a user by the name in a bundle": (
        {"query": b"milk", "user": b"hash:" + b"0a" * 16},
        ["USER_ID", "hash:0a0a", "the shop's own id"],
    ),
    "k 0": ({"options": options(k=0)}, ["OPTIONS.k", "found 0", "from 1 to 200"]),
    "k -1": ({"options": options(k=-1)}, ["OPTIONS.k", "found -1", "from 1 to 200"]),
    "k 10000": ({"options": options(k=10_000)}, ["OPTIONS.k", "found 10000", "from 1 to 200"]),
    "k of 401 digits": ({"options": options(k=10**400)}, ["OPTIONS.k", "401", "from 1 to 200"]),
    "k of 5001 digits": ({"options": b'{"k": 1%s}' % (b"0" * 5_000)}, ["OPTIONS", "allowed"]),
    "k a string": ({"options": options(k="ten")}, ["OPTIONS.k", '"ten"', "an integer"]),
    "k true": ({"options": options(k=True)}, ["OPTIONS.k", "true", "an integer"]),
    "k half a character": ({"options": b'{"k": "%s"}' % LONE.encode()}, ["OPTIONS", "allowed"]),
    "malformed options": ({"options": b'{"k": 5,'}, ["OPTIONS", "malformed JSON", "a JSON object"]),
    "options a list": ({"options": b"[1]"}, ["OPTIONS", "[1]", "a JSON object"]),
    "options too deep": ({"options": b"[" * 9_000}, ["OPTIONS", "allowed"]),
    "options of 1 MB": ({"options": b'"' + b"a" * 2**20}, ["OPTIONS", "1,048,577 bytes", "at most 65,536 bytes"]),
    "unknown option": ({"options": options(divesity=1)}, ["OPTIONS.divesity", "unknown", "did you mean 'diversity'?"]),
    "unknown context": (
        {"options": options(context={"regoin": "x"})},
        ["OPTIONS.context.regoin", "unknown", "did you mean 'region'?"],
    ),
    "unknown option, half a character": (
        {"options": b'{"%s": 1}' % LONE.encode()},
        ["OPTIONS", "lone surrogate", "allowed"],
    ),
    "unknown option with a NUL": ({"options": b'{"a\\u0000b": 1}'}, ["OPTIONS", "unknown", "allowed"]),
    "unknown filter field": (
        {"options": options(filter={"brnad": "Acme"})},
        ["OPTIONS.filter.brnad", "an unknown field", "did you mean 'brand'?"],
    ),
    "unknown nested filter field": (
        {"options": options(filter={"or": [{"brand": "Acme"}, {"not": {"prize": 1}}]})},
        ["OPTIONS.filter.or[1].not.prize", "an unknown field", "did you mean 'price'?"],
    ),
    "filter field half a character": (
        {"options": b'{"filter": {"%s": 1}}' % LONE.encode()},
        ["OPTIONS", "lone surrogate"],
    ),
    "filter word half a character": ({"options": b'{"filter": {"brand": "%s"}}' % LONE.encode()}, ["OPTIONS"]),
    "filter a string": ({"options": options(filter="Acme")}, ["OPTIONS.filter", '"Acme"', "an object"]),
    "price a string": ({"options": options(filter={"price": "1"})}, ["OPTIONS.filter.price", '"1"', "a finite number"]),
    "price NaN": ({"options": options(filter={"price": {"lt": float("nan")}})}, ["OPTIONS.filter.price.lt", "NaN"]),
    "price of 401 digits": ({"options": options(filter={"price": 10**400})}, ["OPTIONS.filter.price", "allowed"]),
    "unknown bound": (
        {"options": options(filter={"price": {"lower": 1}})},
        ["OPTIONS.filter.price.lower", "unknown bound", "gte"],
    ),
    "NaN weight": (
        {"options": options(objective={"click": float("nan")})},
        ["OPTIONS.objective.click", "NaN", "a finite number"],
    ),
    "infinite weight": ({"options": b'{"objective": {"click": 1e999}}'}, ["OPTIONS.objective.click", "Infinity"]),
    "no weight": ({"options": options(objective={"click": 0})}, ["OPTIONS.objective", "no weight above 0"]),
    "negative weight": ({"options": options(objective={"click": -1})}, ["OPTIONS.objective.click", "-1", "0 to 1,000"]),
    "unknown head": ({"options": options(objective={"clicks": 1})}, ["OPTIONS.objective.clicks", "'click'"]),
    "diversity 2": ({"options": options(diversity=2)}, ["OPTIONS.diversity", "found 2", "from 0"]),
    "deadline 0": ({"options": options(deadline_ms=0)}, ["OPTIONS.deadline_ms", "found 0", "above 0"]),
    "timestamp a word": (
        {"options": options(context={"timestamp": "soon"})},
        ["OPTIONS.context.timestamp", '"soon"', "ISO 8601"],
    ),
    "timestamp of 401 digits": (
        {"options": options(context={"timestamp": 10**400})},
        ["OPTIONS.context.timestamp", "ISO 8601"],
    ),
    "history of numbers": ({"options": options(history=[1])}, ["OPTIONS.history", "1", "item ids"]),
    "history too long": ({"options": options(history=["i0001"] * 1_001)}, ["OPTIONS.history", "at most 1,000"]),
    "history half a character": ({"options": b'{"history": ["%s"]}' % LONE.encode()}, ["OPTIONS"]),
    "unknown field": (
        {"options": options(fields=["titel"])},
        ["OPTIONS.fields", "'titel'", "did you mean 'title'?"],
    ),
    "query of 1 MB": ({"query": b"a" * 2**20}, ["QUERY", "1,048,576 bytes", "at most 4,096 bytes"]),
    "user of 1 kB": ({"user": b"u" * 1_024}, ["USER_ID", "1,024 bytes", "at most 256 bytes"]),
    "query not UTF-8": ({"query": b"mi\xfflk"}, ["QUERY", "0xff", "position 2", "UTF-8"]),
    "user not UTF-8": ({"user": b"\xc3"}, ["USER_ID", "0xc3", "position 0", "UTF-8"]),
    "options not UTF-8": ({"options": b'{"k": "\xff"}'}, ["OPTIONS", "0xff", "position 7", "UTF-8"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_value_is_refused_with_field_finding_and_remedy(raw: triton.InferenceServerClient, case: str):
    sent, expected = CASES[case]
    code, message = refusal(raw, raw_inputs(**sent))
    assert code == INVALID, message
    for part in expected:
        assert part in message
    assert len(message) < 1_000
    assert_no_traceback(message)


def test_a_price_that_64_bits_cannot_hold_is_answered_or_refused(client: Client):
    """2**70 is a finite number: no item costs more, and all cost less."""
    try:
        found = len(client.search("milk", filter={"price": {"lt": 2**70}}))
    except InvalidRequestError as error:
        found = error.field
    assert found in {10, "OPTIONS.filter.price.lt"}


def test_the_client_names_the_field(client: Client):
    with pytest.raises(InvalidRequestError) as caught:
        client.search("milk", k=0)
    assert caught.value.field == "OPTIONS.k"
    assert caught.value.message == "OPTIONS.k: found 0; allowed: an integer from 1 to 200"


@pytest.mark.parametrize("missing", ["QUERY", "USER_ID", "OPTIONS"])
def test_a_missing_tensor_is_named(raw: triton.InferenceServerClient, missing: str):
    code, message = refusal(raw, [tensor for tensor in raw_inputs() if tensor.name() != missing])
    assert code == INVALID
    assert f"missing required input(s) ['{missing}']" in message


@pytest.mark.parametrize("name", ["QUERY", "USER_ID", "OPTIONS"])
def test_a_wrong_dtype_is_named(raw: triton.InferenceServerClient, name: str):
    number = triton.InferInput(name, [1, 1], "INT64").set_data_from_numpy(np.array([[3]]))
    code, message = refusal(raw, [number, *(tensor for tensor in raw_inputs() if tensor.name() != name)])
    assert code == INVALID
    for part in (name, "INT64", "BYTES"):
        assert part in message


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[b"a", b"b"]], ["QUERY", "[-1,1]", "[1,2]"]),
        ([b"a"], ["QUERY", "[-1,1]", "[1]"]),
        ([[b"a"], [b"b"]], ["QUERY", "batch size does not match"]),
        ([[[b"a"]]], ["QUERY", "[-1,1]", "[1,1,1]"]),
    ],
    ids=["two columns", "no batch", "two rows", "three dimensions"],
)
def test_a_wrong_shape_is_named(raw: triton.InferenceServerClient, rows, expected):
    code, message = refusal(raw, [text_tensor("QUERY", rows), *raw_inputs()[1:]])
    assert code == INVALID
    for part in expected:
        assert part in message


def test_too_large_a_batch_is_refused(raw: triton.InferenceServerClient):
    values = {"QUERY": b"milk", "USER_ID": b"", "OPTIONS": b"{}"}
    code, message = refusal(raw, [text_tensor(name, [[value]] * 33) for name, value in values.items()])
    assert code == INVALID
    assert "<= 32" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", struct.pack("<I", 100) + b"milk", struct.pack("<I", 2) + b"milk", b"\xff" * 4, b"\1\0\0\0a" * 2],
    ids=["none", "three bytes", "length too long", "length too short", "4 GiB announced", "two strings"],
)
def test_bytes_that_are_no_string_tensor_are_refused(server: Server, content: bytes):
    request = service_pb2.ModelInferRequest(model_name="search")
    values = {"QUERY": content, "USER_ID": struct.pack("<I", 0), "OPTIONS": struct.pack("<I", 2) + b"{}"}
    for name, value in values.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(value)
    with grpc.insecure_channel(url(server)) as channel, pytest.raises(grpc.RpcError) as caught:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=15)
    assert caught.value.code().name == INVALID
    assert "QUERY" in caught.value.details()


def test_a_stage_that_is_called_past_the_graph_answers_with_an_error(raw: triton.InferenceServerClient, server: Server):
    """Internal tensors are nobody's business, but who sends them must not bring a stage down or see its inside."""
    vector = triton.InferInput("EMBEDDING", [1, 384], "FP32").set_data_from_numpy(np.zeros((1, 384), np.float32))
    tokens = [
        triton.InferInput(name, [1, 16], "INT64").set_data_from_numpy(np.full((1, 16), 10**7))
        for name in ("INPUT_IDS", "ATTENTION_MASK")
    ]
    for model, inputs in (("retrieve", [text_tensor("REQUEST", [[b"x"]]), vector]), ("encoder", tokens)):
        code, message = refusal(raw, inputs, model)
        assert code == "INTERNAL"
        assert "the server's log has the cause" in message
        assert_no_traceback(message)

    def failures() -> list[tuple[str, str]]:
        # The log comes in pieces: its last line may still lack its end.
        lines = server.logs().rpartition("\n")[0].splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [(each["stage"], each["level"]) for each in records if each["event"] == "a stage failed on a request"]

    assert wait_until(lambda: len(failures()) == 2)
    assert failures() == [("retrieve", "error"), ("encoder", "error")]


def test_odd_but_legal_requests_are_answered(client: Client):
    assert len(client.search("mi\0lk")) == 10
    assert len(client.search("🥛" * 1_000)) == 10
    assert len(client.search("milk", filter={})) == 10
    assert len(client.search("milk", "u01\0")) == 10
    assert len(client.search("milk", fields=["size", "size"])) == 10
    assert len(client.search("milk", context={"region": "north", "store": "7"})) == 10
    assert json.dumps([item.fields for item in client.search("milk", fields=["tags"])])
