"""Candidates that retrieval finds for sets of cases, found once and ranked by every method that ranks candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.retriever import Retriever, request_kind
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.progress import ProgressCallback, ignore_progress
from fuserank_export.training.cases.builder import CaseBuilder
from fuserank_export.training.cases.training_query import TrainingQuery

LIST_DEPTH = 200  # items of a ranked list
TEXT_CHANNELS = ("lexical", "dense")
_BATCH = 32


@dataclass(frozen=True)
class CaseCandidates:
    """What retrieval finds for a set of cases.

    Attributes:
        candidates: The fused list of each case with its features, `[cases]`.
        text_lists: The text channels' own lists by channel, `[cases]`; empty lists without a query.
    """

    candidates: list[Candidates]
    text_lists: list[dict[str, Rows]]


class CandidateFinder:
    """Retrieves candidates for sets of cases, each set once.

    Args:
        builder: The catalogue, the spec and the encoder.
        interactions: What the channels know by the moment of the cases.
        depth: Candidates of a case.
        on_progress: Called with the set's name, how many of its cases are done and how many there are.
    """

    def __init__(
        self,
        builder: CaseBuilder,
        interactions: InteractionIndex,
        depth: int = LIST_DEPTH,
        on_progress: ProgressCallback = ignore_progress,
    ) -> None:
        self._builder, self._depth, self._on_progress = builder, depth, on_progress
        self._retriever = Retriever(builder.catalog, interactions, builder.spec)
        self._by_set: dict[str, CaseCandidates] = {}

    def find(self, cases: RankingCases) -> CaseCandidates:
        """The candidates of the cases, in their order."""
        if cases.name not in self._by_set:
            self._by_set[cases.name] = self._retrieve(cases)
        return self._by_set[cases.name]

    def fused_rows(self, cases: RankingCases) -> list[Rows]:
        """The candidates' item rows alone, best fused first, `[cases]`."""
        return [candidates.rows for candidates in self.find(cases).candidates]

    def _retrieve(self, cases: RankingCases) -> CaseCandidates:
        asked = training_queries(cases)
        channel_queries = self._builder.channel_queries(asked)
        case_candidates = CaseCandidates([], [])
        for start in range(0, len(channel_queries), _BATCH):
            of_batch = slice(start, start + _BATCH)
            batch = self._builder.exclude_seen(channel_queries[of_batch], asked[of_batch])
            case_candidates.candidates.extend(self._retriever.retrieve(batch, [self._depth] * len(batch)))
            if cases.is_search:
                channel_lists, _ = self._retriever.search_channels(batch, [request_kind(query) for query in batch])
                case_candidates.text_lists.extend(
                    {name: ranked[name].rows for name in TEXT_CHANNELS} for ranked in channel_lists
                )
            else:
                case_candidates.text_lists.extend(
                    {name: np.empty(0, np.int32) for name in TEXT_CHANNELS} for _ in batch
                )
            self._on_progress(cases.name, start + len(batch), len(channel_queries))
        return case_candidates


def training_queries(cases: RankingCases) -> list[TrainingQuery]:
    """The cases as the ranker's training takes them, without their answers."""
    return [
        TrainingQuery(
            cases.kind_of(i),
            cases.queries[i],
            cases.seen[i],
            cases.now,
            relevant=None,
            clicked=None,
            purchased=None,
            places=cases.places[i],
            segments=cases.segments[i],
        )
        for i in range(len(cases))
    ]
