"""A log small enough to work out by hand: four households, five products, three days before the cut, two after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources.interactions import Interactions

CUT = 10.0 * SECONDS_PER_DAY
CATALOG = 5
TYPES = np.asarray(["milk", "milk", "tea", "tea", None], object)
# (household, product, day); household 2 first comes after the cut, household 3 only before it.
EVENTS_BY_HAND = [
    (0, 0, 1), (0, 1, 1),
    (0, 0, 2),
    (0, 0, 3), (0, 2, 3),
    (1, 0, 1),
    (1, 3, 2),
    (3, 1, 1),
    (0, 0, 11), (0, 3, 11), (0, 3, 12), (0, 4, 12),
    (1, 1, 11),
    (2, 2, 11),
]  # fmt: skip


def make_log(events):
    """A log of purchases, from (user, item, day) tuples in any order."""
    user, item, day = (np.asarray(column) for column in zip(*sorted(events, key=lambda e: e[2]), strict=True))
    return replace(
        Interactions.empty(),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        event=np.full(len(user), EVENTS.index("purchase"), np.uint8),
        timestamp=(day * SECONDS_PER_DAY).astype(np.int64),
        value=np.full(len(user), np.nan, np.float32),
        query=np.full(len(user), -1, np.int32),
        user_ids=["a", "b", "c", "d"],
        queries=[],
    )


def make_items(products=(0, 1, 2, 3, 4)):
    """The catalogue, each item of the given product."""
    ids = np.asarray([b"%d" % row for row in range(CATALOG)])
    return Items(ids, np.arange(CATALOG, dtype=np.int32), Columns(CATALOG, {}), np.asarray(products, np.int32))


LOG = make_log(EVENTS_BY_HAND)
