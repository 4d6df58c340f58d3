"""What search engines do without a ranker: BM25, embeddings, and reciprocal-rank fusion of all channels."""

from __future__ import annotations

from dataclasses import dataclass

from fuserank_evaluation.datasets.cases import RankingCases, Rows
from fuserank_evaluation.ranking.entrant import DEPTH
from fuserank_evaluation.ranking.retrieved import Retrieved


@dataclass(frozen=True)
class TextChannel:
    """One text channel's own order; it has no answer to a recommendation.

    Attributes:
        name: As the report calls it.
        channel: As retrieval calls it.
        retrieved: What was found.
    """

    name: str
    channel: str
    retrieved: Retrieved

    def rank(self, cases: RankingCases) -> list[Rows] | None:
        """See `Entrant`."""
        if not cases.searches:
            return None
        return [lists[self.channel][:DEPTH] for lists in self.retrieved.of(cases).channels]


@dataclass(frozen=True)
class Fusion:
    """The fused order (Cormack, Clarke, Buettcher, SIGIR 2009), with the bundle's weights of the channels."""

    retrieved: Retrieved
    name: str = "rrf"

    def rank(self, cases: RankingCases) -> list[Rows]:
        """See `Entrant`."""
        return [rows[:DEPTH] for rows in self.retrieved.rows(cases)]


def search_channels(retrieved: Retrieved) -> list[TextChannel | Fusion]:
    """All of them."""
    return [TextChannel("bm25", "lexical", retrieved), TextChannel("dense", "dense", retrieved), Fusion(retrieved)]
