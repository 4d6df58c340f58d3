"""Which candidates a text tower reads with their query: fewer or none where the deadline or the load leaves no time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.candidate_set import Candidates
from fuserank_ensemble.candidates.cost import RESERVE_MS
from fuserank_ensemble.candidates.pairs import Pair, PairTokens
from fuserank_ensemble.candidates.request import ResolvedRequest
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.text import render
from fuserank_ensemble.graph.load_level import Part
from fuserank_ensemble.graph.tensors import Tensors
from fuserank_ensemble.retrieval.channel import ChannelQuery

Asked = tuple[ResolvedRequest, frozenset[Part], ChannelQuery, Candidates]


class Readings:
    """Makes the (query, item text) pairs of requests, where the bundle has a text tower."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._spec = bundle, bundle.spec

    def make(self, asked: Sequence[Asked], size: int, catalog: CatalogSnapshot) -> tuple[Tensors, list[list[Part]]]:
        """Returns the pairs of each request's best candidates.

        Args:
            asked: The requests, what each goes without, and its candidates.
            size: How many candidates the ranker gets.
            catalog: The catalogue that they are of.

        Returns:
            The tensors, none without a tower; and for each request what it goes without: `text_tower_depth` where half
            as many pairs are read as there could be, `text_tower` where none is.
        """
        pairs, count = self._bundle.pairs, self._spec.text_candidates
        skipped: list[list[Part]] = [[] for _ in asked]
        if pairs is None:
            return {}, skipped
        tokens: list[list[Pair]] = []
        for request, left_out in zip(asked, skipped, strict=True):
            row, without, query, found = request
            read: list[Pair] = []
            # Only a search is ranked.
            if query.query and not row.kind and len(found.texts):
                half, none = "text_tower_depth" in without, "text_tower" in without
                depths = [] if none else [count // 2] if half else [count, count // 2]
                read = next(filter(None, (self._fitting(pairs, request, d, size, catalog) for d in depths if d)), [])
                if not read:
                    left_out.append("text_tower")
                elif len(read) <= count // 2 < len(found.texts):
                    left_out.append("text_tower_depth")
            tokens.append(read)
        ids, types = pairs.pad(tokens, count)
        return {"PAIR_IDS": ids, "PAIR_TYPES": types}, skipped

    def _fitting(
        self, pairs: PairTokens, request: Asked, depth: int, size: int, catalog: CatalogSnapshot
    ) -> list[Pair] | None:
        """The pairs of the first `depth` candidates; None where its deadline leaves no time to read them."""
        row, _, query, found = request
        # Candidates of equal texts (sizes of a product) have equal pairs.
        texts, text_of = np.unique(found.texts[:depth], return_inverse=True)
        joined = pairs.join(query.query, texts, lambda text: self._text_of(int(text), catalog))
        cost = self._bundle.cost
        left = row.milliseconds_left() - RESERVE_MS - cost.candidates_ms(size)
        if cost.pairs_ms(len(joined), pairs.bucket(joined)) > left:
            return None
        return [joined[text] for text in text_of]

    def _text_of(self, text: int, catalog: CatalogSnapshot) -> str:
        """The text of an item that is new or has another one than in the bundle, as the text tower reads it."""
        row = int(catalog.vectors.rows[text - len(catalog.vectors.bundled)])
        fields = self._bundle.query_parser.synonyms.replace_in(catalog.records.fields(row))
        return render(self._spec.text_template, fields)
