"""What a reply holds of each item beside its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.pages.layout import Variants
from fuserank_ensemble.candidates.request import PageTrace, ResolvedRequest
from fuserank_ensemble.catalog.live.snapshot import CatalogSnapshot
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.ranking.order import Ranked
from fuserank_ensemble.ranking.rules import NOT_FOUND
from fuserank_ensemble.retrieval.lexical.highlight import Highlighter
from fuserank_ensemble.retrieval.lexical.words import shared_words

Described = dict[str, Any]


class ItemDescriber:
    """Describes the items of a list as `ITEM` tells it."""

    def __init__(self, bundle: Bundle) -> None:
        """Takes the bundle, whose fields are searched and whose synonyms are known."""
        self._bundle = bundle

    def describe(
        self,
        resolved: ResolvedRequest,
        page: PageTrace | None,
        catalog: CatalogSnapshot,
        ranked: Ranked,
        heads: Sequence[Sequence[float]],
    ) -> list[Described]:
        """Returns what is told of each item of a list.

        Args:
            resolved: The request.
            page: What the list is a page of; None for no page.
            catalog: The catalogue.
            ranked: The list.
            heads: Each item's probability of each head `[items, heads]`.
        """
        items: list[Described] = [
            {"fields": catalog.records.named(row, resolved.fields)} for row in ranked.rows.tolist()
        ]
        known = [(item, at) for item, at in zip(items, ranked.positions.tolist(), strict=True) if at != NOT_FOUND]
        if resolved.probability and any(resolved.weights):
            # The heads are calibrated by themselves: their mean is how often what is wanted so happens.
            chances = np.asarray(heads).reshape(len(items), len(resolved.weights)) @ np.asarray(resolved.weights)
            for item, position, chance in zip(items, ranked.positions.tolist(), chances.tolist(), strict=True):
                if position != NOT_FOUND:
                    item["probability"] = round(chance, 6)
        if resolved.highlight and resolved.understood is not None:
            self._highlight(items, resolved.understood.words)
        if page is not None and page.variants is not None:
            for item, position in known:
                item.update(self._variants(resolved, page.variants[position], catalog))
        _tell_places(items, ranked, resolved)
        return items

    def _highlight(self, items: Sequence[Described], query: str) -> None:
        """Adds to each item the parts of its texts that match the query's words."""
        highlighter = Highlighter(query, self._bundle.query_parser.synonyms.replace)
        for item in items:
            texts = {
                name: highlighter.parts(value)
                for name, value in item["fields"].items()
                if isinstance(value, str) and name in self._bundle.spec.lexical_fields
            }
            item["highlights"] = {name: parts for name, parts in texts.items() if parts}

    def _variants(self, resolved: ResolvedRequest, variants: Variants, catalog: CatalogSnapshot) -> Described:
        """What is told of the items beneath a tile."""
        if not variants.count:
            return {}
        beneath = [
            {"item_id": catalog.items.id_of(row).decode(), "fields": catalog.records.named(row, resolved.fields)}
            for row in np.frombuffer(variants.rows, np.int32).tolist()
        ]
        return {"variants": beneath, "variant_count": variants.count}


def words_in_item(text: str, bundle: Bundle, catalog: CatalogSnapshot, row: int) -> list[str]:
    """Returns the words of a text that an item's searched fields hold, as the text has them."""
    values = catalog.records.named(row, bundle.spec.lexical_fields).values()
    return shared_words(text, (bundle.query_parser.synonyms.replace(normalise(str(value))) for value in values))


def _tell_places(items: Sequence[Described], ranked: Ranked, resolved: ResolvedRequest) -> None:
    """Adds why items stand where their scores would not put them."""
    for item, place in zip(items, ranked.places, strict=bool(ranked.places)):
        if place.pin is not None or place.explored:
            item["placed"] = "pin" if place.pin is not None else "explore"
        label = None if place.pin is None else resolved.rules[place.pin.rule].label
        if label is not None:
            item["sponsored"] = label
        if place.position == NOT_FOUND:
            item["scored"] = False
        if resolved.explore is not None:
            item["propensity"] = place.propensity
