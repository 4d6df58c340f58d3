"""Admission to a graph whose stages are processes: what its first stage takes is what the last one finishes in time.

Triton bounds the queue of each stage, not what is under way in all of them: a first stage that is quick would go on to
take what a slower one behind it has no room for. So the last stage tells how far it is, and the first one refuses what
would have to wait too long, before it costs anything.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.request import ResolvedRequest, Status
from fuserank_ensemble.graph.step import Answer, SearchObserver, Step, UnavailableError
from fuserank_ensemble.graph.tensors import Tensors

FIRST_STAGE = "preprocess"
WAIT_SECONDS = 0.25  # what is under way may take to be finished
LEAST = 32  # rows that may be under way however few were finished: a graph that stood idle has finished none
WINDOW_SECONDS = 1.0  # over which finished requests are counted
LOST_SECONDS = 2 * WAIT_SECONDS  # what was not finished by then has failed in a stage between, or comes too late
_NAME, _STAMP = "finished", struct.Struct("=q")


class FinishedMark:
    """When the latest request that was finished had begun, for all processes of a server: eight bytes of a file.

    Stages answer in order, so that what began before it is finished, too, or lost.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the file in a folder of the server's own, see `SwitchFolder`."""
        handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, _STAMP.size)
            self._bytes = mmap.mmap(handle, _STAMP.size)
        finally:
            os.close(handle)

    def read(self) -> int:
        """Returns nanoseconds of the machine's monotonic clock; 0 where nothing was finished."""
        return int(_STAMP.unpack_from(self._bytes)[0])

    def advance(self, started_ns: int) -> None:
        """Takes note that a request is finished, which had begun at a moment."""
        if started_ns > self.read():
            _STAMP.pack_into(self._bytes, 0, started_ns)


class FinishingObserver:
    """Tells the first stage what is finished, beside what another observer does."""

    def __init__(self, mark: FinishedMark, observer: SearchObserver) -> None:
        self._mark, self._observer = mark, observer

    def observe(self, resolved: ResolvedRequest, status: Status, depth: int, features: NDArray[np.float32]) -> None:
        """See `SearchObserver`."""
        self._mark.advance(min(resolved.started_ns, time.monotonic_ns()))
        self._observer.observe(resolved, status, depth, features)


class Admission:
    """Decides which requests the graph takes. For one thread.

    Args:
        mark: What is finished.
        clock: Nanoseconds of the machine's monotonic clock.
    """

    def __init__(self, mark: FinishedMark, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._mark, self._clock = mark, clock
        self._under_way: deque[tuple[int, int]] = deque()  # when it was taken, rows
        self._finished: deque[tuple[int, int]] = deque()  # when that was known, rows

    def admit(self, rows: int) -> bool:
        """Whether a request is taken; it counts as under way then.

        Args:
            rows: How many it holds.
        """
        now = self._clock()
        self._settle(now)
        waiting = sum(each for _, each in self._under_way)
        rate = sum(each for _, each in self._finished) / WINDOW_SECONDS
        # However many rows a call brings, it is taken where there is room for one: else a large one might never be.
        if waiting >= max(LEAST, rate * WAIT_SECONDS):
            return False
        self._under_way.append((now, rows))
        return True

    def withdraw(self, rows: int) -> None:
        """Takes back rows that were admitted last: the first stage itself has answered them."""
        while rows and self._under_way:
            began, held = self._under_way.pop()
            if held > rows:
                self._under_way.append((began, held - rows))
            rows -= min(held, rows)

    def _settle(self, now: int) -> None:
        finished, lost = self._mark.read(), now - int(LOST_SECONDS * 1e9)
        while self._under_way and self._under_way[0][0] <= max(finished, lost):
            began, rows = self._under_way.popleft()
            if began <= finished:
                self._finished.append((now, rows))
        while self._finished and self._finished[0][0] < now - int(WINDOW_SECONDS * 1e9):
            self._finished.popleft()


class AdmittedStep:
    """The first stage of a graph, which refuses what admission does not take."""

    def __init__(self, step: Step, admission: Admission) -> None:
        self._step, self._admission = step, admission
        self.caches: Mapping[str, Any] = getattr(step, "caches", {})

    def execute(self, requests: Sequence[Tensors]) -> list[Answer | UnavailableError]:
        """See `Step`."""
        taken = [self._admission.admit(len(tensors["QUERY"])) for tensors in requests]
        going = [tensors for tensors, is_taken in zip(requests, taken, strict=True) if is_taken]
        answers = self._step.execute(going) if going else ()
        told = zip(going, answers, strict=True)
        self._admission.withdraw(sum(len(sent["QUERY"]) for sent, answer in told if isinstance(answer, Exception)))
        following = iter(answers)
        return [next(following) if is_taken else _refusal() for is_taken in taken]


def _refusal() -> UnavailableError:
    return UnavailableError(f"search: the queue is full; try again after {WAIT_SECONDS * 1e3:.0f} ms")
