"""Real questions of a shop: product types that were asked for, households that bought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

SEED = 7
QUESTIONS = 1_000
# Of the frequencies of queries in web search logs: the n-th is asked 1/n^exponent as often (Baeza-Yates et al. 2007).
ZIPF_EXPONENT = 0.8
Kind = Literal["query", "user", "both"]
# How queries repeat: `none` joins a type and a title's first words, so that hardly any was asked before and nothing
# that a server remembers helps; `even` draws all types alike; `zipf` asks few often and most seldom, as real logs do.
Repeats = Literal["none", "even", "zipf"]


@dataclass(frozen=True)
class Load:
    """Pairs of a query and a user, in the order in which they are asked."""

    queries: list[str]
    users: list[str]

    @classmethod
    def of_shop(cls, folder: Path) -> Load:
        """Draws pairs of the shop's own words and households, hardly any query twice: the server remembers them."""
        return ShopQuestions.read(folder).draw(4 * QUESTIONS, repeats="none")

    def rows(self, kind: Kind = "both", options: str = "{}") -> list[tuple[str, str, str]]:
        """Requests as they go on the wire: query, user, options."""
        pairs = zip(self.queries, self.users, strict=True)
        return [(query * (kind != "user"), user * (kind != "query"), options) for query, user in pairs]


@dataclass(frozen=True)
class ShopQuestions:
    """What a shop's questions are drawn from, each sorted: product types, titles' first words, households."""

    types: list[str]
    words: list[str]
    users: list[str]

    @classmethod
    def read(cls, folder: Path) -> ShopQuestions:
        """Reads `catalog.parquet` and `interactions.parquet`."""
        types, titles, users = (
            {
                str(each)
                for each in pq.read_table(folder / f"{table}.parquet", columns=[column])[0].unique().to_pylist()
                if each
            }
            for table, column in (
                ("catalog", "product_type"),
                ("catalog", "title"),
                ("interactions", "user_id"),
            )
        )
        words = {" ".join(title.lower().replace(",", "").split()[:2]) for title in titles}
        return cls(sorted({each.lower() for each in types}), sorted(words), sorted(users))

    def draw(self, count: int = QUESTIONS, repeats: Repeats = "even", seed: int = SEED) -> Load:
        """Draws pairs; the same ones for the same seed.

        Args:
            count: How many pairs.
            repeats: How queries repeat.
            seed: Of the draw.
        """
        draw = np.random.default_rng(seed)
        weights = zipf_weights(len(self.types), np.random.default_rng(SEED)) if repeats == "zipf" else None
        queries = [str(each) for each in draw.choice(self.types, count, p=weights)]
        users = [str(each) for each in draw.choice(self.users, count)]
        if repeats == "none":
            queries = [f"{kind} {words}" for kind, words in zip(queries, draw.choice(self.words, count), strict=True)]
        return Load(queries, users)


def zipf_weights(count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities of `count` queries that fall with their rank; which query has which rank is drawn."""
    weights = 1 / np.arange(1, count + 1) ** ZIPF_EXPONENT
    shuffled: NDArray[np.float64] = draw.permutation(weights / weights.sum())
    return shuffled
