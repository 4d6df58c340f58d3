"""A large log lies in files without a name, and is the same log."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from fuserank_export.sources import mapped_log
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.mapped_log import map_log, release_log

EVENTS = 5_000


@pytest.fixture
def log():
    draw = np.random.default_rng(3)
    return replace(
        Interactions.empty(),
        user=draw.integers(0, 9, EVENTS, np.int32),
        item=draw.integers(0, 9, EVENTS, np.int32),
        event=draw.integers(0, 3, EVENTS, np.uint8),
        timestamp=np.sort(draw.integers(0, 10**9, EVENTS)),
        value=draw.random(EVENTS, np.float32),
        query=np.full(EVENTS, -1, np.int32),
        weight=draw.random(EVENTS, np.float32),
        places={"store": (draw.integers(-1, 2, EVENTS, np.int32), ["a", "b"])},
    )


def test_a_mapped_log_is_the_same_log_and_leaves_no_file(log, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_log, "MAPPED_FROM", EVENTS)
    mapped = map_log(log, tmp_path)
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        for name in (field.name for field in fields(log) if isinstance(getattr(log, field.name), np.ndarray)):
            column, kept = getattr(mapped, name), getattr(log, name)
            assert column.dtype == kept.dtype, name
            assert not column.flags.writeable, f"{name} is not mapped"
            np.testing.assert_array_equal(column, kept, name)
        np.testing.assert_array_equal(mapped.places["store"][0], log.places["store"][0])
        assert mapped.places["store"][1] == ["a", "b"]
        release_log(mapped)  # what is taken out of memory is there again when it is read


def test_a_small_log_stays_where_it_is(log, tmp_path):
    assert map_log(log, tmp_path) is log
    release_log(log)
    assert len(log.user) == EVENTS
