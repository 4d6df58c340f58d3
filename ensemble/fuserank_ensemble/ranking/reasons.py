"""Explains an item's position: each signal's contribution to the score, and a sentence that a shopper understands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.categories import LEAST_SHARE
from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS, FeatureLayout
from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.ranking.adjustments import CODE_LOG_SCORE
from fuserank_ensemble.ranking.own_reasons import own_reason, own_value
from fuserank_ensemble.ranking.wording import SENTENCES, format_sentence
from fuserank_ensemble.retrieval.channels.registry import DECLARATIONS

# Equal for every candidate of a request, so it explains no order; it goes into the base.
_BASE = "request"
_FUSION = "fusion"
_NAMED_CHANNELS = 3
_FIT = "fit"
_CATEGORY = "category"
LIKELY = 0.05  # share of a query's meaning from which a category is named as meant
USUAL = 0.05  # a price within 5 % of the usual one is neither above nor below it
_TOWERS = ("reading", "sequence")  # signals that have towers of their own and no features
EVERY_SHOP = FeatureLayout()
_LEADING_FEATURE = {feature.signal: i for i, feature in reversed(list(enumerate(FEATURES)))}
Features = NDArray[np.float32]  # [features], of one item


@dataclass(frozen=True)
class Reader:
    """The reader of a reason.

    Attributes:
        query: The request's query; empty for a recommendation.
        language: Of the sentences.
        bought: Whether all that the user had was bought, not only looked at.
        shared_words: Words of the query that the explained item holds.
        layout: What the features are.
        groups: The groups that the user is in, by kind.
    """

    query: str = ""
    language: Language = "en"
    bought: bool = False
    shared_words: Sequence[str] = ()
    layout: FeatureLayout = EVERY_SHOP
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def sentence(self, key: str, **values: float | str) -> str:
        """Returns a sentence in the reader's language, see `format_sentence`."""
        return format_sentence(self.language, key, **values)


@dataclass(frozen=True)
class RuleShift:
    """What business rules added to a score.

    Attributes:
        contribution: In the score's own unit.
        steps: In standard deviations of the candidates' scores.
    """

    contribution: float
    steps: float


def explain(
    score: float,
    contributions: NDArray[np.float32],
    features: Features,
    reader: Reader,
    rule_shift: RuleShift | None = None,
    adjustments: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Splits one item's score into its signals. The contributions, with `base`, add up to the score.

    Args:
        score: The item's score.
        contributions: What each signal of the layout adds to the score beyond what it adds to the mean candidate,
            float32 `[signals]`.
        features: The item's features, float32 `[features]`.
        reader: The reader of the reasons.
        rule_shift: What rules added to the score; None where the request has none.
        adjustments: What else was added to the score, by name, and what was added to the mean candidate's, see
            `fuserank_ensemble.ranking.adjustments`.

    Returns:
        One entry a signal, the largest contribution first: `name`, `value` (its leading feature, in its own unit;
        null where missing), `contribution`, `share` of all absolute contributions, `reason`; last the `base`.
    """
    entries: list[tuple[str, float | None, float, str]] = []
    signals, own = reader.layout.signals, reader.layout.own_signals
    for signal, by_ranker in zip(signals, contributions.tolist(), strict=True):
        added, mean = adjustments.get(signal, (0.0, 0.0))
        contribution = by_ranker + added - mean
        if signal in own:
            columns, values = reader.layout.of_signal(signal), features[reader.layout.columns(signal)]
            reason = own_reason(signal, columns, values, reader.groups, reader.language)
            entries.append((signal, own_value(columns, values), contribution, reason))
        elif signal in _TOWERS:
            entries.append((signal, None, contribution, _tower_reason(signal, features, reader, contribution)))
        elif signal not in (_BASE, _FIT):
            value = float(features[_LEADING_FEATURE[signal]])
            reason = _REASONS[signal](features, reader)
            entries.append((signal, None if math.isnan(value) else value, contribution, reason))
        elif signal == _FIT and not math.isnan(missed := _value(features, "missed")):
            entries.append((signal, missed, contribution, _fit_reason(missed, reader)))
    for name, (added, mean) in adjustments.items():
        if name not in signals:
            shown = _category_share(features) if name == _CATEGORY else None
            entries.append((name, shown, added - mean, _adjustment_reason(name, added, features, reader)))
    if rule_shift is not None:
        kind = "boost" if rule_shift.steps > 0 else "bury" if rule_shift.steps < 0 else "none"
        entries.append(("rules", rule_shift.steps, rule_shift.contribution, reader.sentence(f"rules_{kind}")))
    total = sum(abs(contribution) for _, _, contribution, _ in entries) or 1.0
    base = score - sum(contribution for _, _, contribution, _ in entries)
    entries.sort(key=lambda entry: -entry[2])
    return [
        *(_signal(name, value, part, abs(part) / total, reason) for name, value, part, reason in entries),
        _signal("base", None, base, 0.0, reader.sentence("base")),
    ]


def fusion_parts(votes: NDArray[np.float32], layout: FeatureLayout = EVERY_SHOP) -> NDArray[np.float32]:
    """Returns the signals' contributions where fusion orders: all is of the votes, float32 `[items, signals]`."""
    parts = np.zeros((len(votes), len(layout.signals)), np.float32)
    parts[:, layout.signals.index(_FUSION)] = votes
    return parts


def unscored(score: float, language: Language) -> list[dict[str, Any]]:
    """The signals of an item without a score of the ranker's: it has the mean candidate's score, all of it `base`."""
    return [_signal("base", None, score, 0.0, format_sentence(language, "base"))]


def placed(sentence: str, language: Language) -> dict[str, Any]:
    """The signal of an item that a pin or exploration placed, whatever its score, which stays as it is."""
    return _signal("placement", None, 0.0, 0.0, format_sentence(language, sentence))


def _signal(name: str, value: float | None, contribution: float, share: float, reason: str) -> dict[str, Any]:
    return {"name": name, "value": value, "contribution": contribution, "share": share, "reason": reason}


def _value(features: Features, name: str) -> float:
    return float(features[POSITION[name]])


def _text_reason(features: Features, reader: Reader) -> str:
    score = _value(features, "text_score")
    if not reader.query.strip():
        return reader.sentence("no_query")
    return reader.sentence("text_unlike" if math.isnan(score) else "text", share=score, query=reader.query)


def _lexical_reason(features: Features, reader: Reader) -> str:
    if not reader.query.strip():
        return reader.sentence("no_query")
    if _value(features, "lexical_score") >= CODE_LOG_SCORE:
        return reader.sentence("lexical_code", query=reader.query)
    if not reader.shared_words:
        # A word of the query may be spelt otherwise, or be a correction.
        guessed = not math.isnan(_value(features, "lexical_score"))
        return reader.sentence("lexical_guess" if guessed else "lexical_none", query=reader.query)
    return reader.sentence("lexical", words=", ".join(dict.fromkeys(reader.shared_words)))


def _popularity_reason(features: Features, reader: Reader) -> str:
    count = round(math.expm1(_value(features, "popularity")))
    if not count and _value(features, "reach") > 0:
        return reader.sentence("popularity_weak")
    return reader.sentence("popularity" if count else "popularity_none", count=count)


def _new_reason(features: Features, reader: Reader) -> str:
    age = _value(features, "age")
    if math.isnan(age):
        return reader.sentence("new_unknown")
    return reader.sentence("new", days=round(math.expm1(age)))


def _history_reason(features: Features, reader: Reader) -> str:
    frequency, recency = _value(features, "history_frequency"), _value(features, "history_recency")
    if math.isnan(frequency):
        return reader.sentence("history_none")
    days = round(math.expm1(recency))
    # Strengths below 1 are of looks and the like, which do not make a time that it was had.
    times = round(math.expm1(frequency))
    kind = "_bought" if reader.bought else "" if times else "_looked"
    return reader.sentence(f"history{kind}{'_today' * (not days)}", times=times, days=days)


def _fit_reason(missed: float, reader: Reader) -> str:
    return reader.sentence("fit_missed" if missed else "fit", query=reader.query)


def _adjustment_reason(name: str, added: float, features: Features, reader: Reader) -> str:
    """A sentence for what was added to the score beside the ranker."""
    if name == _CATEGORY:
        share = _category_share(features)
        sentence = "unknown" if share is None else "meant" if share >= LIKELY else "unlikely"
        return reader.sentence(f"category_{sentence}", query=reader.query)
    if name == "disliked":
        return reader.sentence("disliked" if added < 0 else "disliked_none")
    return reader.sentence("depth" if added < 0 else "depth_none")


def _category_share(features: Features) -> float | None:
    """The share of an item's category in what the query means; None where it has none."""
    logarithm = _value(features, "category_of_query")
    return None if math.isnan(logarithm) else math.exp(logarithm) - LEAST_SHARE


def _tower_reason(signal: str, features: Features, reader: Reader, contribution: float) -> str:
    """A sentence for a tower, of which only is known which way it moved the score."""
    if not _value(features, "has_query" if signal == "reading" else "has_history"):
        return reader.sentence(f"{signal}_none")
    return reader.sentence(signal if contribution > 0 else f"{signal}_against", query=reader.query)


def _taste_reason(features: Features, reader: Reader) -> str:
    share = _value(features, "category_share")
    return reader.sentence("taste_none" if math.isnan(share) or not share else "taste", share=share)


def _price_reason(features: Features, reader: Reader) -> str:
    price, gap = _value(features, "price"), _value(features, "price_gap")
    if math.isnan(price):
        return reader.sentence("price_unknown")
    if math.isnan(gap):
        sentence = "price"
    elif abs(gap) < math.log1p(USUAL):
        sentence = "price_usual"
    else:
        sentence = "price_above" if gap > 0 else "price_below"
    return reader.sentence(sentence, price=math.expm1(price))


def _fusion_reason(features: Features, reader: Reader) -> str:
    """Names the channels that listed the item, the one where it stands highest first."""
    ranks = {name: _value(features, declared.rank.name) for name, declared in DECLARATIONS.items()}
    known = sorted((rank, name) for name, rank in ranks.items() if not math.isnan(rank))
    if not known:
        return reader.sentence("fusion_none")
    channels = ", ".join(f"{name} {round(math.expm1(rank)) + 1:,}" for rank, name in known[:_NAMED_CHANNELS])
    return reader.sentence("fusion", channels=channels)


def _channel_reason(signal: str) -> Callable[[Features, Reader], str]:
    """A sentence for a signal of one channel, which has only its rank to tell; channels may have their own wording."""
    declared = next((channel for channel in DECLARATIONS.values() if channel.rank.signal == signal), None)

    def reason(features: Features, reader: Reader) -> str:
        rank = _value(features, declared.rank.name) if declared is not None else math.nan
        sentence = signal if signal in SENTENCES[reader.language] else "channel"
        if math.isnan(rank):
            return reader.sentence(f"{sentence}_none", channel=signal)
        return reader.sentence(sentence, channel=signal, rank=round(math.expm1(rank)) + 1)

    return reason


def _collaborative_reason(features: Features, reader: Reader) -> str:
    """As of the channel; an item that nobody had stands for those that it is like."""
    rank = _value(features, "collaborative_rank")
    if math.isnan(rank):
        return reader.sentence("collaborative_none")
    had = _value(features, "reach") > 0 or _value(features, "popularity") > 0
    return reader.sentence("collaborative" if had else "collaborative_alike", rank=round(math.expm1(rank)) + 1)


_REASONS: Mapping[str, Callable[[Features, Reader], str]] = {
    **{signal: _channel_reason(signal) for signal in SIGNALS},
    "text": _text_reason,
    "lexical": _lexical_reason,
    "collaborative": _collaborative_reason,
    "popularity": _popularity_reason,
    "new": _new_reason,
    "history": _history_reason,
    "taste": _taste_reason,
    "price": _price_reason,
    _FUSION: _fusion_reason,
}
