"""Admission to a graph whose stages are processes: what its first stage takes is what the last one finishes in time.

Triton bounds the queue of each stage, not what is under way in all of them: a first stage that is quick would go on to
take what a slower one behind it has no room for. So the last stage tells how far it is and how long that took, and the
first one refuses what would have to wait too long, before it costs anything. How many may be under way follows from
the time that they take: fewer by a fifth where it is too long, slowly more where it is not.
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
LEAST, FIRST, MOST = 8, 32, 1_024  # rows under way: at least, at the start, at most
DECREASE, INCREASE = 0.8, 0.1  # times the limit; more under way for each row that is finished
# Who sends no deadline waits longer: so many times the limit may be under way then, and so many rows at least.
PATIENT, PATIENT_LEAST = 4, 128
DEADLINE = b'"deadline_ms"'  # the key in a request's options
LOST_SECONDS = 2 * WAIT_SECONDS  # what was not finished by then has failed in a stage between, or comes too late
_NAME, _STAMPS = "finished", struct.Struct("=qq")


class FinishedMark:
    """When the latest request that was finished had begun, and how long it took: sixteen bytes of a file.

    All processes of a server see them. Stages answer in order, so that what began before it is finished, too, or lost.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the file in a folder of the server's own, see `SwitchFolder`."""
        handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, _STAMPS.size)
            self._bytes = mmap.mmap(handle, _STAMPS.size)
        finally:
            os.close(handle)

    def read(self) -> tuple[int, int]:
        """Returns when it had begun and how long it took, in nanoseconds of the monotonic clock; zeros for none."""
        began, took = _STAMPS.unpack_from(self._bytes)
        return int(began), int(took)

    def advance(self, began: int, now: int) -> None:
        """Takes note that a request is finished now, which had begun at a moment."""
        if began > self.read()[0]:
            _STAMPS.pack_into(self._bytes, 0, began, now - began)


class FinishingObserver:
    """Tells the first stage what is finished, beside what another observer does."""

    def __init__(self, mark: FinishedMark, observer: SearchObserver) -> None:
        self._mark, self._observer = mark, observer

    def observe(self, resolved: ResolvedRequest, status: Status, depth: int, features: NDArray[np.float32]) -> None:
        """See `SearchObserver`."""
        now = time.monotonic_ns()
        self._mark.advance(min(resolved.started_ns, now), now)
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
        self._rows = 0  # of these
        self._limit = float(FIRST)
        self._decreased = 0  # when the limit was lowered

    def admit(self, rows: int, *, has_deadline: bool) -> bool:
        """Whether a request is taken; it counts as under way then.

        Args:
            rows: How many it holds. However many, it is taken where there is room for one: else it might never be.
            has_deadline: Whether it comes too late after a while.
        """
        now = self._clock()
        self._settle(now)
        if self._rows >= (self._limit if has_deadline else max(PATIENT * self._limit, PATIENT_LEAST)):
            return False
        self._under_way.append((now, rows))
        self._rows += rows
        return True

    def withdraw(self, rows: int) -> None:
        """Takes back rows that were admitted last: the first stage itself has answered them."""
        self._rows -= rows
        while rows and self._under_way:
            began, held = self._under_way.pop()
            if held > rows:
                self._under_way.append((began, held - rows))
            rows -= min(held, rows)

    def _settle(self, now: int) -> None:
        """Lets go of what is finished or lost, and follows the time that it took."""
        began, took = self._mark.read()
        is_slow, is_used = took > WAIT_SECONDS * 1e9, self._rows >= self._limit / 2
        if is_slow:
            self._decrease(began, now)
        lost = now - int(LOST_SECONDS * 1e9)
        while self._under_way and self._under_way[0][0] <= max(began, lost):
            taken, rows = self._under_way.popleft()
            self._rows -= rows
            if taken > began:
                self._decrease(taken, now)
            elif is_used and not is_slow:  # a limit that is not reached is not known to be too low
                self._limit = min(self._limit + INCREASE * rows, MOST)

    def _decrease(self, began: int, now: int) -> None:
        """Lowers the limit, once for all that began before it was lowered."""
        if began > self._decreased:
            self._limit, self._decreased = max(self._limit * DECREASE, LEAST), now


class AdmittedStep:
    """The first stage of a graph, which refuses what admission does not take."""

    def __init__(self, step: Step, admission: Admission) -> None:
        self._step, self._admission = step, admission
        self.caches: Mapping[str, Any] = getattr(step, "caches", {})

    def execute(self, requests: Sequence[Tensors]) -> list[Answer | UnavailableError]:
        """See `Step`."""
        taken = [self._admission.admit(len(each["QUERY"]), has_deadline=_has_deadline(each)) for each in requests]
        going = [tensors for tensors, is_taken in zip(requests, taken, strict=True) if is_taken]
        answers = self._step.execute(going) if going else ()
        told = zip(going, answers, strict=True)
        self._admission.withdraw(sum(len(sent["QUERY"]) for sent, answer in told if isinstance(answer, Exception)))
        following = iter(answers)
        return [next(following) if is_taken else _refusal() for is_taken in taken]


def _has_deadline(tensors: Tensors) -> bool:
    """Whether a row's options name a deadline; parsing them is the step's."""
    return any(DEADLINE in options for options in tensors["OPTIONS"][:, 0])


def _refusal() -> UnavailableError:
    return UnavailableError(f"search: the queue is full; try again after {WAIT_SECONDS * 1e3:.0f} ms")
