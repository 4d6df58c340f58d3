"""A shop's files are read as one: users are the same people in the log, the users' file and the log of live events."""

from __future__ import annotations

import time

import pytest

from fuserank_export.builder.held_log import HeldLog
from fuserank_export.builder.options import InputFiles, OutputOptions
from fuserank_export.builder.read import read_shop
from support.exporting import silent
from support.keys import TEST_KEY
from support.tiny_shop import write_csv


@pytest.fixture
def read(tmp_path):
    """Reads a shop of one item with the users of a log and of a users' file, one of whom was forgotten."""

    def shop(logged, known, forgotten):
        seen = {"item_id": "a", "event": "view", "timestamp": int(time.time()) - 1_000}
        files = InputFiles(
            catalog=write_csv(tmp_path / "items.csv", [{"item_id": "a", "title": "milk"}]),
            interactions=write_csv(tmp_path / "log.csv", [{"user_id": user, **seen} for user in logged]),
            users=write_csv(
                tmp_path / "users.csv", [{"user_id": user, "tier": "ab"[i % 2]} for i, user in enumerate(known)]
            ),
        )
        return read_shop(
            files,
            OutputOptions(folder=tmp_path / "bundle"),
            has_tower=False,
            progress=silent(),
            archive=tmp_path / "events.parquet",
            held=HeldLog(TEST_KEY, forgotten=frozenset({TEST_KEY.user(forgotten)})),
        ).behaviour.log

    return shop


@pytest.mark.parametrize("other", ["8.0", "ann"], ids=["whole numbers", "names"])
def test_who_was_forgotten_is_in_neither_file_however_the_id_is_written(read, other):
    log = read(["7.0", other], ["7.0", "7", other], "7")
    assert log.user_ids == [other.removesuffix(".0")]
    assert [user.decode() for user in log.segments.users.tolist()] == [other if other == "ann" else "8.0"]


def test_groups_of_ids_are_those_of_a_log_of_hashed_names(read):
    names = [TEST_KEY.user_name(user) for user in ("ann", "bob")]
    log = read(names, ["ann", "bob"], "nobody")
    assert [log.segments.values(name, time.time()) for name in names] == [{"tier": ["a"]}, {"tier": ["b"]}]
