"""Requests in a shop's own words: product types as queries, households as users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

SEED = 7
REQUESTS = 1_000
MAX_REQUESTS = 6_000  # of one measurement; after them the first ones come again
# In web search logs the n-th most frequent query comes 1/n^exponent as often as the first (Baeza-Yates et al. 2007).
ZIPF_EXPONENT = 0.8
Kind = Literal["query", "user", "both"]
# How queries repeat. `none` joins a product type with a title's first words: hardly any query comes twice, so that no
# cache helps. `even` draws all types alike. `zipf` draws a few often and most of them seldom, as in search logs.
Repeats = Literal["none", "even", "zipf"]


@dataclass(frozen=True)
class Load:
    """Pairs of a query and a user, in the order in which they are sent."""

    queries: list[str]
    users: list[str]

    @classmethod
    def of_shop(cls, folder: Path) -> Load:
        """Draws requests from a shop's files, hardly any query twice."""
        return ShopVocabulary.read(folder).draw(4 * REQUESTS, repeats="none")

    def requests(self, kind: Kind = "both", options: str = "{}") -> list[tuple[str, str, str]]:
        """Query, user and options of each request; `kind` decides whether query or user are empty."""
        pairs = zip(self.queries, self.users, strict=True)
        return [(query * (kind != "user"), user * (kind != "query"), options) for query, user in pairs]


@dataclass(frozen=True)
class ShopVocabulary:
    """What a shop's requests are drawn from, each sorted.

    Attributes:
        types: Product types.
        title_words: First words of titles.
        users: Households.
    """

    types: list[str]
    title_words: list[str]
    users: list[str]

    @classmethod
    def read(cls, folder: Path) -> ShopVocabulary:
        """Reads `catalog.parquet` and `interactions.parquet`."""
        types, titles, users = (
            {
                str(value)
                for value in pq.read_table(folder / f"{table}.parquet", columns=[column])[0].unique().to_pylist()
                if value
            }
            for table, column in (
                ("catalog", "product_type"),
                ("catalog", "title"),
                ("interactions", "user_id"),
            )
        )
        title_words = {" ".join(title.lower().replace(",", "").split()[:2]) for title in titles}
        return cls(sorted({name.lower() for name in types}), sorted(title_words), sorted(users))

    def draw(self, count: int = REQUESTS, repeats: Repeats = "even", seed: int = SEED) -> Load:
        """Draws requests; the same ones for the same seed.

        Args:
            count: How many.
            repeats: How queries repeat.
            seed: Seed of the draw.
        """
        draw = np.random.default_rng(seed)
        weights = zipf_weights(len(self.types), np.random.default_rng(SEED)) if repeats == "zipf" else None
        queries = [str(name) for name in draw.choice(self.types, count, p=weights)]
        users = [str(user) for user in draw.choice(self.users, count)]
        if repeats == "none":
            added = draw.choice(self.title_words, count)
            queries = [f"{name} {words}" for name, words in zip(queries, added, strict=True)]
        return Load(queries, users)


class FreshLoad:
    """Draws other requests for every measurement, since servers cache queries: ours and those of its stages alike.

    Args:
        shop: What requests are drawn from.
    """

    def __init__(self, shop: ShopVocabulary) -> None:
        self._shop, self._draws = shop, 0

    def draw(self, count: int = MAX_REQUESTS, repeats: Repeats = "none") -> Load:
        """Draws requests that no earlier measurement sent."""
        self._draws += 1
        return self._shop.draw(count, repeats, SEED + self._draws)


def zipf_weights(count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Probabilities of `count` queries that fall with their rank; which query has which rank is drawn."""
    weights = 1 / np.arange(1, count + 1) ** ZIPF_EXPONENT
    shuffled: NDArray[np.float64] = draw.permutation(weights / weights.sum())
    return shuffled
