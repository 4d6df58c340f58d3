"""What a shop says of its users is found by id, from the moment on that it was known, and travels as it was."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.interactions.segments import ALWAYS, SegmentColumn, UserSegments, groups_of

SEGMENTS = UserSegments(
    np.asarray([b"ann", b"bob", "李".encode()]),
    np.asarray([ALWAYS, 1_000, ALWAYS], np.int64),
    {
        "tier": SegmentColumn(np.asarray([0, 1, 2, 2]), np.asarray([1, 0], np.int32), ["gold", "new"]),
        "tags/of all": SegmentColumn(np.asarray([0, 2, 3, 3]), np.asarray([0, 1, 1], np.int32), ["pets", "茶"]),
    },
)


@pytest.fixture(params=["in memory", "mapped"])
def segments(request, tmp_path):
    if request.param == "in memory":
        return SEGMENTS
    SEGMENTS.save(tmp_path / "users")
    return UserSegments.open(tmp_path / "users")


def test_each_users_values_are_found_by_id(segments):
    assert segments.values("ann", 0.0) == {"tier": ["new"], "tags/of all": ["pets", "茶"]}
    assert segments.values("李", 0.0) == {}
    assert segments.values("zoe", 0.0) == segments.values("", 0.0) == segments.values("a" * 500, 0.0) == {}
    assert len(segments) == 3


def test_a_row_is_known_from_its_moment_on(segments):
    assert segments.values("bob", 999.0) == {}
    assert segments.values("bob", 1_000.0) == {"tier": ["gold"], "tags/of all": ["茶"]}


def test_a_bundle_without_users_knows_none(tmp_path):
    assert UserSegments.open(tmp_path / "gone").values("ann", 0.0) == {}
    UserSegments.empty().save(tmp_path / "empty")
    assert len(UserSegments.open(tmp_path / "empty")) == 0


def test_groups_are_named_apart_from_places_and_hours():
    assert groups_of({"store": ["x", "y"]}, {"store": "7", "device": "app"}) == {
        "user.store": ["x", "y"],
        "store": ["7"],
        "device": ["app"],
    }
    assert groups_of({}, {}) == {}
