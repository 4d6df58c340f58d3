"""Trains the caller's ranker: LightGBM's LambdaMART on the candidates of LanceDB, with features of the log.

Run in the peer's environment with the settings as one JSON argument; prints figures as JSON. A list's label is what
the user bought in the four weeks before the cut; features know only what lies before these weeks.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from .behaviour import FEATURES, Behaviour, Columns, Log
from .encoder import Encoder
from .hits import Hits
from .lance import HybridSearch, Table

# As `fuserank evaluate ranking` has them for LightGBM, but for the trees: a request waits for them.
SETTINGS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_child_samples": 50,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.8,
    "num_threads": 1,  # on shared cores two wait for each other far longer than they work
    "verbosity": -1,
    "seed": 13,
}
TREES, PATIENCE = 500, 30
AT_ONCE = 8
HELD_OUT = 5  # every fifth list decides when to stop and which settings are best


@dataclass(frozen=True)
class Lists:
    """Candidates with features and labels, `[lists]` each.

    Attributes:
        features: float32 `[candidates, features]`.
        labels: 1 where bought.
        relevant: How many items were bought at all, found or not.
    """

    features: Sequence[NDArray[np.float32]]
    labels: Sequence[NDArray[np.int8]]
    relevant: Sequence[int]

    def part(self, held_out: bool) -> Lists:
        """The lists that are held out, or the others."""
        kept = [i for i in range(len(self.labels)) if (i % HELD_OUT == 0) == held_out]
        return Lists([self.features[i] for i in kept], [self.labels[i] for i in kept], [self.relevant[i] for i in kept])

    def dataset(self) -> lightgbm.Dataset:
        """LightGBM's data of the lists that have a right candidate."""
        kept = [i for i, labels in enumerate(self.labels) if labels.any()]
        features, labels = (np.concatenate([part[i] for i in kept]) for part in (self.features, self.labels))
        group = [len(self.labels[i]) for i in kept]
        return lightgbm.Dataset(features, labels, group=group, feature_name=list(FEATURES))

    def ndcg(self, model: lightgbm.Booster | None, depth: int) -> float:
        """nDCG@10 of all lists, cut at a depth; without a model in the order of the search."""
        values = []
        for features, labels, relevant in zip(self.features, self.labels, self.relevant, strict=True):
            known, ranked = features[:depth], labels[:depth]
            if model is not None and len(known):
                ranked = ranked[np.argsort(-np.asarray(model.predict(known)), kind="stable")]
            gains = 1 / np.log2(np.arange(2, 12))
            values.append((ranked[:10] * gains[: len(ranked[:10])]).sum() / gains[: min(relevant, 10)].sum())
        return float(np.mean(values))


async def find_lists(settings: dict[str, Any]) -> Lists:
    """Searches for every case, and computes features and labels."""
    folder = Path(settings["inputs"])
    cases = json.loads((folder / "cases.json").read_text("utf-8"))
    search = await HybridSearch.open(folder, Table(**settings["table"]), settings["nprobes"])
    behaviour = Behaviour(Log.open(folder), Columns.open(folder), cases["moment"])
    vectors = Encoder(folder, threads=2).embed(sorted(set(cases["queries"])))
    embedded = dict(zip(sorted(set(cases["queries"])), vectors, strict=True))
    turn = asyncio.Semaphore(AT_ONCE)

    async def find(query: str) -> tuple[str, Hits]:
        async with turn:
            return query, await search.search(query, embedded[query], settings["depth"])

    hits = dict(await asyncio.gather(*(find(query) for query in embedded)))
    found = [hits[query] for query in cases["queries"]]
    return Lists(
        [behaviour.features(user, each) for user, each in zip(cases["users"], found, strict=True)],
        [np.isin(each.rows, bought).astype(np.int8) for each, bought in zip(found, cases["relevant"], strict=True)],
        [len(bought) for bought in cases["relevant"]],
    )


def train(settings: dict[str, Any]) -> dict[str, Any]:
    """Trains and writes the model to `settings["model"]`; returns nDCG@10 of held-out lists by depth."""
    lists = asyncio.run(find_lists(settings))
    training, held_out = lists.part(held_out=False), lists.part(held_out=True)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    valid = held_out.dataset()
    model = lightgbm.train(SETTINGS, training.dataset(), TREES, valid_sets=[valid], callbacks=[stop])
    Path(settings["model"]).parent.mkdir(parents=True, exist_ok=True)
    model.save_model(settings["model"], num_iteration=model.best_iteration)
    depths = sorted({200, 400, settings["depth"]})
    return {
        "trees": model.best_iteration,
        "lists": len(lists.labels),
        "ndcg_at_10": {str(depth): round(held_out.ndcg(model, depth), 4) for depth in depths},
        "ndcg_at_10_of_search": round(held_out.ndcg(None, settings["depth"]), 4),
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if asked.get("tables"):
        for built in asked["tables"]:
            Table(**built).build(Path(asked["inputs"]))
    else:
        sys.stdout.write(json.dumps(train(asked)))
