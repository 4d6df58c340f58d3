"""The shop as it was before its last 28 days, and the searches after them: what both stacks learn from and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fuserank_evaluation.datasets.cases import (
    SEARCH_CASES,
    SEED,
    WINDOW_SECONDS,
    RankingCases,
    last_window,
    search_cases,
)
from fuserank_export.sources import read_interactions
from fuserank_export.sources.interactions import Interactions

TRAINING_CASES = 3_000


@dataclass(frozen=True)
class Searches:
    """Searches for a product type, each answered by what its household then bought of the type.

    Attributes:
        queries: Names of types, `[cases]`.
        users: Ids of households, `[cases]`.
        relevant: Item rows, `[cases]`.
    """

    queries: list[str]
    users: list[str]
    relevant: list[NDArray[np.int32]]

    @classmethod
    def of_cases(cls, cases: RankingCases, log: Interactions) -> Searches:
        """Takes cases with the ids of their users."""
        return cls(cases.queries, [str(log.user_ids[user]) for user in cases.users], cases.relevant)


@dataclass(frozen=True)
class PastShop:
    """The shop's log and the moment that separates learning from judging.

    Attributes:
        log: The whole log.
        types: Each item's product type, None where unknown, `[items]`.
        cut: Start of the judged window, epoch seconds.
    """

    log: Interactions
    types: NDArray[np.object_]
    cut: float

    @classmethod
    def read(cls, shop: Path, item_ids: Sequence[str]) -> PastShop:
        """Reads `catalog.parquet` and `interactions.parquet`.

        Args:
            shop: Folder of both.
            item_ids: Ids of the items in the order of a bundle's rows.

        Raises:
            ValueError: The catalogue lacks items of the bundle, or has others.
        """
        catalog = pq.read_table(shop / "catalog.parquet", columns=["item_id", "product_type"])
        types = dict(zip(catalog["item_id"].to_pylist(), catalog["product_type"].to_pylist(), strict=True))
        if types.keys() != set(item_ids):
            raise ValueError(
                f"{shop}: its {len(types)} items are not the {len(item_ids)} of the bundle; `make bench-hybrid` "
                "exports the bundle from this shop"
            )
        log = read_interactions(shop / "interactions.parquet", item_ids)
        return cls(log, np.asarray([types[item_id] for item_id in item_ids], object), last_window(log))

    def judged(self, count: int = SEARCH_CASES) -> Searches:
        """The searches of `fuserank evaluate ranking`: those of the last window."""
        return Searches.of_cases(search_cases(self.log, self.types, self.cut, count, SEED), self.log)

    def training(self) -> tuple[Searches, float]:
        """Searches of the window before, made alike, and where that window begins."""
        moment = self.cut - WINDOW_SECONDS
        cases = search_cases(self.log.as_of(self.cut), self.types, moment, TRAINING_CASES, SEED)
        return Searches.of_cases(cases, self.log), moment


def write_past_shop(shop: Path, out: Path) -> None:
    """Writes the shop's files as they were at the cut.

    A price of this catalogue is what was paid over the whole year: an item that nobody had bought yet loses it.

    Args:
        shop: Folder of `catalog.parquet` and `interactions.parquet`.
        out: Gets the same two files.
    """
    catalog, log = (pq.read_table(shop / f"{name}.parquet") for name in ("catalog", "interactions"))
    cut = PastShop.read(shop, catalog["item_id"].to_pylist()).cut
    milliseconds = pc.cast(log["timestamp"], pa.int64())
    past = log.filter(pc.less(milliseconds, int(cut * 1_000)))
    sold = pc.is_in(catalog["item_id"], value_set=past["item_id"].unique())
    prices = pc.if_else(sold, catalog["price"], pa.scalar(None, catalog["price"].type))
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        catalog.set_column(catalog.schema.get_field_index("price"), "price", prices), out / "catalog.parquet"
    )
    pq.write_table(past, out / "interactions.parquet")
