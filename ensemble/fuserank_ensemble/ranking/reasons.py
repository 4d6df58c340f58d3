"""Why an item stands where it stands: each signal's part in the score, and a sentence a shopper understands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.ranking.wording import said

# The same for every candidate of a request, so it explains no order; it goes into the base.
_BASE = "request"
USUAL = 0.05  # a price within 5 % of the usual one is neither above nor below it
_TOWERS = ("reading", "sequence")  # signals that have towers of their own and no features
_FIRST = {feature.signal: i for i, feature in reversed(list(enumerate(FEATURES)))}


@dataclass(frozen=True)
class Reader:
    """To whom a reason is told.

    Attributes:
        query: What was asked; empty for a recommendation.
        language: Of the sentences.
        bought: All that the user had was bought, not only looked at.
    """

    query: str = ""
    language: Language = "en"
    bought: bool = False


@dataclass(frozen=True)
class RuleShift:
    """What business rules added to a score, and the same in standard deviations of the candidates' scores."""

    contribution: float
    steps: float


def explain(
    score: float,
    parts: NDArray[np.float32],
    features: NDArray[np.float32],
    reader: Reader,
    moved: RuleShift | None = None,
) -> list[dict[str, Any]]:
    """Splits one item's score into its signals. The contributions, with `base`, add up to the score.

    Args:
        score: The item's score.
        parts: What each of `SIGNALS` adds to the score beyond what it adds to the mean candidate, float32 `[signals]`.
        features: The item's features, float32 `[features]`.
        reader: To whom it is told.
        moved: What rules added to the score; None where the request has none.

    Returns:
        One entry a signal, the largest contribution first: `name`, `value` (its leading feature, in its own unit;
        null where missing), `contribution`, `share` of all absolute contributions, `reason`; last the `base`.
    """
    told: list[tuple[str, float | None, float, str]] = []
    for signal, part in zip(SIGNALS, parts.tolist(), strict=True):
        if signal in _TOWERS:
            told.append((signal, None, part, _read_by_a_tower(signal, features, reader, part)))
        elif signal != _BASE:
            told.append((signal, _known(features[_FIRST[signal]]), part, _SENTENCES[signal](features, reader)))
    if moved is not None:
        kind = "boost" if moved.steps > 0 else "bury" if moved.steps < 0 else "none"
        told.append(("rules", moved.steps, moved.contribution, said(reader.language, f"rules_{kind}")))
    whole = sum(abs(part) for _, _, part, _ in told) or 1.0
    base = score - sum(part for _, _, part, _ in told)
    return [
        *(
            _signal(name, value, part, abs(part) / whole, reason)
            for name, value, part, reason in sorted(told, key=lambda each: -each[2])
        ),
        _signal("base", None, base, 0.0, said(reader.language, "base")),
    ]


def unscored(score: float, language: Language) -> list[dict[str, Any]]:
    """The signals of an item that the ranker has not judged: its score is the mean candidate's, and nothing else."""
    return [_signal("base", None, score, 0.0, said(language, "base"))]


def placed(sentence: str, language: Language) -> dict[str, Any]:
    """The signal of an item that stands where it does for another reason than its score, which it leaves as it is."""
    return _signal("placement", None, 0.0, 0.0, said(language, sentence))


def _signal(name: str, value: float | None, contribution: float, share: float, reason: str) -> dict[str, Any]:
    return {"name": name, "value": value, "contribution": contribution, "share": share, "reason": reason}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _value(features: NDArray[np.float32], name: str) -> float:
    return float(features[POSITION[name]])


def _text(features: NDArray[np.float32], reader: Reader) -> str:
    score = _value(features, "text_score")
    if not reader.query.strip():
        return said(reader.language, "no_query")
    sentence = "text_unlike" if math.isnan(score) else "text"
    return said(reader.language, sentence, share=score, query=reader.query)


def _lexical(features: NDArray[np.float32], reader: Reader) -> str:
    if not reader.query.strip():
        return said(reader.language, "no_query")
    sentence = "lexical_none" if math.isnan(_value(features, "lexical_score")) else "lexical"
    return said(reader.language, sentence, query=reader.query)


def _popularity(features: NDArray[np.float32], reader: Reader) -> str:
    count = round(math.expm1(_value(features, "popularity")))
    return said(reader.language, "popularity" if count else "popularity_none", count=count)


def _new(features: NDArray[np.float32], reader: Reader) -> str:
    age = _value(features, "age")
    if math.isnan(age):
        return said(reader.language, "new_unknown")
    return said(reader.language, "new", days=round(math.expm1(age)))


def _personal(features: NDArray[np.float32], reader: Reader) -> str:
    frequency, recency = _value(features, "personal_frequency"), _value(features, "personal_recency")
    if math.isnan(frequency):
        return said(reader.language, "personal_none")
    days = round(math.expm1(recency))
    sentence = f"personal{'_bought' * reader.bought}{'_today' * (not days)}"
    return said(reader.language, sentence, times=round(math.expm1(frequency)), days=days)


def _read_by_a_tower(signal: str, features: NDArray[np.float32], reader: Reader, part: float) -> str:
    """A sentence for a tower, of which only is known which way it moved the score."""
    if not _value(features, "has_query" if signal == "reading" else "has_history"):
        return said(reader.language, f"{signal}_none")
    return said(reader.language, signal if part > 0 else f"{signal}_against", query=reader.query)


def _taste(features: NDArray[np.float32], reader: Reader) -> str:
    share = _value(features, "category_share")
    return said(reader.language, "taste_none" if math.isnan(share) or not share else "taste", share=share)


def _price(features: NDArray[np.float32], reader: Reader) -> str:
    price, gap = _value(features, "price"), _value(features, "price_gap")
    if math.isnan(price):
        return said(reader.language, "price_unknown")
    if math.isnan(gap):
        sentence = "price"
    elif abs(gap) < math.log1p(USUAL):
        sentence = "price_usual"
    else:
        sentence = "price_above" if gap > 0 else "price_below"
    return said(reader.language, sentence, price=math.expm1(price))


def _ranked(signal: str) -> Callable[[NDArray[np.float32], Reader], str]:
    """A sentence for a channel that only has a position to tell."""

    def sentence(features: NDArray[np.float32], reader: Reader) -> str:
        rank = _value(features, f"{signal}_rank")
        if math.isnan(rank):
            return said(reader.language, f"{signal}_none")
        return said(reader.language, signal, rank=round(math.expm1(rank)) + 1)

    return sentence


_SENTENCES: dict[str, Callable[[NDArray[np.float32], Reader], str]] = {
    "text": _text,
    "lexical": _lexical,
    "popularity": _popularity,
    "new": _new,
    "personal": _personal,
    "collaborative": _ranked("collaborative"),
    "content": _ranked("content"),
    "graph": _ranked("graph"),
    "taste": _taste,
    "price": _price,
}
