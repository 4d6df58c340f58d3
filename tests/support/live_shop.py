"""A graph in this process with a log, and the models that write it."""

from __future__ import annotations

import itertools
import json

from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.steps.catalog import Catalog
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.settings import StateSettings
from support.busy_machine import PATIENCE
from support.tiny_shop import LOG_END

ITEM = "i01"  # goat cheese small, 1.25


class Shop:
    """A graph with a log, and the model that changes the catalogue."""

    def __init__(self, bundle, folder, feature_share=0.0, experiment=None):
        folder.mkdir(exist_ok=True)
        self.bundle = bundle
        self.settings = StateSettings(f"sqlite:{folder / 'log.sqlite'}", feature_share=feature_share)
        self.graph = LocalGraph(bundle, state=self.settings, experiment=experiment)
        self._catalog = Catalog(bundle, self.settings, self.graph.live, self.graph.call)
        self._record, self._names = Record(bundle, self.settings, self.graph.live), itertools.count()

    def change(self, *changes):
        named = [{"change_id": f"c{next(self._names)}", **change} for change in changes]
        return self.change_raw(json.dumps(named).encode())

    def change_raw(self, raw):
        (answer,) = self._catalog.execute([{"CHANGES": string_tensor([[raw]])}])
        if isinstance(answer, InvalidRequestError):
            raise answer
        return json.loads(answer["RESULT"][0, 0]), json.loads(answer["STATUS"][0, 0])

    def upsert(self, item=ITEM, **fields):
        return self.change({"item_id": item, "fields": fields})[1]["position"]

    def delete(self, item=ITEM):
        return self.change({"item_id": item, "delete": True})[1]["position"]

    def ask(self, query="", user="", **options):
        # A busy machine may take longer than a request would wait.
        self.graph.live.wait_for(options.get("min_position", 0), PATIENCE)
        outputs = self.graph.search(query, user, **options)
        items = {
            i.decode(): json.loads(raw) for i, raw in zip(outputs["ITEM_ID"][0], outputs["ITEM"][0], strict=True) if i
        }
        return items, json.loads(outputs["STATUS"][0, 0])

    def similar(self, *arguments, **options):
        self.graph.live.wait_for(options.get("min_position", 0), PATIENCE)
        return [item.decode() for item in self.graph.similar(*arguments, **options)["ITEM_ID"][0] if item]

    def suggest(self, prefix):
        return [text.decode() for text in self.graph.suggest(prefix, count=50)["SUGGESTION"][0] if text]

    def record(self, *events):
        filled = [{"event_id": f"e{next(self._names)}", "timestamp": LOG_END.timestamp(), **event} for event in events]
        (answer,) = self._record.execute([{"EVENTS": string_tensor([[json.dumps(filled).encode()]])}])
        return json.loads(answer["STATUS"][0, 0])
