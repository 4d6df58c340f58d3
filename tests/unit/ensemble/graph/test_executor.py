"""The executor hands each step its inputs, leaves refused requests behind, and begins ahead only where that pays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.executor import GraphExecutor
from fuserank_ensemble.graph.stages import QUEUE, Stage, Tensor


def tensor(name):
    return Tensor(name, "FP32", (1,))


STAGES = (
    Stage("double", "engine", (tensor("X"),), (tensor("Y"),), QUEUE),
    Stage("add", "python", (tensor("X"), tensor("Y")), (tensor("Z"),), QUEUE),
)


class Double:
    def execute(self, requests):
        return [{"Y": request["X"] * 2} for request in requests]


class Add:
    """Adds X and Y, refuses negative numbers, and says whether it had begun ahead."""

    prefetch_inputs = ("X",)

    def __init__(self):
        self.ahead = []

    def prefetch(self, requests):
        return [sorted(request) for request in requests]

    def execute(self, requests, prefetched=None):
        self.ahead.append(prefetched)
        return [
            InvalidRequestError("X", float(request["X"][0, 0]), "0 or more")
            if (request["X"] < 0).any()
            else {"Z": request["X"] + request["Y"]}
            for request in requests
        ]


def requests(*values):
    return [{"X": np.asarray([[value]], np.float32)} for value in values]


def test_each_step_gets_its_own_inputs_and_all_tensors_come_back():
    seen = []
    graph = GraphExecutor(STAGES, {"add": Add()}, {"double": Double()})
    (answer,) = graph.execute(requests(3), lambda stage, inputs: seen.append((stage, sorted(inputs[0]))))
    assert seen == [("double", ["X"]), ("add", ["X", "Y"])]
    assert {name: value.item() for name, value in answer.items()} == {"X": 3, "Y": 6, "Z": 9}


def test_a_refused_request_takes_no_part_in_later_steps():
    later = Stage("again", "python", (tensor("Z"),), (tensor("W"),), QUEUE)

    class Again:
        def execute(self, requests):
            return [{"W": request["Z"]} for request in requests]

    graph = GraphExecutor((*STAGES, later), {"add": Add(), "again": Again()}, {"double": Double()})
    first, refused, last = graph.execute(requests(1, -1, 2))
    assert isinstance(refused, InvalidRequestError)
    assert (first["W"].item(), last["W"].item()) == (3, 6)
    (alone,) = graph.execute(requests(-5))
    assert isinstance(alone, InvalidRequestError)


def test_a_step_begins_ahead_for_one_request_alone_and_only_with_a_pool():
    with ThreadPoolExecutor(1) as pool:
        for given, batch, ahead in [(pool, 1, [["X"]]), (pool, 2, None), (None, 1, None)]:
            add = Add()
            GraphExecutor(STAGES, {"add": add}, {"double": Double()}, given).execute(requests(*range(batch)))
            assert add.ahead == [ahead]


def test_an_engine_that_fails_waits_for_what_was_begun_ahead():
    ended = []

    class Slow(Add):
        def prefetch(self, requests):
            ended.append(True)

    class Broken:
        def execute(self, requests):
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        graph = GraphExecutor(STAGES, {"add": Slow()}, {"double": Broken()}, pool)
        with pytest.raises(ZeroDivisionError):
            graph.execute(requests(1))
        assert ended
