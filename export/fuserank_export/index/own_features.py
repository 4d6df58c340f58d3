"""Chooses which of a catalogue's columns become features of the shop's own.

A column that only repeats what the ranker knows, or that counts the very log that is to be predicted, is left out where
columns are chosen automatically. Whoever names a column takes that on: nobody can tell from a column alone whether it
was known at the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew, spearmanr

from fuserank_ensemble.candidates.own_features import numbers, read_number
from fuserank_ensemble.catalog.filters import CATEGORIES, CATEGORY_SEPARATOR, Column
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.errors import nearest
from fuserank_ensemble.interactions.blocks import user_blocks
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.popularity import DEVICE
from fuserank_ensemble.interactions.segments import USER
from fuserank_ensemble.retrieval.own_features import Form, OwnFeature
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.report import InputError, shorten

SIGNAL = "shop"
PURCHASE = EVENTS.index("purchase")
KNOWN_ELSEWHERE = (
    *("item_id", "title", "description", "category", CATEGORIES, "brand", "price", "created_at", "image_url"),
)
MOST_VALUES = 32  # distinct texts of a column
NAMED_VALUES = 8  # of these, the most frequent, have a column of their own
LEAST_ITEMS = 5  # with a value, for it to count
LEAST_NUMBERS = 20  # items whose number is known
NUMERIC_SHARE = 0.8  # of a column's texts that read as numbers, for it to be one of numbers
SKEWED = 1.0  # from this skewness on a number enters as its logarithm
COUNTS_THE_LOG = 0.99  # rank correlation with what the log says of items


@dataclass
class ChosenFeatures:
    """The features that were chosen.

    Attributes:
        features: In the order of the catalogue's columns.
        notes: What a reader should know of columns that were not taken, or not as they are.
    """

    features: list[OwnFeature] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, column: Column, named: bool) -> None:
        """Adds a column's features; `named` by the shop, or found.

        Raises:
            InputError: Where it can have none.
        """
        self.features += _features_of(name, column, named)
        if column.kind == "keyword" and _as_numbers(column, named) is not None:
            bad = np.asarray([np.isnan(read_number(word)) for word in (*column.words, "0")])
            count = int(bad[column.values].sum())
            if count:
                example = shorten(column.words[int(np.flatnonzero(bad)[0])], 40)
                self.notes.append(
                    f"the column {name} has {count:,} cells that are no numbers, such as {example!r}: they are taken "
                    "as unknown"
                )


def choose_features(items: Items, log: Interactions, wanted: Sequence[str] | None) -> ChosenFeatures:
    """Chooses the features of a catalogue's own columns.

    Args:
        items: The catalogue.
        log: The log; may be empty.
        wanted: Names of columns; None finds them.

    Raises:
        InputError: Where a column is named that the catalogue has not, or that can be no feature.
    """
    chosen = ChosenFeatures()
    columns = items.columns.by_name
    own = [name for name, column in columns.items() if name not in KNOWN_ELSEWHERE and _has_values(column)]
    if wanted is not None:
        for name in dict.fromkeys(wanted):
            _check_named(name, own)
            chosen.add(name, columns[name], named=True)
        return chosen
    for name in own:
        if _repeats(columns[name], items):
            continue
        if counted := _counted_from_log(columns[name], log, len(items)):
            chosen.notes.append(
                f"the column {name} is no feature, as it follows the log's own {counted}, the future included; "
                f"--feature {name} takes it nevertheless"
            )
            continue
        with suppress(InputError):
            chosen.add(name, columns[name], named=False)
    return chosen


def group_features(log: Interactions) -> list[OwnFeature]:
    """Returns the features of the groups that requests are of: how much more a group has of an item than all have.

    Groups are what the shop says of its users, and the log's devices. What sells at a store or in a region counts in
    the channel `trending`.
    """
    of_users = [("segment", name, f"{USER}{name}") for name in log.segments.columns]
    of_devices = [("context", DEVICE, DEVICE)] if len(log.places.get(DEVICE, ((), []))[1]) > 1 else []
    features = []
    for signal, name, kind in (*of_users, *of_devices):
        of_item = f"log of how much more those of the same {name} have the item than all have it"
        of_category = "log of how much more they have of its category; missing where it has none"
        features += [
            OwnFeature(f"{signal}.{name}", signal, of_item, kind, "lift"),
            OwnFeature(f"{signal}.{name}.category", signal, of_category, kind, "category_lift"),
        ]
    return features


def _check_named(name: str, own: Sequence[str]) -> None:
    if name in KNOWN_ELSEWHERE:
        raise InputError(
            f"--feature {name}: the ranker reads this column already; allowed: {', '.join(own) or 'no other'}"
        )
    if name not in own:
        raise InputError(
            f"--feature {name}: the catalogue has no such column of numbers, truth values or short texts; "
            f"known: {nearest(name, own)}"
        )


def _features_of(name: str, column: Column, named: bool) -> list[OwnFeature]:
    """Returns a column's features.

    Raises:
        InputError: Where it can have none.
    """
    values = _as_numbers(column, named)
    if values is not None:
        return [_number_feature(name, values[~np.isnan(values)])]
    if column.kind == "bool":
        rarer = min(int((column.values == flag).sum()) for flag in (0, 1))
        if rarer < LEAST_ITEMS:
            raise InputError(
                f"--feature {name}: {rarer} items have the rarer truth value; allowed: {LEAST_ITEMS} or more"
            )
        return [OwnFeature(f"{SIGNAL}.{name}", SIGNAL, f"1 where {name} holds", name, "flag")]
    return _text_features(name, column)


def _number_feature(name: str, known: NDArray[np.float64]) -> OwnFeature:
    distinct = len(np.unique(known))
    if len(known) < LEAST_NUMBERS or distinct < 2:
        raise InputError(
            f"--feature {name}: {len(known):,} items have a number there, {distinct:,} distinct; allowed: "
            f"{LEAST_NUMBERS} items or more, and two numbers"
        )
    form: Form = "log" if known.min() >= 0 and float(skew(known)) > SKEWED else "number"
    return OwnFeature(f"{SIGNAL}.{name}", SIGNAL, f"{name}, as {form}", name, form)


def _text_features(name: str, column: Column) -> list[OwnFeature]:
    if len(column.words) > MOST_VALUES:
        raise InputError(
            f"--feature {name}: {len(column.words):,} distinct texts; allowed: numbers, truth values, or at most "
            f"{MOST_VALUES} texts"
        )
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.words))
    frequent = [code for code in np.argsort(-counts, kind="stable") if counts[code] >= LEAST_ITEMS]
    if not frequent or len(column.words) < 2:
        raise InputError(
            f"--feature {name}: its texts do not tell items apart; allowed: two or more, one of them of "
            f"{LEAST_ITEMS} items"
        )
    features = [
        OwnFeature(f"{SIGNAL}.{name}={word}", SIGNAL, f"1 where {name} is {word}", name, "value", word)
        for word in (column.words[code] for code in frequent[:NAMED_VALUES])
    ]
    if column.owners is None:
        meaning = f"share of the user's events with items of the same {name}"
        features.append(OwnFeature(f"{SIGNAL}.{name}.share", SIGNAL, meaning, name, "share"))
    return features


def _has_values(column: Column) -> bool:
    known = ~np.isnan(column.values) if column.kind == "number" else column.values >= 0
    return bool(known.any())


def _as_numbers(column: Column, named: bool) -> NDArray[np.float64] | None:
    """A column's numbers `[items]`, NaN where missing or none; None of a column that is not of numbers.

    Texts are numbers where most read as such. Where all do, their file says that they are texts nevertheless, such as
    the numbers of manufacturers: only the shop can say otherwise, by naming the column.
    """
    if column.kind == "number":
        return numbers(column)
    if column.kind != "keyword" or not column.words:
        return None
    values = numbers(column)
    share = float((~np.isnan(values[column.values >= 0])).mean())
    if share < NUMERIC_SHARE or (share == 1.0 and not named) or _are_codes(column.words):
        return None
    return values


def _are_codes(words: Sequence[str]) -> bool:
    """Whether texts are written as no number is, with leading zeros: "007" is an article number."""
    return any(len(word) > 1 and word[0] == "0" and word[1].isdigit() for word in words)


def _repeats(column: Column, items: Items) -> bool:
    """Whether a column only numbers the items, or names a level of their category or their brand again."""
    if column.kind == "number":
        known = column.values[~np.isnan(column.values)]
        return len(np.unique(known)) == len(known) and bool((known == np.round(known)).all())
    if column.kind != "keyword":
        return False
    for name, codes in (("category", items.category), ("brand", items.brand)):
        both = (codes >= 0) & (column.values >= 0)
        words = items.columns.by_name[name].words if both.any() else []
        pairs = np.unique(np.stack([codes[both], column.values[both]], 1), axis=0).tolist()
        names = ((words[code].casefold().split(CATEGORY_SEPARATOR), column.words[own]) for code, own in pairs)
        if pairs and all(own.casefold() in levels for levels, own in names):
            return True
    return False


def _counted_from_log(column: Column, log: Interactions, items: int) -> str:
    """What of the whole log a column of numbers follows; empty where it follows nothing."""
    values = _as_numbers(column, named=False)
    if values is None or not len(log):
        return ""
    valued = ~np.isnan(log.value)
    counts = {
        "count of events": np.bincount(log.item, minlength=items),
        "count of purchases": np.bincount(log.item[log.event == PURCHASE], minlength=items),
        "count of users": _users_of_items(log, items),
        "sum of values": np.bincount(log.item[valued], log.value[valued], minlength=items),
    }
    of_valued = np.bincount(log.item[valued], minlength=items)
    by_item = {name: of_items.astype(np.float64) for name, of_items in counts.items()}
    by_item["mean value"] = by_item["sum of values"] / np.where(of_valued > 0, of_valued, np.nan)
    for name, of_items in by_item.items():
        both = ~np.isnan(values) & ~np.isnan(of_items)
        if both.sum() >= LEAST_NUMBERS and min(len(np.unique(v[both])) for v in (values, of_items)) > 1:
            correlation = float(spearmanr(values[both], of_items[both]).statistic)
            if correlation >= COUNTS_THE_LOG:
                return name
    return ""


def _users_of_items(log: Interactions, items: int) -> NDArray[np.int64]:
    """How many users have each item, `[items]`."""
    counts, users = np.zeros(items, np.int64), len(log.user_ids)
    for events in user_blocks(log.user):
        pairs = np.unique(log.item[events].astype(np.int64) * users + log.user[events])
        counts += np.bincount(pairs // users, minlength=items)
    return counts
