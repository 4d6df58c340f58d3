"""The sentences of signals that only one shop has: what its own columns say of an item."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.interactions.segments import USER
from fuserank_ensemble.ranking.wording import SEPARATOR, format_sentence, label
from fuserank_ensemble.retrieval.own_features import OwnFeature

_SHOP = "shop"
_NAMED_FACTS = 3
USUAL_LIFT = 0.1  # a tenth more or less than all have is neither popular nor unusual


def own_reason(
    signal: str,
    features: Sequence[OwnFeature],
    values: NDArray[np.float32],
    groups: Mapping[str, Sequence[str]],
    language: Language,
) -> str:
    """Returns a sentence for one of a shop's own signals.

    Args:
        signal: The signal.
        features: Its columns.
        values: Their values for the item, float32 `[columns]`, NaN where missing.
        groups: The groups that the user is in, by kind.
        language: Of the sentence.
    """
    known = [(f, value) for f, value in zip(features, values.tolist(), strict=True) if not math.isnan(value)]
    if signal == _SHOP:
        facts = [fact for feature, value in known if (fact := _fact(feature, value, language))]
        if not facts:
            return format_sentence(language, "shop_none")
        return format_sentence(language, "shop", facts=SEPARATOR[language].join(facts[:_NAMED_FACTS]))
    if not known:
        return format_sentence(language, f"{signal}_none")
    feature, lift = max(known, key=lambda pair: abs(pair[1]))
    of_category = "_category" if feature.form == "category_lift" else ""
    direction = "_usual" if abs(lift) < USUAL_LIFT else "_less" if lift < 0 else ""
    return format_sentence(
        language,
        f"{signal}{of_category}{direction}",
        label=label(language, feature.source.removeprefix(USER)),
        group=SEPARATOR[language].join(groups.get(feature.source, ())),
    )


def _fact(feature: OwnFeature, value: float, language: Language) -> str:
    """What one of the catalogue's own columns says of an item; empty where it says nothing to tell."""
    name = label(language, feature.source)
    if feature.form in ("number", "log"):
        return format_sentence(language, "fact", label=name, fact=_format_number(_in_own_unit(feature, value)))
    if feature.form == "flag":
        return format_sentence(language, "yes" if value else "no", label=name)
    if feature.form == "value" and value == 1.0:
        return format_sentence(language, "fact", label=name, fact=feature.value)
    return ""


def own_value(features: Sequence[OwnFeature], values: NDArray[np.float32]) -> float | None:
    """Returns a signal's leading value, which is its first that is known, in its own unit; None where none is."""
    for feature, value in zip(features, values.tolist(), strict=True):
        if not math.isnan(value):
            return _in_own_unit(feature, value)
    return None


def _in_own_unit(feature: OwnFeature, value: float) -> float:
    # Seven digits are what a float32 holds.
    return float(f"{math.expm1(value) if feature.form == 'log' else value:.6g}")


def _format_number(number: float) -> str:
    """A number as people write it: at most two decimals, and no zeros behind."""
    text = f"{number:,.2f}".rstrip("0").rstrip(".")
    return text if text not in ("0", "-0") or not number else f"{number:.2g}"
