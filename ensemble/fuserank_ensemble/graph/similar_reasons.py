"""Says why the model `similar` returned its items."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.graph.item_describer import words_in_item
from fuserank_ensemble.ranking.relations import (
    RelationFinder,
    Relations,
    SimilarItem,
    comes_early,
    explain_similar,
)
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS
from fuserank_ensemble.retrieval.graph.index import GraphIndex


class SimilarExplainer:
    """Explains items that are like an item, a text or a basket."""

    def __init__(self, bundle: Bundle) -> None:
        """Takes the bundle; what it reads of it is opened at the first explanation."""
        self._bundle = bundle
        counts = bundle.manifest["counts"]
        self._only_purchases = counts["purchases"] == counts["events"]

    def explain(
        self,
        anchors: NDArray[np.int32],
        text: str,
        language: Language,
        catalog: CatalogSnapshot,
        rows: NDArray[np.int32],
        cosines: NDArray[np.float32],
        features: NDArray[np.float32],
    ) -> list[list[dict[str, Any]]]:
        """Returns the signals of the items of an answer.

        Args:
            anchors: Rows of the items that they are to be like, int32; none for a text.
            text: The text that they are to be like; empty for items.
            language: Of the sentences.
            catalog: The catalogue that they were found in.
            rows: The items, int32 `[items]`.
            cosines: How near all candidates are, those of the answer first, float32 `[candidates]`.
            features: Of the candidates, float32 `[candidates, F]`.
        """
        naming, changed = self._relations.fields, catalog.records.changed
        relinked = [row for row in (*anchors.tolist(), *rows.tolist()) if not naming.isdisjoint(changed.get(row, ()))]
        fields = {row: catalog.records.fields(row) for row in relinked}
        finder, is_early = self._relations.over(catalog.items, fields), comes_early(cosines)
        if text:
            relations, asked = finder.of_text(text, rows), [text] * len(rows)
        else:
            relations, asked = self._relate(finder, catalog, anchors, rows)
        explained = []
        for place, (row, of_row) in enumerate(zip(rows.tolist(), relations, strict=True)):
            item = SimilarItem(
                cosine=float(cosines[place]),
                comes_early=bool(is_early[place]),
                related_by=related_channels(features[place]),
                relations=of_row,
                shared_words=words_in_item(text, self._bundle, catalog, row) if text else (),
            )
            explained.append(explain_similar(item, asked[place], language, self._only_purchases))
        return explained

    def titles(self, catalog: CatalogSnapshot, rows: NDArray[np.int32]) -> list[str]:
        """Returns the titles of some items."""
        return [str(catalog.records.fields(row)["title"]) for row in rows.tolist()]

    def _relate(
        self, finder: RelationFinder, catalog: CatalogSnapshot, anchors: NDArray[np.int32], rows: NDArray[np.int32]
    ) -> tuple[list[Relations], list[str]]:
        """Returns what relates each item to the nearest of those asked about, and that one's title."""
        vectors = catalog.vectors[catalog.items.text[anchors]].astype(np.float32)
        nearest = (catalog.vectors[catalog.items.text[rows]].astype(np.float32) @ vectors.T).argmax(axis=1)
        relations = [Relations()] * len(rows)
        for place in np.unique(nearest).tolist():
            of_place = np.flatnonzero(nearest == place)
            related = finder.of_item(int(anchors[place]), rows[of_place])
            for at, relation in zip(of_place.tolist(), related, strict=True):
                relations[at] = relation
        titles = self.titles(catalog, anchors)
        return relations, [titles[place] for place in nearest.tolist()]

    @cached_property
    def _relations(self) -> RelationFinder:
        graph = self._bundle.root / "index" / "graph"
        return RelationFinder(
            self._bundle.items, GraphIndex.open(graph) if graph.exists() else None, self._bundle.histories
        )


def related_channels(features: NDArray[np.float32]) -> list[str]:
    """Returns the channels that relate an item to what was asked, by its features, float32 `[F]`."""
    return [
        name
        for name, declared in DECLARATIONS.items()
        if declared.relates and not np.isnan(features[POSITION[declared.rank.name]])
    ]
