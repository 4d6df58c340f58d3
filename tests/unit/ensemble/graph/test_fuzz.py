"""Whatever a batch holds: each request is answered or refused with its reason, and its neighbours get their answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.spec import RANKED_KINDS
from support.exporting import rank_all_kinds
from support.fuzzing import OPTIONS, QUERIES, USERS, cases

REQUESTS = st.tuples(QUERIES, USERS, OPTIONS)
NEIGHBOUR = (b"whole milk", b"u03", b'{"k": 8, "explain": true}')


@pytest.fixture(scope="module")
def graph(tiny_bundle, tmp_path_factory):
    import shutil

    copy = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("fuzzed") / "bundle")
    return SingleProcess(Bundle.open(rank_all_kinds(copy, RANKED_KINDS)))


@pytest.fixture(scope="module")
def expected(graph):
    (answer,) = ask(graph, [NEIGHBOUR])
    return answer


def ask(graph, requests):
    names = ("QUERY", "USER_ID", "OPTIONS")
    return graph.execute([{name: string_tensor([[v]]) for name, v in zip(names, r, strict=True)} for r in requests])


def check_answer(request, answer):
    """An answer is whole: finite scores, no item twice, JSON that says what was done; a refusal names its cause."""
    if isinstance(answer, InvalidRequestError):
        message = str(answer)
        assert message.startswith(("OPTIONS", "QUERY", "USER_ID")), message
        assert "allowed" in message, message
        assert len(message) < 2_000
        return
    status = json.loads(answer["STATUS"][0, 0])
    returned = [item for item in answer["ITEM_ID"][0].tolist() if item]
    assert len(set(returned)) == len(returned) == status["returned"], request
    assert np.isfinite(answer["SCORE"][0]).all(), request
    for item in answer["ITEM"][0, : len(returned)]:
        json.loads(item)


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.integers(0, 4))
@cases(200)
def test_no_request_breaks_the_graph_or_a_neighbours_answer(graph, expected, requests, place):
    batch = [*requests[:place], NEIGHBOUR, *requests[place:]]
    answers = ask(graph, batch)
    assert len(answers) == len(batch)
    for request, answer in zip(batch, answers, strict=True):
        check_answer(request, answer)
    found = answers[min(place, len(requests))]
    assert found["ITEM_ID"].tolist() == expected["ITEM_ID"].tolist()
    np.testing.assert_allclose(found["SCORE"], expected["SCORE"], atol=1e-4)
