"""A step of the graph that holds two bundles open for a while, and answers each request from one of them."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from fuserank_ensemble.bundle import MANIFEST
from fuserank_ensemble.candidates.request import bundle_of
from fuserank_ensemble.graph.caches import CacheCounter, CacheCounts
from fuserank_ensemble.graph.step import Answer, Step, UnavailableError
from fuserank_ensemble.graph.tensors import Tensors
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
        """Ends the step's threads and lets go of its connections."""
        for release in self.releases:
            release()


OpenStep = Callable[[Path], OpenedStep]
Caches = Mapping[str, Callable[[], CacheCounts]]


@dataclass(frozen=True)
class _Held:
    """The bundles that are open: a value that is replaced whole, so that a request has one for its whole life."""

    steps: Mapping[str, OpenedStep]
    active: str


class _Manifest(msgspec.Struct):
    id: str


class SwitchingStep:
    """A step on the bundle that is wanted at the moment.

    The first steps of a graph take the active bundle and name it in the request; those behind them answer from the
    bundle that is named.
    """

    def __init__(self, name: str, root: Path, opened: OpenedStep, open_step: OpenStep, folder: SwitchFolder) -> None:
        """Follows what is wanted in a thread.

        Args:
            name: The model's name.
            root: Folder of the bundle that is served first.
            opened: The step on that bundle.
            open_step: Opens the step on another bundle; it is called from the thread.
            folder: Says what is wanted.
        """
        self._name, self._open, self._folder = name, open_step, folder
        served = msgspec.json.decode((root / MANIFEST).read_bytes(), type=_Manifest).id
        self._held = _Held({served: opened}, served)
        self._failed: dict[str, str] = {}
        self._closing: dict[str, float] = {}  # when to close what is wanted no longer, by id
        self._looked_up = CacheTotals(getattr(opened.step, "caches", {}))
        self.caches = self._looked_up.counts
        self._report()
        threading.Thread(target=self._follow, name="switch", daemon=True).start()

    def execute(self, requests: Sequence[Tensors]) -> Sequence[Answer]:
        """See `Step`."""
        held = self._held
        if len(held.steps) == 1 or "REQUEST" not in requests[0]:
            return held.steps[held.active].step.execute(requests)
        answers: dict[int, Answer] = {}
        named = [bundle_of(tensors["REQUEST"]) for tensors in requests]
        for bundle in dict.fromkeys(named):
            if bundle not in held.steps:
                raise UnavailableError(f"{self._name}: bundle {bundle} is not open any more")
            members = [at for at, name in enumerate(named) if name == bundle]
            answered = held.steps[bundle].step.execute([requests[at] for at in members])
            answers.update(zip(members, answered, strict=True))
        return [answers[at] for at in range(len(requests))]

    def _follow(self) -> None:
        version = found = 0
        while True:
            try:
                found = self._folder.version()
                if found != version:
                    self._do_wanted()
                self._close_due()
            except Exception:  # the boundary: whatever is wanted, the served bundle goes on
                _LOG.exception("the wanted bundle could not be read", extra={"stage": self._name})
            version = found
            time.sleep(LOOK_SECONDS)

    def _do_wanted(self) -> None:
        if not self._folder.version():
            return
        wanted = self._folder.wanted()
        ids = {place.id for place in wanted.held}
        self._failed = {bundle: why for bundle, why in self._failed.items() if bundle in ids}
        for place in wanted.held:
            self._closing.pop(place.id, None)
            if place.id not in self._held.steps and place.id not in self._failed:
                self._add(place)
        if wanted.active in self._held.steps:
            self._held = _Held(self._held.steps, wanted.active)
        for bundle in set(self._held.steps) - ids - {self._held.active} - set(self._closing):
            self._closing[bundle] = time.monotonic() + RETIRE_SECONDS
        self._report()

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

    def _close_due(self) -> None:
        for bundle in [bundle for bundle, due in self._closing.items() if time.monotonic() >= due]:
            del self._closing[bundle]
            steps = dict(self._held.steps)
            closed = steps.pop(bundle)
            self._held = _Held(steps, self._held.active)
            self._looked_up.settle(getattr(closed.step, "caches", {}))
            closed.close()
            self._report()

    def _report(self) -> None:
        held = self._held
        self._folder.report(Member(self._name, os.getpid(), tuple(held.steps), held.active, self._failed))


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
