"""`rerank` scores documents by the text tower, else by the encoder, says which, and refuses by field."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.rerank import Rerank
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.serving.triton import execute_isolated
from support.hosts import LoneHost

DOCUMENTS = ["whole milk small", "dish soap", "绿茶", "", "goat cheese " * 200, "oat drink"]


@pytest.fixture(scope="module")
def tower(tower_bundle):
    return LocalGraph(Bundle.open(tower_bundle))


@pytest.fixture(scope="module")
def plain(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


def request(query="milk", documents=("a",), options=b"{}"):
    texts = [text.encode() if isinstance(text, str) else text for text in documents]
    return {
        "QUERY": string_tensor([[query.encode()]]),
        "DOCUMENT": string_tensor([texts]),
        "OPTIONS": string_tensor([[options]]),
    }


def test_a_text_tower_scores_each_document_as_it_does_alone_from_0_to_1(tower):
    answer = tower.rerank("whole milk", DOCUMENTS)
    scores = answer["SCORE"][0]
    assert ((scores > 0) & (scores < 1)).all()
    alone = [tower.rerank("whole milk", [text])["SCORE"][0, 0] for text in DOCUMENTS]
    np.testing.assert_allclose(scores, alone, atol=1e-4)
    raw = tower.rerank("whole milk", DOCUMENTS, raw_scores=True)["SCORE"][0]
    np.testing.assert_allclose(1 / (1 + np.exp(-raw)), scores, atol=1e-5)
    status = json.loads(answer["STATUS"][0, 0])
    assert status["model"] == f"text_tower-{tower.bundle.text_tower_id[:12]}"
    assert (status["truncated"], status["degraded"]) == ([4], ["text_truncated"])


def test_without_a_text_tower_the_score_is_the_cosine_of_the_encoders_vectors(plain):
    answer = plain.rerank("whole milk", DOCUMENTS[:3])
    documents = plain.embed(DOCUMENTS[:3])["EMBEDDING"][0]
    query = plain.embed(["whole milk"], kind="query")["EMBEDDING"][0, 0]
    np.testing.assert_allclose(answer["SCORE"][0], documents @ query, atol=1e-5)
    assert json.loads(answer["STATUS"][0, 0])["model"] == f"encoder-{plain.bundle.encoder_id[:12]}"


def test_where_no_model_is_the_text_tower_the_bundles_own_is_read_in_this_process(tower):
    (answer,) = Rerank(tower.bundle, LoneHost()).execute([request("whole milk", DOCUMENTS)])
    # This one runs the engine that the export chose for its speed.
    np.testing.assert_allclose(answer["SCORE"], tower.rerank("whole milk", DOCUMENTS)["SCORE"], atol=0.05)
    assert json.loads(answer["STATUS"][0, 0])["model"] == f"text_tower-{tower.bundle.text_tower_id[:12]}"


@pytest.mark.parametrize("name", ["tower", "plain"])
def test_hundreds_of_documents_keep_their_places(name, request):
    graph = request.getfixturevalue(name)
    documents = [f"{'very ' * (number % 9)}whole milk {number}" for number in range(300)]
    scores = graph.rerank("milk", documents)["SCORE"][0]
    assert scores.shape == (300,)
    for place in (0, 17, 133, 299):
        np.testing.assert_allclose(scores[place], graph.rerank("milk", [documents[place]])["SCORE"][0, 0], atol=1e-4)


@pytest.mark.parametrize("name", ["tower", "plain"])
def test_a_query_that_is_too_long_to_be_read_whole_is_told(name, request):
    status = json.loads(request.getfixturevalue(name).rerank("milk " * 500, ["oat drink"])["STATUS"][0, 0])
    assert status["degraded"] == ["query_truncated"]


REFUSED = {
    "no query": (request(""), "QUERY: found an empty text; allowed: what the documents are to answer"),
    "5 kB of query": (request("q" * 5_000), "QUERY: found 5,000 bytes; allowed: at most 4,096 bytes"),
    "no document": (request(documents=()), "DOCUMENT: found 0 texts; allowed: 1 to 1,000 texts"),
    "too many": (request(documents=["a"] * 1_001), "DOCUMENT: found 1,001 texts"),
    "no UTF-8": (request(documents=["a", b"\xff"]), "DOCUMENT[1]: found byte 0xff at position 0"),
    "an option": (request(options=b'{"top_n": 3}'), "OPTIONS.top_n: found an unknown option; allowed: raw_scores"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(tower, name):
    bad, text = REFUSED[name]
    step = Rerank(tower.bundle, tower)
    first, refused, last = execute_isolated(step, "rerank", [request(), bad, request()], ["", "", ""])
    assert isinstance(refused, InvalidRequestError)
    assert text in str(refused)
    np.testing.assert_allclose(first["SCORE"], last["SCORE"])
