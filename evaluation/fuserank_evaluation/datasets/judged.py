"""Queries with graded relevance judgements by people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from fuserank_ensemble.retrieval.index import CatalogIndex


@dataclass(frozen=True)
class JudgedQueries:
    """Queries with their graded items.

    Attributes:
        queries: Text by query id.
        grades: Grade by item id, by query id; above 0 is relevant.
    """

    queries: Mapping[str, str]
    grades: dict[str, dict[str, int]]

    def part(self, tuned: bool) -> JudgedQueries:
        """The third of the queries that weights are tuned on, or the rest, by the hash of the query's text."""
        kept = {query: text for query, text in self.queries.items() if (crc32(text.encode()) % 3 == 0) == tuned}
        return JudgedQueries(kept, {query: self.grades[query] for query in kept})

    def first(self, count: int) -> JudgedQueries:
        """The first queries by the hash of their texts."""
        kept = dict(sorted(self.queries.items(), key=lambda pair: crc32(pair[1].encode()))[:count])
        return JudgedQueries(kept, {query: self.grades[query] for query in kept})


@dataclass(frozen=True)
class JudgedShop:
    """An indexed catalogue and judged queries for it.

    Attributes:
        catalog: The catalogue's index.
        ids: Item id by row.
        judged: Queries and grades; they may name items that the catalogue lacks.
    """

    catalog: CatalogIndex
    ids: list[str]
    judged: JudgedQueries
