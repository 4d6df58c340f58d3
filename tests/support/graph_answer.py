"""One row of a graph's inputs and of its outputs, as the tests look at them."""

from __future__ import annotations

import json

from fuserank_ensemble.graph.tensors import string_tensor


class Answer:
    """One row of the graph's outputs."""

    def __init__(self, outputs, row=0):
        returned = [i for i, item in enumerate(outputs["ITEM_ID"][row]) if item]
        self.ids = [outputs["ITEM_ID"][row, i].decode() for i in returned]
        self.scores = outputs["SCORE"][row, returned].tolist()
        self.items = [json.loads(outputs["ITEM"][row, i]) for i in returned]
        self.status = json.loads(outputs["STATUS"][row, 0])
        assert len(set(self.ids)) == len(self.ids) == self.status["returned"]

    def signals(self, item):
        return {signal["name"]: signal for signal in self.items[self.ids.index(item)]["signals"]}


def raw_request(query=b"", user=b"", options=b"{}"):
    """Returns the tensors of one request, texts or bytes as they are."""
    raw = [x.encode() if isinstance(x, str) else x for x in (query, user, options)]
    return {name: string_tensor([[value]]) for name, value in zip(("QUERY", "USER_ID", "OPTIONS"), raw, strict=True)}
