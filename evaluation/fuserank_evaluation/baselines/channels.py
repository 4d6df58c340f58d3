"""Search engines without a ranker: BM25, embeddings, and reciprocal-rank fusion of all channels."""

from __future__ import annotations

from dataclasses import dataclass

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.retrieval.candidates import LIST_DEPTH, CandidateFinder


@dataclass(frozen=True)
class TextChannel:
    """A text channel's own order.

    Attributes:
        name: Its name in the report.
        channel: The channel's name in retrieval.
        finder: Finds the candidates.
    """

    name: str
    channel: str
    finder: CandidateFinder

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `RankingMethod`; None for recommendations, which have no text to search for."""
        if not cases.is_search:
            return None
        return [lists[self.channel][:LIST_DEPTH] for lists in self.finder.find(cases).text_lists]


@dataclass(frozen=True)
class Fusion:
    """The fused order (Cormack, Clarke, Buettcher, SIGIR 2009), with the bundle's weights of the channels.

    Attributes:
        finder: Finds the candidates.
        name: Its name in the report.
    """

    finder: CandidateFinder
    name: str = "rrf"

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `RankingMethod`."""
        return [rows[:LIST_DEPTH] for rows in self.finder.fused_rows(cases)]


def search_baselines(finder: CandidateFinder) -> list[TextChannel | Fusion]:
    """All baselines that rank by what retrieval finds."""
    return [TextChannel("bm25", "lexical", finder), TextChannel("dense", "dense", finder), Fusion(finder)]
