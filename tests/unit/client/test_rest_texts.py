"""`/v1/embeddings` and `/rerank` take and answer what the clients of embedding servers send and read."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from fuserank.errors import InvalidRequestError, OverloadedError, ServerError
from fuserank.rest.app import create_app
from fuserank.types import Embeddings, RankedDocument, RerankResult, TextStatus
from support import asgi

VECTORS = np.asarray([[0.6, 0.8], [1, 0]], np.float32)
STATUS = TextStatus("b-1", "encoder-1", tokens=9)
CUT = TextStatus("b-1", "encoder-1", ("text_truncated",), (1,), 9)
DOCUMENTS = ["soap", "milk"]
MADE = {"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.25}
USAGE = {"prompt_tokens": 9, "total_tokens": 9}


class FakeClient:
    """Stands in for `AsyncClient`: keeps what it was called with, and raises the error that it holds."""

    def __init__(self):
        self.calls, self.error, self.status = [], None, STATUS

    def _note(self, *call):
        self.calls.append(call)
        if self.error:
            raise self.error

    async def embed(self, texts, kind="document"):
        self._note("embed", texts, kind)
        return Embeddings(VECTORS[: len(texts)], self.status, "r-1")

    async def rerank(self, query, documents, *, top_n=None, raw_scores=False):
        self._note("rerank", query, documents, top_n, raw_scores)
        ranked = (RankedDocument(1, 0.75, documents[1], 1 in self.status.truncated), RankedDocument(0, 0.25, "soap"))
        return RerankResult(ranked[:top_n], self.status, "r-1")


@pytest.fixture
def client():
    return FakeClient()


def send(client, path, body, method="POST"):
    """Sends one request to the application; returns status and JSON."""
    headers = {"content-type": "application/json", "host": "127.0.0.1", "authorization": "Bearer any"}
    answer = asgi.send(create_app(client), method, path, json.dumps(body).encode(), headers)
    return answer.status, json.loads(answer.body)


def test_texts_come_back_as_openais_clients_read_them(client):
    status, answer = send(client, "/v1/embeddings", {"input": ["milk", "tea"], "model": "any", "user": "u"})
    assert status == 200
    rows = [{"index": i, "object": "embedding", "embedding": v.tolist()} for i, v in enumerate(VECTORS)]
    assert answer == {"object": "list", "data": rows, "model": "encoder-1", "usage": USAGE}
    one = send(client, "/v1/embeddings", {"input": "milk", "encoding_format": "base64", "dimensions": 2})[1]["data"]
    assert np.frombuffer(base64.b64decode(one[0]["embedding"]), "<f4").tolist() == VECTORS[0].tolist()
    send(client, "/v1/embeddings", {"input": "milk", "task": "retrieval.query", "modality": "text", "user": None})
    assert client.calls == [
        ("embed", ["milk", "tea"], "document"), ("embed", ["milk"], "document"), ("embed", ["milk"], "query"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_come_back_as_jinas_and_coheres_clients_read_them(client, path):
    body = {"model": "any", "query": "milk", "documents": ["soap", {"text": "milk"}]}
    assert send(client, path, body) == (
        200, {"id": "r-1", "model": "encoder-1", "results": list(MADE), "usage": USAGE},
    )  # fmt: skip
    more = {"top_n": 1, "return_documents": True, "max_tokens_per_doc": 4096}
    assert send(client, path, {**body, **more})[1]["results"] == [{**MADE[0], "document": {"text": "milk"}}]
    assert client.calls == [("rerank", "milk", DOCUMENTS, None, False), ("rerank", "milk", DOCUMENTS, 1, False)]


def test_texts_are_ranked_as_clients_of_text_embeddings_inference_read_them(client):
    body = {"query": "milk", "texts": DOCUMENTS, "truncate": True, "truncation_direction": "Right"}
    assert send(client, "/rerank", body) == (200, [{"index": 1, "score": 0.75}, {"index": 0, "score": 0.25}])
    ranked = send(client, "/rerank", {**body, "raw_scores": True, "return_text": True})[1]
    assert [one["text"] for one in ranked] == ["milk", "soap"]
    assert [call[-1] for call in client.calls] == [False, True]


def test_a_text_that_was_cut_says_so_and_is_refused_where_it_must_be_whole(client):
    client.status = CUT
    embedded = send(client, "/v1/embeddings", {"input": DOCUMENTS})[1]["data"]
    assert [one.get("truncated") for one in embedded] == [None, True]
    ranked = send(client, "/rerank", {"query": "milk", "texts": DOCUMENTS})[1]
    assert [one.get("truncated") for one in ranked] == [True, None]
    for path, body, field in (
        ("/v1/embeddings", {"input": DOCUMENTS, "truncate": False}, "BODY.input[1]"),
        ("/rerank", {"query": "milk", "documents": DOCUMENTS, "truncation": False}, "BODY.documents[1]"),
        ("/rerank", {"query": "milk", "texts": DOCUMENTS, "truncate": False}, "BODY.texts[1]"),
    ):
        status, answer = send(client, path, body)
        assert (status, answer["error"]["param"]) == (400, field)
    client.status = TextStatus("b-1", "encoder-1", ("query_truncated",), (), 9)
    ranked = send(client, "/rerank", {"query": "milk", "documents": DOCUMENTS})[1]["results"]
    assert [one["truncated"] for one in ranked] == [True, True]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/embeddings", {}, r"missing required field input"),
        ("/v1/embeddings", {"input": [[1, 2]]}, r"BODY\.input\[0\]: found \[1, 2\]; allowed: str"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, r"BODY\.encoding_format: .*allowed: .*base64"),
        ("/v1/embeddings", {"input": "a", "dimension": 2}, r"BODY\.dimension: .*did you mean 'dimensions'"),
        ("/v1/embeddings", {"input": "a", "dimensions": 1}, r"BODY\.dimensions: found 1; allowed: 2, all that"),
        ("/rerank", {"query": "a"}, r"missing required field documents"),
        ("/rerank", {"query": "a", "documents": [], "top_n": 0}, r"BODY\.top_n: found 0; allowed: .*>= 1"),
        (
            "/rerank",
            {"query": "a", "documents": [{"image": "x"}]},
            r"BODY\.documents\[0\]\.image: found an unknown",
        ),
        ("/rerank", {"query": "a", "documents": ["b"], "max_tokens_per_doc": 9}, r"BODY\.max_tokens_per_doc: found 9"),
        ("/rerank", {"query": "a", "texts": ["b"], "documents": ["b"]}, r"BODY\.documents: found an unknown key"),
        ("/rerank", {"query": "a", "texts": ["b"], "truncation_direction": "left"}, r"allowed: .*right"),
        ("/rerank", [], r"BODY: found \[\]; allowed: object"),
    ],
)
def test_a_body_that_is_wrong_is_named_in_openais_shape(client, path, body, message):
    status, answer = send(client, path, body)
    assert status == 400
    assert re.search(message, answer["error"]["message"]), answer
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (InvalidRequestError("TEXT[3]: found 0 bytes; allowed: 1"), 400, "invalid_request_error", "BODY.input[3]: "),
        (OverloadedError("full"), 429, "rate_limit_error", "full"),
        (ServerError("broken"), 502, "server_error", "broken"),
    ],
)
def test_what_the_server_refuses_is_said_in_openais_shape(client, error, status, kind, message):
    client.error = error
    found, answer = send(client, "/v1/embeddings", {"input": "a"})
    assert (found, answer["error"]["type"]) == (status, kind)
    assert answer["error"]["message"].startswith(message)


def test_another_method_is_refused_in_openais_shape(client):
    assert send(client, "/v1/rerank", {}, "PUT")[1]["error"]["message"] == "Method Not Allowed: PUT /v1/rerank"


def test_the_document_has_both_shapes_of_a_ranking(client):
    document = send(client, "/openapi.json", {}, "GET")[1]
    described = document["paths"]["/rerank"]["post"]
    sent = described["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    got = described["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"]
    assert [shape["$ref"].rpartition("/")[2] for shape in sent] == ["RerankRequest", "TextsRequest"]
    assert got[0]["$ref"].endswith("/RerankReply")
    assert got[1]["items"]["$ref"].endswith("/Rank")
    assert set(document["paths"]) >= {"/v1/embeddings", "/rerank", "/v1/rerank", "/v2/rerank"}
