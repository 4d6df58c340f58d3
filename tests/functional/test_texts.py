"""`embed` and `rerank` on a real Triton, over gRPC and REST: they answer as the stages in one process do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.errors import InvalidRequestError
from fuserank.rest.app import create_app
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.serving.server import Server
from support import asgi
from support.busy_machine import PATIENCE
from support.running import assert_no_traceback, options, refusal, stub_pids, text_tensor, url

TEXTS = ["whole milk", "绿茶 🍵", "rye bread " * 200]


def test_vectors_are_those_of_the_stages_in_one_process(client: Client, graph: LocalGraph):
    found, expected = client.embed(TEXTS, kind="query"), graph.embed(TEXTS, kind="query")
    # The server's encoder is the faster one that the export chose.
    cosines = (found.vectors * expected["EMBEDDING"][0]).sum(axis=1)
    assert cosines.min() > 0.98, cosines
    assert found.status.truncated == (2,)
    assert found.status.bundle == graph.bundle.id


def test_documents_are_ordered_by_what_they_say(client: Client, graph: LocalGraph):
    found = client.rerank("espresso", ["rye bread", "ground coffee, dark roast", "dish soap"], top_n=2)
    assert found.documents[0].text.startswith("ground coffee")
    assert len(found) == 2
    assert found.status.model == f"encoder-{graph.bundle.encoder_id[:12]}"


def test_hundreds_of_texts_in_one_call_keep_their_places(client: Client):
    texts = [f"{'fresh ' * (number % 7)}milk {number}" for number in range(200)]
    vectors = client.embed(texts).vectors
    for place in (0, 57, 199):
        np.testing.assert_allclose(vectors[place], client.embed([texts[place]]).vectors[0], atol=0.05)


def test_good_requests_are_answered_beside_bad_ones(server: Server, client: Client):
    expected, pids = client.embed(["milk"]).vectors, stub_pids(server)

    def one(number: int) -> None:
        if number % 3 == 2:
            with pytest.raises(InvalidRequestError, match=r"^TEXT\[0\]: found an empty text"):
                everyone.embed([""])
        else:
            np.testing.assert_allclose(everyone.embed(["milk"]).vectors, expected, atol=1e-4)

    with Client(url(server), timeout=PATIENCE) as everyone, ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(60)))
    assert stub_pids(server) == pids


@pytest.mark.parametrize(
    ("model", "cells", "message"),
    [
        ("embed", {"TEXT": [[]], "OPTIONS": [[b"{}"]]}, "TEXT: found 0 texts; allowed: 1 to 1,000 texts"),
        ("embed", {"TEXT": [[b"a"] * 1_001], "OPTIONS": [[b"{}"]]}, "TEXT: found 1,001 texts"),
        ("embed", {"TEXT": [[b"a"]], "OPTIONS": [[options(kind="x")]]}, 'OPTIONS.kind: found "x"'),
        ("rerank", {"QUERY": [[b""]], "DOCUMENT": [[b"a"]], "OPTIONS": [[b"{}"]]}, "QUERY: found an empty text"),
    ],
)
def test_a_bad_value_is_refused_with_field_finding_and_remedy(
    raw: triton.InferenceServerClient, model: str, cells: dict[str, list[list[bytes]]], message: str
):
    code, text = refusal(raw, [text_tensor(name, rows) for name, rows in cells.items()], model)
    assert code == "INVALID_ARGUMENT", text
    assert message in text
    assert_no_traceback(text)


@pytest.mark.targets("single_process", reason="REST speaks to any server alike")
def test_rest_answers_as_embedding_servers_do(server: Server, client: Client):
    def post(path: str, body: object) -> object:
        app = create_app(AsyncClient(url(server), timeout=PATIENCE))  # an asyncio channel belongs to one event loop
        answer = asgi.send(app, "POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
        assert answer.status == 200, answer.text
        return json.loads(answer.body)

    embedded = post("/v1/embeddings", {"model": "any", "input": TEXTS[:2]})
    vectors = [one["embedding"] for one in embedded["data"]]
    np.testing.assert_allclose(vectors, client.embed(TEXTS[:2]).vectors, atol=1e-4)
    documents = ["rye bread", "ground coffee"]
    results = post("/v1/rerank", {"query": "espresso", "documents": documents, "return_documents": True})["results"]
    assert [one["document"]["text"] for one in results] == documents[::-1]
    ranks = post("/rerank", {"query": "espresso", "texts": documents})
    assert [one["index"] for one in ranks] == [1, 0]
