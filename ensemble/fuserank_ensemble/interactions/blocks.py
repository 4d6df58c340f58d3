"""A log's events in blocks of users: sorting takes several times the memory of what is sorted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BLOCK_EVENTS = 1_000_000


def user_blocks(user: NDArray[np.int32], least: int = BLOCK_EVENTS) -> Iterator[NDArray[np.int64]]:
    """Yields the positions of the events of some users at a time, the users in their order, none in two blocks.

    Args:
        user: Number of each event's user `[events]`.
        least: Events of a block at least, but for the last.
    """
    offsets = np.cumsum(np.bincount(user))
    last_users = np.unique(np.searchsorted(offsets, np.arange(least, len(user) + least, least)))
    last_users[-1:] = len(offsets) - 1
    for before, last in pairwise([-1, *last_users.tolist()]):
        yield np.flatnonzero((user > before) & (user <= last))
