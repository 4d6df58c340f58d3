"""Real questions of a shop: words of its product types and titles, households that bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

SEED = 7
QUESTIONS = 4_000
# Of the frequencies of queries in web search logs: the n-th is asked 1/n^exponent as often (Baeza-Yates et al. 2007).
ZIPF_EXPONENT = 0.8
Kind = Literal["query", "user", "both"]


@dataclass(frozen=True)
class Load:
    """Pairs of a query and a user, in the order in which they are asked.

    No query comes twice unless that is asked for: the server remembers the embeddings of queries, and would be measured
    without its encoder.
    """

    queries: list[str]
    users: list[str]

    @classmethod
    def of_shop(cls, folder: Path, zipf: bool = False, count: int = QUESTIONS) -> Load:
        """Draws pairs of the shop's own product types, beginnings of titles and households, seeded.

        Args:
            folder: Of `catalog.parquet` and `interactions.parquet`.
            zipf: Few queries are asked often and most seldom, as in real logs; else each once.
            count: How many pairs at most.
        """
        catalog = pq.read_table(folder / "catalog.parquet", columns=["product_type", "title"]).to_pydict()
        users = pq.read_table(folder / "interactions.parquet", columns=["user_id"]).column(0).unique().to_pylist()
        draw = np.random.default_rng(SEED)
        types = {str(each).lower() for each in catalog["product_type"] if each}
        words = {" ".join(str(each).lower().replace(",", "").split()[:3]) for each in catalog["title"]}
        queries = [str(each) for each in draw.permutation(sorted(types | words))[:count]]
        if zipf:
            queries = [str(each) for each in draw.choice(queries, len(queries), p=zipf_weights(len(queries), draw))]
        return cls(queries, [str(each) for each in draw.choice(sorted(str(user) for user in users), len(queries))])

    def rows(self, kind: Kind = "both", options: str = "{}") -> list[tuple[str, str, str]]:
        """Requests as they go on the wire: query, user, options."""
        pairs = zip(self.queries, self.users, strict=True)
        return [(query * (kind != "user"), user * (kind != "query"), options) for query, user in pairs]


def zipf_weights(count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities of `count` queries that fall with their rank; which query has which rank is drawn."""
    weights = 1 / np.arange(1, count + 1) ** ZIPF_EXPONENT
    shuffled: NDArray[np.float64] = draw.permutation(weights / weights.sum())
    return shuffled
