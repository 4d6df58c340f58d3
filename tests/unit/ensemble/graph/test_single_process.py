"""The graph in one process answers as its stages do one by one, whoever else is in the batch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.serving.triton import execute_isolated
from support.keys import TEST_KEY

ASKED = [
    ("milk", "", {}),
    ("milk", "u01", {"k": 5}),
    ("", "u01", {}),
    ("", "visitor", {"k": 3}),
    ("butter", "nobody", {}),
]


def row(query, user, options):
    texts = {"QUERY": query, "USER_ID": user, "OPTIONS": json.dumps(options)}
    return {name: string_tensor([[text.encode()]]) for name, text in texts.items()}


@pytest.fixture(scope="module")
def search(tiny_bundle):
    return SingleProcess(Bundle.open(tiny_bundle), key=TEST_KEY)


@pytest.fixture(scope="module")
def expected(tiny_bundle):
    graph = LocalGraph(Bundle.open(tiny_bundle))
    return [graph.search(query, user, **options) for query, user, options in ASKED]


def assert_same(found, expected):
    assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
    np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)


def test_each_request_is_answered_as_by_the_stages(search, expected):
    for asked, each in zip(ASKED, expected, strict=True):
        assert_same(search.execute([row(*asked)])[0], each)


def test_a_refused_request_harms_no_other_of_its_batch(search, expected):
    rows = [row(*ASKED[0]), row("milk", "", {"k": 0}), *(row(*asked) for asked in ASKED[1:])]
    first, refused, *rest = search.execute(rows)
    assert isinstance(refused, InvalidRequestError)
    for found, each in zip([first, *rest], expected, strict=True):
        assert_same(found, each)


def test_a_mistake_beside_the_encoder_fails_its_own_request_alone(search, expected, monkeypatch):
    whole = LexicalChannel.search

    def fails(self, questions, depth):
        if any(question.query == "salted butter" for question in questions):
            raise RuntimeError("a mistake")
        return whole(self, questions, depth)

    monkeypatch.setattr(LexicalChannel, "search", fails)
    # One that nobody asked before: else what words found of it is known.
    asked = [*ASKED[:4], ("salted butter", "", {})]
    answers = execute_isolated(search, "search", [row(*each) for each in asked], [""] * len(asked))
    assert [isinstance(answer, Exception) for answer in answers] == [False] * 4 + [True]
    for found, each in zip(answers[:4], expected[:4], strict=True):
        assert_same(found, each)
