"""What is left out of answers while more is asked than is answered, in a stated order, until the load is gone.

A stage does not see Triton's queue. It sees that its batches are full, which they are when at least as many requests
wait as a batch takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from fuserank_ensemble.candidates.request import ResolvedRequest

Part = Literal["diversity", "facets", "text_tower_depth", "text_tower", "ranker_depth", "channels"]
# From what a user misses least to what an answer is made of; `STATUS.degraded` names those that a request went without.
SHED_ORDER: tuple[Part, ...] = ("diversity", "facets", "text_tower_depth", "text_tower", "ranker_depth", "channels")
# Of these a request is told whenever it asked for them; the others may have nothing to leave out.
TOLD: tuple[Part, ...] = ("diversity", "facets", "channels")
STEP_SECONDS = 0.25  # of full batches until one more is left out, and of others until it is back
LONGEST_BATCH_SECONDS = 0.25  # what a full batch after another counts at most: between them nothing may have been asked


def shed(resolved: ResolvedRequest, parts: frozenset[Part]) -> tuple[ResolvedRequest, frozenset[Part]]:
    """Takes from a request what is left out.

    Args:
        resolved: The request. One without a deadline waits for the whole answer and keeps all.
        parts: What is left out.

    Returns:
        The request without diversity and facets where these are among them, and those of the parts that it asked for.
    """
    if not parts or not resolved.deadline_ns:
        return resolved, frozenset()
    page = resolved.page
    asked: dict[Part, bool] = {
        "diversity": resolved.diversity > 0,
        "facets": page is not None and bool(page.facets),
        "channels": resolved.has_query,
    }
    without = frozenset(part for part in parts if asked.get(part, True))
    if "diversity" in without:
        resolved = msgspec.structs.replace(resolved, diversity=0.0)
    if page is not None and "facets" in without:
        resolved = msgspec.structs.replace(resolved, page=msgspec.structs.replace(page, facets=[]))
    return resolved, without


class LoadLevel:
    """How much of `SHED_ORDER` is left out. For one thread.

    Args:
        full: From how many requests on a batch is full.
        clock: Seconds of a clock that does not go back.
    """

    def __init__(self, full: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._full, self._clock = full, clock
        self._loaded, self._seen, self._was_full = 0.0, clock(), False  # seconds of load, and the batch before

    def observe(self, requests: int) -> frozenset[Part]:
        """Takes note of a batch, and returns what its requests go without.

        Args:
            requests: How many it holds.
        """
        now = self._clock()
        passed, self._seen = now - self._seen, now
        is_full = requests >= self._full
        # A full batch after a pause is a burst, and no load yet.
        change = min(passed, LONGEST_BATCH_SECONDS) * self._was_full if is_full else -passed
        self._was_full = is_full
        # A step more than all: a moment of calm gives nothing back yet.
        self._loaded = min(max(self._loaded + change, 0.0), STEP_SECONDS * (len(SHED_ORDER) + 1))
        return frozenset(SHED_ORDER[: int(self._loaded / STEP_SECONDS)])
