"""An item as a tile shows it: words, price, picture, reasons, and the signals behind its score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fuserank.storefront.render.pictures import Picture, draw_picture
from fuserank.storefront.render.words import Words
from fuserank.types import Item, SearchResult, Signal, Variant

MAX_REASONS = 2
LEAST_SHARE = 0.05
# What they say is of the list's making, not of the item.
NO_REASONS = ("base", "fusion", "depth", "category")


@dataclass(frozen=True)
class Reason:
    """One reason in words, and the signal that it is of."""

    signal: str
    text: str


@dataclass(frozen=True)
class Tile:
    """What a tile shows of an item.

    Attributes:
        id: The item's id.
        place: In the list, from 1.
        title: The title in parts, of which the odd ones matched.
        brand: The brand, empty where there is none.
        kind: The last level of the category.
        category: The category's path.
        price: None where there is none.
        image: The address of a photograph, empty where it is drawn.
        picture: The drawn picture.
        reasons: Why it stands here, the strongest first.
        signals: JSON for the panel: name, contribution and reason of each signal, the base first.
        probability: How likely it is what is wanted; None where the server does not say.
        sponsored: The label of a paid place.
        explored: Whether exploration put it there.
        moved: How many places it stands above its place without the sliders; None where it was not in that list.
        compared: Whether there is such another list.
        variants: Sizes and prices of the same product.
        more_variants: How many further ones there are.
    """

    id: str
    place: int
    title: tuple[str, ...]
    brand: str
    kind: str
    category: str
    price: float | None
    image: str
    picture: Picture
    reasons: tuple[Reason, ...]
    signals: str
    probability: float | None
    sponsored: str
    explored: bool
    moved: int | None
    compared: bool
    variants: tuple[tuple[str, str, float | None], ...]
    more_variants: int

    @property
    def name(self) -> str:
        """The whole title."""
        return "".join(self.title)


def make_tiles(
    result: SearchResult, words: Words, first: int = 1, against: SearchResult | None = None, signals: bool = False
) -> list[Tile]:
    """Returns the tiles of a result.

    Args:
        result: What a request with `explain` was answered.
        words: Of the page's language.
        first: The place of the first item.
        against: The list that places are compared with.
        signals: Whether tiles hold what the panel shows of them.
    """
    places = {item.id: place for place, item in enumerate(against or (), first)}
    return [
        _make_tile(item, place, words, places if against is not None else None, signals)
        for place, item in enumerate(result, first)
    ]


def _make_tile(item: Item, place: int, words: Words, places: Mapping[str, int] | None, signals: bool) -> Tile:
    fields = item.fields
    category, title = _first(fields.get("category")), str(fields.get("title") or item.id)
    before = places.get(item.id) if places else None
    highlighted = item.highlights.get("title")
    return Tile(
        id=item.id,
        place=place,
        title=tuple(highlighted) if highlighted else (title,),
        brand=_first(fields.get("brand")),
        kind=category.rsplit(" > ", 1)[-1],
        category=category,
        price=fields.get("price"),
        image=str(fields.get("image_url") or ""),
        picture=draw_picture(category, title),
        reasons=_choose_reasons(item.signals),
        signals=_encode_signals(item, words) if signals else "",
        probability=item.probability,
        sponsored=item.sponsored,
        explored=item.placed == "explore",
        moved=None if before is None else before - place,
        compared=places is not None,
        variants=tuple(_read_variant(variant) for variant in item.variants),
        more_variants=max(0, item.variant_count - len(item.variants)),
    )


def _read_variant(variant: Variant) -> tuple[str, str, float | None]:
    return variant.id, str(variant.fields.get("title") or variant.id), variant.fields.get("price")


def _first(value: Any) -> str:
    """Returns a text, or the first of several."""
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)


def _choose_reasons(signals: Sequence[Signal]) -> tuple[Reason, ...]:
    """Returns what placed it, and what adds most to its score; where fusion orders, its votes."""
    placements = [signal for signal in signals if signal.name == "placement" and signal.reason]
    positive = [
        signal for signal in signals if signal.contribution > 0 and signal.share >= LEAST_SHARE and signal.reason
    ]
    positive.sort(key=lambda signal: -signal.contribution)
    of_item = [signal for signal in positive if signal.name not in NO_REASONS]
    chosen = (placements + of_item)[:MAX_REASONS] or [signal for signal in positive if signal.name != "base"][:1]
    return tuple(Reason(signal.name, signal.reason) for signal in chosen)


def _encode_signals(item: Item, words: Words) -> str:
    """Returns the parts that add up to the score: the base, then the others, the largest first."""
    parts = sorted(item.signals, key=lambda signal: (signal.name != "base", -abs(signal.contribution)))
    listed = [
        [words.name("signal", signal.name), round(signal.contribution, 4), signal.reason]
        for signal in parts
        if signal.name == "base" or signal.contribution
    ]
    return json.dumps(
        {"score": round(item.score, 4), "parts": listed, "heads": _round(item.heads, words)}, ensure_ascii=False
    )


def _round(heads: Mapping[str, float], words: Words) -> dict[str, float]:
    return {words.name("head", name): round(value, 4) for name, value in heads.items()}
