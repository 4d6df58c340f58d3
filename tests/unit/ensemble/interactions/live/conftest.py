"""A catalogue of ten items, a log in a file, and an overlay that follows it by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.interactions.live.overlay import LiveOverlay
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.settings import State, StateSettings

NOW = 1_700_000_000


@pytest.fixture
def items():
    return Items(np.asarray([f"i{n}".encode() for n in range(10)], "S"), np.arange(10, dtype=np.int32), Columns(10, {}))


class World:
    """A log and an overlay; `record` appends and lets the overlay follow."""

    def __init__(self, items, folder, max_people=1_000):
        self.items = items
        self.state = State.open(StateSettings(f"sqlite:{folder / 'log.sqlite'}"))
        self.overlay = LiveOverlay(items, max_people)
        self.overlay.attach(self.state, 0)
        self._position, self._names = 0, itertools.count()

    def event(self, item, event="click", user="", session="", age=0, **more):
        key = self.state.key
        return Interaction(
            event_id=f"e{next(self._names)}", item_id=item, event=event, timestamp=NOW - age,
            user=key.user(user) if user else b"", session=key.session(session) if session else b"", **more,
        )  # fmt: skip

    def append(self, *entries):
        return self.state.log.append(entries)

    def follow(self):
        batch = self.state.log.read(self._position, 10_000)
        self.overlay.apply(batch)
        self._position = batch[-1].position if batch else self._position

    def record(self, *entries):
        appended = self.append(*entries)
        self.follow()
        return appended


@pytest.fixture
def world(items, tmp_path):
    made = World(items, tmp_path)
    yield made
    made.state.log.close()


@pytest.fixture
def small_world(items, tmp_path):
    """With room for two people in memory."""
    made = World(items, tmp_path, max_people=2)
    yield made
    made.state.log.close()
