"""The pool that the candidate channels choose from: what the text channels matched with the query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.retrieval.channel import ChannelDeclaration, RankedItems


def select_pool(lists: Mapping[str, RankedItems], declarations: Iterable[ChannelDeclaration]) -> NDArray[np.int32]:
    """Returns the rows that match the query about as well as the best of them, best first, int32 without repeats.

    Where one text channel's matches are sufficient, they are all; else those of every text channel, in the order of
    registration.

    Args:
        lists: The text channels' lists.
        declarations: Every channel's declaration.
    """
    rows = [np.empty(0, np.int32)]
    for declared in declarations:
        if declared.pool is None or declared.name not in lists:
            continue
        pool = declared.pool(lists[declared.name].voting)
        if pool.sufficient:
            return pool.rows
        rows.append(pool.rows)
    joined = np.concatenate(rows)
    _, first = np.unique(joined, return_index=True)
    return joined[np.sort(first)]
