"""`embed` encodes texts as `search` and the export do, says what it cut, and refuses by field."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.embed import Embed
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.serving.triton import execute_isolated


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@pytest.fixture(scope="module")
def embed(graph):
    return Embed(graph.bundle, graph.call)


def request(*rows, options=b"{}"):
    """A request with a row for each list of texts."""
    texts = [[text.encode() if isinstance(text, str) else text for text in row] for row in rows]
    return {"TEXT": string_tensor(texts), "OPTIONS": string_tensor([[options]] * len(rows))}


def test_an_items_own_text_has_the_vector_that_the_bundle_has_of_it(graph, tiny_shop):
    items = list(tiny_shop.items.values())[:40]
    answer = graph.embed([f"{item['title']}. {item['category'].replace(' > ', ', ')}" for item in items])
    vectors = answer["EMBEDDING"][0]
    assert (vectors.shape, vectors.dtype) == ((40, graph.bundle.spec.embedding_dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    rows = [graph.bundle.items.row(item["item_id"]) for item in items]
    stored = graph.bundle.vectors[graph.bundle.items.text[rows]].astype(np.float32)
    np.testing.assert_allclose(vectors, stored, atol=2e-3)
    status = json.loads(answer["STATUS"][0, 0])
    assert status["bundle"] == graph.bundle.id
    assert status["model"] == f"encoder-{graph.bundle.encoder_id[:12]}"
    assert (status["degraded"], status["truncated"]) == ([], [])
    assert status["tokens"] > 40


def test_a_query_gets_the_encoders_template_and_a_document_does_not(graph):
    wrapped = replace(graph.bundle, spec=replace(graph.bundle.spec, query_template="milk: {query}"))
    embed = Embed(wrapped, graph.call)

    def vectors(text, kind):
        (answer,) = embed.execute([request([text], options=json.dumps({"kind": kind}).encode())])
        return answer["EMBEDDING"][0, 0]

    np.testing.assert_array_equal(vectors("tea", "query"), vectors("milk: tea", "document"))
    assert np.abs(vectors("tea", "query") - vectors("tea", "document")).max() > 1e-3


def test_a_text_that_is_too_long_to_be_read_whole_is_told(graph):
    answer = graph.embed(["milk", "milk " * 500, "oat"])
    status = json.loads(answer["STATUS"][0, 0])
    assert (status["truncated"], status["degraded"]) == ([1], ["text_truncated"])
    assert status["tokens"] <= graph.bundle.spec.length_buckets[-1] + 8


def test_a_batch_is_answered_as_its_requests_alone(embed):
    batch = [request(["milk", "oat drink"]), request(["tea"] * 70), request(["a", "b"], ["c", "d"])]
    for together, alone in zip(embed.execute(batch), (embed.execute([one])[0] for one in batch), strict=True):
        np.testing.assert_allclose(together["EMBEDDING"], alone["EMBEDDING"], atol=1e-5)
        assert together["STATUS"].shape == (len(together["EMBEDDING"]), 1)


REFUSED = {
    "no text": (request([]), "TEXT: found 0 texts; allowed: 1 to 1,000 texts"),
    "too many": (request(["a"] * 501, ["a"] * 501), "TEXT: found 1,002 texts; allowed: 1 to 1,000 texts"),
    "an empty one": (request(["a", " \n"]), "TEXT[1]: found an empty text"),
    "too long a one": (request(["a", "b" * 32_769]), "TEXT[1]: found 32,769 bytes; allowed: at most 32,768 bytes"),
    "5 MB in all": (request(["a" * 25_000] * 200), "TEXT: found 5,000,000 bytes; allowed: at most 4,194,304 bytes"),
    "no UTF-8": (request([b"a\xff"]), "TEXT[0]: found byte 0xff at position 1"),
    "another kind": (request(["a"], options=b'{"kind": "item"}'), 'OPTIONS.kind: found "item"; allowed: query or'),
    "another option": (request(["a"], options=b'{"k": 1}'), "OPTIONS.k: found an unknown option; allowed: kind"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_by_field_and_the_others_of_its_batch_are_answered(embed, name):
    bad, text = REFUSED[name]
    first, refused, last = execute_isolated(embed, "embed", [request(["a"]), bad, request(["c"])], ["", "", ""])
    assert isinstance(refused, InvalidRequestError)
    assert text in str(refused)
    assert first["EMBEDDING"].shape == last["EMBEDDING"].shape
