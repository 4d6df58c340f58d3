"""Why an item stands where it stands: each signal's part in the score, and a sentence a shopper understands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.features import FEATURES, POSITION, SIGNALS

# The same for every candidate of a request, so it explains no order; it goes into the base.
_BASE = "request"
USUAL = 0.05  # a price within 5 % of the usual one is neither above nor below it
_FIRST = {signal: next(i for i, f in enumerate(FEATURES) if f.signal == signal) for signal in SIGNALS}


def explain(
    score: float, parts: NDArray[np.float32], features: NDArray[np.float32], query: str
) -> list[dict[str, Any]]:
    """Splits one item's score into its signals. The contributions, with `base`, add up to the score.

    Args:
        score: The item's score.
        parts: What each of `SIGNALS` adds to the score beyond what it adds to the mean candidate, float32 `[signals]`.
        features: The item's features, float32 `[features]`.
        query: The request's query, for the sentence.

    Returns:
        One entry a signal, the largest contribution first: `name`, `value` (its leading feature, in its own unit;
        null where missing), `contribution`, `share` of all absolute contributions, `reason`; last the `base`.
    """
    named = {signal: float(part) for signal, part in zip(SIGNALS, parts, strict=True) if signal != _BASE}
    whole = sum(abs(part) for part in named.values()) or 1.0
    signals = [
        {
            "name": signal,
            "value": _known(features[_FIRST[signal]]),
            "contribution": part,
            "share": abs(part) / whole,
            "reason": _SENTENCES[signal](features, query),
        }
        for signal, part in sorted(named.items(), key=lambda pair: -pair[1])
    ]
    base = score - sum(named.values())
    return [
        *signals,
        {
            "name": "base",
            "value": None,
            "contribution": base,
            "share": 0.0,
            "reason": "the mean candidate of this request",
        },
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _value(features: NDArray[np.float32], name: str) -> float:
    return float(features[POSITION[name]])


def _text(features: NDArray[np.float32], query: str) -> str:
    score = _value(features, "text_score")
    if not query.strip():
        return "no query"
    return f"unlike “{query}”" if math.isnan(score) else f"{score:.0%} like “{query}”"


def _popularity(features: NDArray[np.float32], query: str) -> str:
    del query
    count = round(math.expm1(_value(features, "popularity")))
    return f"{count:,} events of all users" if count else "nobody has had it yet"


def _lexical(features: NDArray[np.float32], query: str) -> str:
    if not query.strip():
        return "no query"
    matched = not math.isnan(_value(features, "lexical_score"))
    return f"has words of “{query}”" if matched else "shares no word with the query"


def _new(features: NDArray[np.float32], query: str) -> str:
    del query
    age = _value(features, "age")
    return "unknown since when" if math.isnan(age) else f"here for {_counted(round(math.expm1(age)), 'day')}"


def _ranked(name: str, found: str, missing: str) -> Callable[[NDArray[np.float32], str], str]:
    """A sentence for a channel that only has a position to tell."""

    def sentence(features: NDArray[np.float32], query: str) -> str:
        del query
        rank = _value(features, name)
        return missing if math.isnan(rank) else f"{found} (number {round(math.expm1(rank)) + 1:,})"

    return sentence


def _personal(features: NDArray[np.float32], query: str) -> str:
    del query
    frequency, recency = _value(features, "personal_frequency"), _value(features, "personal_recency")
    if math.isnan(frequency):
        return "new to you"
    days = round(math.expm1(recency))
    last = f"{_counted(days, 'day')} ago" if days else "today"
    return f"you had it {_counted(round(math.expm1(frequency)), 'time')}, last {last}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _taste(features: NDArray[np.float32], query: str) -> str:
    del query
    share = _value(features, "category_share")
    return (
        "no history in its category"
        if math.isnan(share) or not share
        else f"{share:.1%} of your events are in its category"
    )


def _price(features: NDArray[np.float32], query: str) -> str:
    del query
    price, gap = _value(features, "price"), _value(features, "price_gap")
    if math.isnan(price):
        return "price unknown"
    text = f"costs {math.expm1(price):,.2f}"
    if math.isnan(gap):
        return text
    if abs(gap) < math.log1p(USUAL):
        return f"{text}, about what you usually pay"
    return f"{text}, {'above' if gap > 0 else 'below'} what you usually pay"


_SENTENCES: dict[str, Callable[[NDArray[np.float32], str], str]] = {
    "text": _text,
    "lexical": _lexical,
    "popularity": _popularity,
    "new": _new,
    "personal": _personal,
    "collaborative": _ranked("collaborative_rank", "chosen by users like you", "no sign from users like you"),
    "content": _ranked("content_rank", "like what you had lately", "unlike what you had lately"),
    "graph": _ranked("graph_rank", "related to what you had or asked for", "not related to what you had or asked for"),
    "taste": _taste,
    "price": _price,
}
