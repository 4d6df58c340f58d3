"""Shadows of a shop's own columns: the same values, dealt out anew, which a signal must beat to be worth reading.

Any further column lets a ranker fit more: in a small catalogue even noise tells items apart, and which of them sell.
How much noise gains is seen by a shadow, see Kursa and Rudnicki, Feature selection with the Boruta package, Journal of
Statistical Software 36, 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.popularity import DEVICE
from fuserank_ensemble.interactions.segments import USER, SegmentColumn, UserSegments
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_export.sources.interactions import Interactions

SHADOW = "~"  # behind the name of a column


def is_shadow(feature: OwnFeature) -> bool:
    """Returns whether a feature is made of a shadow."""
    return feature.source.endswith(SHADOW)


def add_shadows(
    items: Items, log: Interactions, features: Sequence[OwnFeature], seed: int
) -> tuple[Items, Interactions, tuple[OwnFeature, ...]]:
    """Returns a catalogue and a log with the shadows of a shop's own columns, and the features with theirs.

    Args:
        items: The catalogue.
        log: The log, with the users' segments and the devices.
        features: The features, by signal; those of a signal are followed by their shadows.
        seed: Of how values are dealt out.
    """
    draw = np.random.default_rng(seed)
    columns, known = dict(items.columns.by_name), {feature.source for feature in features}
    for name in [name for name in columns if name in known]:
        columns[f"{name}{SHADOW}"] = _deal_to_items(columns[name], draw)
    segments = _deal_to_users(log.segments, draw) if any(f"{USER}{n}" in known for n in log.segments.columns) else None
    places = dict(log.places)
    if DEVICE in known:
        codes, names = places[DEVICE]
        places[f"{DEVICE}{SHADOW}"] = (_permute(codes, codes >= 0, draw), names)
    signals = dict.fromkeys(feature.signal for feature in features)
    with_shadows = [
        feature
        for signal in signals
        for of_signal in ([feature for feature in features if feature.signal == signal],)
        for feature in (*of_signal, *map(_shadow_of, of_signal))
    ]
    return (
        replace(items, columns=Columns(len(items), columns)),
        replace(log, places=places, segments=segments or log.segments),
        tuple(with_shadows),
    )


def _shadow_of(feature: OwnFeature) -> OwnFeature:
    return replace(feature, name=f"{feature.name}{SHADOW}", source=f"{feature.source}{SHADOW}")


def _deal_to_items(column: Column, draw: np.random.Generator) -> Column:
    """The values of a column at other items; an item that has none stays without."""
    if column.owners is None:
        known = ~np.isnan(column.values) if column.kind == "number" else column.values >= 0
        return replace(column, values=_permute(column.values, known, draw))
    having = np.unique(column.owners)
    dealt = draw.permutation(having)[np.searchsorted(having, column.owners)]
    order = np.argsort(dealt, kind="stable")
    return replace(column, values=column.values[order], owners=dealt[order].astype(np.int32))


def _deal_to_users(segments: UserSegments, draw: np.random.Generator) -> UserSegments:
    """The users with the rows of others beside their own."""
    order = draw.permutation(len(segments))
    columns = dict(segments.columns)
    for name, column in segments.columns.items():
        counts = np.diff(column.offsets)[order]
        starts, offsets = column.offsets[order], np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        codes = column.codes[np.repeat(starts, counts) + within]
        columns[f"{name}{SHADOW}"] = SegmentColumn(offsets.astype(np.int64), codes, column.words)
    return replace(segments, columns=columns)


def _permute(values: NDArray[Any], known: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[Any]:
    dealt = values.copy()
    dealt[known] = draw.permutation(values[known])
    return dealt
