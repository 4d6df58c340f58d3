"""Asks a bundle's whole graph, and plain search over the same texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.text import render
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_evaluation.baselines.plain_search import PlainSearch
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.metrics.measures import measure_judged
from fuserank_export.index.shop import bundle_records

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Product:
    """A bundle, asked as a caller asks it.

    Attributes:
        bundle: The bundle.
        graph: Its graph in this process.
        users: Ids of its users.
        records: Every item's fields in the order of rows.
    """

    bundle: Bundle
    graph: LocalGraph
    users: list[str]
    records: list[dict[str, Any]]

    @classmethod
    def open(cls, bundle: Bundle) -> Product:
        """Opens a bundle's graph and reads its catalogue."""
        records = list(bundle_records(bundle))
        users = [user.decode() for user in bundle.histories.users]
        return cls(bundle, LocalGraph(bundle), users, records)

    def answer(self, query: str, user: str = "", **options: Any) -> Rows:
        """Returns the rows of one answer, best first; `options` as a caller gives them."""
        listed = self.graph.search(query, user, fields=[], explain=False, **options)["ITEM_ID"][0]
        return np.asarray([self.bundle.items.row(item.decode()) for item in listed if item], np.int32)

    def plain_search(self) -> PlainSearch:
        """Returns plain search over the texts that the bundle embedded."""
        template = self.bundle.spec.text_template
        texts = [render(template, record) for record in self.records]
        return PlainSearch(texts, self.bundle.vectors, self.bundle.items.text)


def plain_answers(product: Product, queries: Sequence[str]) -> Iterator[dict[str, Rows]]:
    """Yields each query's lists by plain search, by method."""
    plain = product.plain_search()
    for query, embedding in zip(queries, BundleEncoder(product.bundle).embed(queries), strict=True):
        yield dict(plain.search(query, embedding))


def measure_ndcg(product: Product, judged: JudgedQueries, listed: Sequence[Rows]) -> NDArray[np.float64]:
    """Returns nDCG@10 of every judged query, float64 `[queries]`.

    Args:
        product: The shop that was asked.
        judged: Queries and grades.
        listed: A list for each query, best first.
    """
    ids = [[product.records[row]["item_id"] for row in rows[:10]] for rows in listed]
    return measure_judged(judged, ids, {"ndcg": nDCG @ 10})["ndcg"]
