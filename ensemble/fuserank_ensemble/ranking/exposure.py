"""Bounds how much of a page one brand or category may take."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.ranking.order import ExposureOutcome, Ranked


def limit_exposure(ranked: Ranked, shares: Mapping[str, float], items: Items, offset: int, k: int) -> Ranked:
    """Returns the page of a list on which no value has more than its share.

    Pages are filled one after the other: each place takes the next item of the list whose values have room on its page.
    Pinned items stay, and count.

    Args:
        ranked: The whole list, best first.
        shares: By field, what share of a page one of its values may have.
        items: The catalogue.
        offset: How many items come before the page.
        k: How many items a page has.
    """
    codes = [items.columns.by_name[field].values[ranked.rows].tolist() for field in shares]
    most = [max(1, math.floor(share * k + 1e-9)) for share in shares.values()]
    pinned = {at for at, place in enumerate(ranked.places) if place.pin is not None}
    order, unmet = _fill(len(ranked.rows), codes, most, pinned, offset + k, k)
    page = order[offset : offset + k]
    before = ranked.part(offset, k)
    limited = replace(
        ranked,
        positions=ranked.positions[page],
        rows=ranked.rows[page],
        scores=ranked.scores[page],
        places=[ranked.places[at] for at in page] if ranked.places else (),
    )
    moved = int((~np.isin(limited.rows, before.rows)).sum())
    cost = float(before.scores.mean() - limited.scores.mean()) if len(page) else 0.0
    return replace(limited, exposure=ExposureOutcome(moved, sum(at >= offset for at in unmet), round(cost, 6)))


def _fill(
    size: int, codes: Sequence[Sequence[int]], most: Sequence[int], pinned: Collection[int], places: int, k: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Returns which item of a list each place gets, and the places where a share was exceeded."""
    waiting = [at for at in range(size) if at not in pinned]
    order, unmet = list[int](), list[int]()
    counts: list[dict[int, int]] = []
    for place in range(min(places, size)):
        if place % k == 0:
            counts = [dict[int, int]() for _ in codes]
            for at in range(place, min(place + k, size)):  # pinned items have their room
                for of_field, values in zip(counts, codes, strict=True):
                    if at in pinned:
                        of_field[values[at]] = of_field.get(values[at], 0) + 1
        if place in pinned:
            order.append(place)
            continue
        fits = (
            number
            for number, at in enumerate(waiting)
            if all(
                values[at] < 0 or of_field.get(values[at], 0) < limit
                for values, of_field, limit in zip(codes, counts, most, strict=True)
            )
        )
        number = next(fits, None)
        if number is None:
            unmet.append(place)
        if not waiting:
            break
        at = waiting.pop(number or 0)
        order.append(at)
        for of_field, values in zip(counts, codes, strict=True):
            of_field[values[at]] = of_field.get(values[at], 0) + 1
    return np.asarray(order, np.int64), unmet
