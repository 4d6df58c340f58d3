"""What retrieval finds for cases: found once, then ranked by every entrant that ranks candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fuserank_ensemble.candidates.retriever import Candidates, Retriever, kind_of
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.training_query import Kind, TrainingQuery

_BATCH = 32
TEXT_CHANNELS = ("lexical", "dense")


@dataclass(frozen=True)
class Found:
    """What retrieval found for the cases of one set.

    Attributes:
        candidates: The fused list of each case with its features, `[cases]`.
        channels: The text channels' own lists by name, `[cases]`; empty lists without a query.
    """

    candidates: list[Candidates]
    channels: list[dict[str, Rows]]


class Retrieved:
    """Retrieves for sets of cases, each set once.

    Args:
        builder: The catalogue, the spec and the encoder.
        learned: What the channels know by the cases' moment.
        depth: Candidates of a case.
        advanced: Called with the set's name, how many of its cases are done and how many there are.
    """

    def __init__(
        self,
        builder: CaseBuilder,
        learned: InteractionIndex,
        depth: int,
        advanced: Callable[[str, int, int], None] = lambda name, done, total: None,
    ) -> None:
        self._builder, self._depth, self._advanced = builder, depth, advanced
        self._retriever = Retriever(builder.catalog, learned, builder.spec)
        self._found: dict[str, Found] = {}

    def of(self, cases: RankingCases) -> Found:
        """What is found for the cases, in their order."""
        if cases.name not in self._found:
            self._found[cases.name] = self._find(cases)
        return self._found[cases.name]

    def rows(self, cases: RankingCases) -> list[Rows]:
        """The fused candidates alone, best first."""
        return [found.rows for found in self.of(cases).candidates]

    def _find(self, cases: RankingCases) -> Found:
        everything = self._builder.channel_queries(asks(cases))
        found = Found([], [])
        for start in range(0, len(everything), _BATCH):
            part = everything[start : start + _BATCH]
            found.candidates.extend(self._retriever.retrieve(part, [self._depth] * len(part)))
            if cases.searches:
                lists, _ = self._retriever.lists(part, [kind_of(question) for question in part])
                found.channels.extend({name: each[name].rows for name in TEXT_CHANNELS} for each in lists)
            else:
                found.channels.extend({name: np.empty(0, np.int32) for name in TEXT_CHANNELS} for _ in part)
            self._advanced(cases.name, start + len(part), len(everything))
        return found


def asks(cases: RankingCases) -> list[TrainingQuery]:
    """The cases as the ranker's training takes them, without their answers."""
    return [
        TrainingQuery(_kind(cases, i), cases.queries[i], cases.seen[i], cases.now, None, None, None, cases.places[i])
        for i in range(len(cases))
    ]


def _kind(cases: RankingCases, i: int) -> Kind:
    if not cases.queries[i]:
        return "discover" if cases.exclude_seen else "user"
    return "both" if len(cases.seen[i]) else "query"
