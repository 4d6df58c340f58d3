"""A server whose answers differ from those of the CPU's engines is told apart, and one whose do not is not."""

from __future__ import annotations

import pytest

from fuserank.client import Client
from fuserank_benchmarks.inputs.queries import Load
from fuserank_benchmarks.same_answers import KINDS, compare_answers
from fuserank_ensemble.graph.local import LocalGraph

LOAD = Load(["milk", "green tea", "coffee"], ["u01", "u02", "u03"])


def test_a_server_of_the_same_bundle_answers_alike(client: Client, graph: LocalGraph):
    assert compare_answers(client, graph, LOAD, 3) == dict.fromkeys(KINDS, 1.0)


def test_a_server_that_answers_otherwise_is_named(client: Client, graph: LocalGraph):
    class Elsewhere:
        def search(self, query: str, user: str) -> object:
            return client.search(query, user, filter={"category": "Dairy"}, k=3)

    with pytest.raises(SystemExit, match=r"0\.\d+ of the first ten .*kind of request: \w+\); allowed: at least 0.95"):
        compare_answers(Elsewhere(), graph, LOAD, 3)  # type: ignore[arg-type]
