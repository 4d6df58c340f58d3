"""Items of a result, with the signals behind their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Signal:
    """One reason behind a score.

    Attributes:
        name: The signal, such as `text` or `popularity`; `base` is the score of an item without any signal, and
            `placement` is the reason why an item stands where its score would not put it.
        value: The signal's own value, in its own unit.
        contribution: What it adds to the score; an item's contributions, `base` included, sum to its score.
        share: Its part of the sum of absolute contributions, from 0 to 1.
        reason: The signal in words.
    """

    name: str
    value: float = 0.0
    contribution: float = 0.0
    share: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Variant:
    """An item beneath a tile: its catalogue id, and the fields that the request named."""

    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One ranked item.

    Attributes:
        id: Its catalogue id.
        score: Higher is better.
        fields: The fields that the request named.
        signals: What the score is made of; empty unless the request asked to explain.
        heads: The ranker's probability of each head; empty unless the request asked to explain.
        placed: What put it here in place of its score: `pin`, `explore`, or empty.
        scored: Whether the ranker scored it. False for a pinned item that retrieval did not find: its score is that
            of the mean candidate.
        propensity: The probability that it stands at this place, given the candidates; None without exploration.
        highlights: Of each field in parts by turns without and with a match, so that `parts[1::2]` are what matches;
            empty unless the request asked to highlight.
        variants: The first of the items beneath it; empty unless the request collapses.
        variant_count: How many items are beneath it.
        probability: How likely what the request ranks by happens, 0 to 1; None unless the request asked for it.
        sponsored: The label of the pin that put it here; empty for any other.
    """

    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    heads: Mapping[str, float] = field(default_factory=dict)
    placed: str = ""
    scored: bool = True
    propensity: float | None = None
    highlights: Mapping[str, Sequence[str]] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    variant_count: int = 0
    probability: float | None = None
    sponsored: str = ""
