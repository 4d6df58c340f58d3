"""A step of the graph that holds several bundles open, and answers each row of a request from one of them.

There are two while a server goes from one bundle to another, and as many as an experiment has arms with bundles.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from fuserank_ensemble.bundle import MANIFEST
from fuserank_ensemble.candidates.request import bundles_of
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.caches import CacheCounter, CacheCounts
from fuserank_ensemble.graph.step import Answer, Dealing, Step, UnavailableError
from fuserank_ensemble.graph.tensors import Tensors, join_rows, take_rows
from fuserank_ensemble.serving.switch.folder import BundlePlace, Member, SwitchFolder

LOOK_SECONDS = 0.05  # how often a process looks for what is wanted
# How long a bundle stays open that no new request is answered from: longer than a request waits in all queues.
RETIRE_SECONDS = 10.0
_LOG = logging.getLogger("fuserank")


@dataclass(frozen=True)
class OpenedStep:
    """A step that was opened on a bundle, and what to call when it is let go of."""

    step: Step
    releases: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Ends the step's threads and lets go of its connections, the last first; one that fails keeps no other."""
        with ExitStack() as closing:
            for release in self.releases:
                closing.callback(release)


OpenStep = Callable[[Path], OpenedStep]
Caches = Mapping[str, Callable[[], CacheCounts]]


@dataclass(frozen=True)
class _Held:
    """The bundles that are open: a value that is replaced whole, so that a request has one for its whole life."""

    steps: Mapping[str, OpenedStep]
    active: str


class _Manifest(msgspec.Struct):
    id: str


def place_of(root: Path) -> BundlePlace:
    """Returns the id of a bundle that lies in a folder."""
    return BundlePlace(msgspec.json.decode((root / MANIFEST).read_bytes(), type=_Manifest).id, str(root))


class SwitchingStep:
    """A step on the bundle that is wanted at the moment.

    The first steps of a graph take the active bundle, or that of the arm that who asks is in, and name it in the
    request; those behind them answer from the bundle that is named.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        opened: OpenedStep,
        open_step: OpenStep,
        folder: SwitchFolder | None,
        arms: Mapping[str, OpenedStep] = MappingProxyType({}),
        pads: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Follows what is wanted in a thread.

        Args:
            name: The model's name.
            root: Folder of the bundle that is served first.
            opened: The step on that bundle.
            open_step: Opens the step on another bundle; it is called from the thread.
            folder: Says what is wanted; None where that stays as it is.
            arms: The step on the bundles of an experiment's arms, by id; they stay open.
            pads: See `join_rows`.
        """
        self._name, self._open, self._folder, self._pads = name, open_step, folder, pads
        served = place_of(root).id
        self._held = _Held({served: opened, **arms}, served)
        self._arms = frozenset(arms)
        self._failed: dict[str, str] = {}
        self._closing: dict[str, float] = {}  # when to close what is wanted no longer, by id
        self._looked_up = CacheTotals(getattr(opened.step, "caches", {}))
        for arm in arms.values():
            self._looked_up.add(getattr(arm.step, "caches", {}))
        self.caches = self._looked_up.counts
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if folder:
            self._report(folder)
            self._thread = threading.Thread(target=self._follow, args=(folder,), name="switch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Follows no longer what is wanted, and closes the step on every bundle."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
        with ExitStack() as closing:
            for opened in self._held.steps.values():
                closing.callback(opened.close)

    def execute(self, requests: Sequence[Tensors]) -> Sequence[Answer]:
        """See `Step`."""
        held = self._held
        if len(held.steps) == 1:
            return held.steps[held.active].step.execute(requests)
        named = [self._bundles(held, tensors) for tensors in requests]
        parts: list[list[tuple[list[int], Answer]]] = [[] for _ in requests]
        for bundle in dict.fromkeys(bundle for rows in named for bundle in rows):
            if bundle not in held.steps:
                raise UnavailableError(f"{self._name}: bundle {bundle} is not open any more")
            rows_of = {at: [r for r, name in enumerate(rows) if name == bundle] for at, rows in enumerate(named)}
            rows_of = {at: rows for at, rows in rows_of.items() if rows}
            asked = [
                requests[at] if len(rows) == len(named[at]) else take_rows(requests[at], rows)
                for at, rows in rows_of.items()
            ]
            answered = held.steps[bundle].step.execute(asked)
            for (at, rows), answer in zip(rows_of.items(), answered, strict=True):
                parts[at].append((rows, answer))
        return [_join(of_request, self._pads) for of_request in parts]

    def _bundles(self, held: _Held, tensors: Tensors) -> list[str]:
        """Ids of the bundles that answer a request: one for each row, or one for all of them."""
        step = held.steps[held.active].step
        if "REQUEST" in tensors:
            named = bundles_of(tensors["REQUEST"])
        else:
            named = step.deal(tensors) if isinstance(step, Dealing) else [""]
        return [name or held.active for name in (named if len(set(named)) > 1 else named[:1])]

    def _follow(self, folder: SwitchFolder) -> None:
        version = found = 0
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                found = folder.version()
                if found != version:
                    self._do_wanted(folder)
                self._close_due(folder)
            except Exception:  # the boundary: whatever is wanted, the served bundle goes on
                _LOG.exception("the wanted bundle could not be read", extra={"stage": self._name})
            version = found

    def _do_wanted(self, folder: SwitchFolder) -> None:
        if not folder.version():
            return
        wanted = folder.wanted()
        ids = {place.id for place in wanted.held} | self._arms
        self._failed = {bundle: why for bundle, why in self._failed.items() if bundle in ids}
        for place in wanted.held:
            self._closing.pop(place.id, None)
            if place.id not in self._held.steps and place.id not in self._failed:
                self._add(place)
        if wanted.active in self._held.steps:
            self._held = _Held(self._held.steps, wanted.active)
        for bundle in set(self._held.steps) - ids - {self._held.active} - set(self._closing):
            self._closing[bundle] = time.monotonic() + RETIRE_SECONDS
        self._report(folder)

    def _add(self, place: BundlePlace) -> None:
        started = time.monotonic()
        try:
            opened = self._open(Path(place.folder))
        except Exception as error:  # the boundary: the served bundle goes on
            _LOG.exception("a bundle could not be opened", extra={"stage": self._name})
            self._failed[place.id] = f"{type(error).__name__}: {error}"
            return
        self._looked_up.add(getattr(opened.step, "caches", {}))
        # The collector need not walk it during requests.
        gc.freeze()
        self._held = _Held({**self._held.steps, place.id: opened}, self._held.active)
        seconds = round(time.monotonic() - started, 3)
        _LOG.info("a bundle has been opened", extra={"stage": self._name, "bundle": place.id, "seconds": seconds})

    def _close_due(self, folder: SwitchFolder) -> None:
        for bundle in [bundle for bundle, due in self._closing.items() if time.monotonic() >= due]:
            del self._closing[bundle]
            steps = dict(self._held.steps)
            closed = steps.pop(bundle)
            self._held = _Held(steps, self._held.active)
            self._looked_up.settle(getattr(closed.step, "caches", {}))
            closed.close()
            # Objects of it that name each other are frozen: the collector would never let go of their arrays.
            del closed
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._report(folder)

    def _report(self, folder: SwitchFolder) -> None:
        held = self._held
        folder.report(Member(self._name, os.getpid(), tuple(held.steps), held.active, self._failed))


def _join(parts: Sequence[tuple[list[int], Answer]], pads: Mapping[str, float]) -> Answer:
    """The answer to a request, of what bundles answered to its rows; where one refuses them, the request is refused."""
    answered: list[tuple[list[int], Tensors]] = []
    for rows, answer in parts:
        if isinstance(answer, InvalidRequestError) or len(parts) == 1:
            return answer
        answered.append((rows, answer))
    return join_rows(answered, pads)


class CacheTotals:
    """Look-ups in the caches of all bundles that a process has had, by the cache's name."""

    def __init__(self, caches: Caches) -> None:
        """Takes those of the first."""
        self._counted: tuple[Caches, ...] = (caches,)  # replaced whole: another thread sums up
        self.counts: Caches = {name: partial(self._total, name) for name in caches}

    def add(self, caches: Caches) -> None:
        """Counts those of one more bundle."""
        self._counted = (*self._counted, caches)

    def settle(self, caches: Caches) -> None:
        """Keeps the counts of a bundle that is let go of, and nothing else of it."""
        last = {name: CacheCounter(info().hits, info().misses) for name, info in caches.items()}
        settled: Caches = {name: partial(_same, counts) for name, counts in last.items()}
        self._counted = tuple(settled if known is caches else known for known in self._counted)

    def _total(self, name: str) -> CacheCounts:
        counts = [caches[name]() for caches in self._counted if name in caches]
        return CacheCounter(sum(c.hits for c in counts), sum(c.misses for c in counts))


def _same(counts: CacheCounter) -> CacheCounts:
    return counts
