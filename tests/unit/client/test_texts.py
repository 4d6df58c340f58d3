"""`embed` and `rerank` from both clients: their requests and results."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.types import RankedDocument, TextStatus

STATUS = {"bundle": "b-1", "model": "text_tower-1", "degraded": ["text_truncated"], "truncated": [2], "newer": 1}
EMBEDDING = np.asarray([[[1, 0], [0, 1], [0.6, 0.8]]], np.float32)
SCORE = np.asarray([[0.25, 0.5, 0.75]], np.float32)


@dataclass
class FakeTexts(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers as the two models would, and keeps each request's inputs, `[1, …]`."""

    answers: dict = field(default_factory=lambda: {"EMBEDDING": EMBEDDING, "SCORE": SCORE})
    sent: list = field(default_factory=list)
    url: str = ""

    def ModelInfer(self, request, context):
        values = {
            tensor.name: deserialize_bytes_tensor(raw).reshape(tensor.shape).tolist()
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        self.sent.append((request.model_name, values))
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        name = "EMBEDDING" if request.model_name == "embed" else "SCORE"
        response.outputs.add(name=name, datatype="FP32", shape=self.answers[name].shape)
        response.raw_output_contents.append(self.answers[name].tobytes())
        response.outputs.add(name="STATUS", datatype="BYTES", shape=[1, 1])
        status = np.array([[json.dumps(STATUS).encode()]], np.object_)
        response.raw_output_contents.append(serialize_byte_tensor(status).item())
        return response


@pytest.fixture
def fake():
    triton = FakeTexts()
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


def test_texts_are_sent_in_one_call_and_their_vectors_come_in_their_order(fake, client):
    found = client.embed(["milk", "茶", "x" * 9], kind="query")
    assert fake.sent == [
        ("embed", {"TEXT": [[b"milk", "茶".encode(), b"x" * 9]], "OPTIONS": [[b'{"kind":"query"}']]}),
    ]
    np.testing.assert_array_equal(found.vectors, EMBEDDING[0])
    assert found.status == TextStatus("b-1", "text_tower-1", ("text_truncated",), (2,))
    assert found.request_id


def test_documents_come_best_first_with_the_places_they_had(fake, client):
    found = client.rerank("milk", ["a", "b", "c"], top_n=2)
    assert list(found) == [RankedDocument(2, 0.75, "c", True), RankedDocument(1, 0.5, "b")]
    assert len(client.rerank("milk", ["a", "b", "c"], raw_scores=True)) == 3
    documents = {"QUERY": [[b"milk"]], "DOCUMENT": [[b"a", b"b", b"c"]]}
    assert fake.sent == [
        ("rerank", {**documents, "OPTIONS": [[b"{}"]]}),
        ("rerank", {**documents, "OPTIONS": [[b'{"raw_scores":true}']]}),
    ]


async def test_the_asyncio_client_answers_alike(fake, client):
    async with AsyncClient(fake.url, retries=0) as other:
        ranked = await other.rerank("milk", ["a", "b", "c"], top_n=2)
        vectors = (await other.embed(["a", "b", "c"])).vectors
    assert ranked.documents == client.rerank("milk", ["a", "b", "c"], top_n=2).documents
    np.testing.assert_array_equal(vectors, client.embed(["a", "b", "c"]).vectors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.embed("milk"), r"TEXT: found a str; allowed: a list of strings"),
        (lambda client: client.embed(["a", 3]), r"TEXT\[1\]: found 3, of type int"),
        (lambda client: client.rerank("a", ["b", None]), r"DOCUMENT\[1\]: found None"),
        (lambda client: client.rerank("a", ["b"], top_n=0), r"TOP_N: found 0; allowed: a whole number above 0"),
    ],
)
def test_what_cannot_be_sent_is_named(fake, client, call, message):
    with pytest.raises(InvalidRequestError, match=message):
        call(client)
    assert fake.sent == []


def test_an_answer_of_another_size_is_no_answer(client):
    with pytest.raises(IncompatibleServerError, match="EMBEDDING is of 3 texts, expected 2"):
        client.embed(["a", "b"])
    with pytest.raises(IncompatibleServerError, match="SCORE is of 3 texts, expected 1"):
        client.rerank("a", ["b"])
