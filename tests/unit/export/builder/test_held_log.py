"""A new key of users is kept beside a bundle when there is one, and never takes the place of another."""

from __future__ import annotations

import pytest

from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.keys import keep_key, key_file_beside, read_key
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_ensemble.state.tail import SnapshotPosition
from fuserank_export.builder.held_log import HeldLog, check_log
from fuserank_export.sources import InputError
from support.redis_server import start_redis


def test_a_new_key_is_kept_when_the_bundle_is_whole_and_found_by_the_next_export(tmp_path):
    held = HeldLog.nothing(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    held.keep_key()
    assert read_key(key_file_beside(tmp_path / "bundle")) == held.key
    again = HeldLog.nothing(tmp_path / "bundle")
    assert (again.key, again.new_key_file) == (held.key, None)


def test_a_key_that_another_program_kept_meanwhile_stays_and_the_export_is_refused(tmp_path):
    held = HeldLog.nothing(tmp_path / "bundle")
    other = keep_key(key_file_beside(tmp_path / "bundle"), "ab" * 32)
    with pytest.raises(InputError, match="holds another key, which was not there when the export began"):
        held.keep_key()
    assert read_key(key_file_beside(tmp_path / "bundle")) == other


def test_a_place_where_no_key_can_be_kept_is_named_before_the_export_begins(tmp_path):
    (tmp_path / "bundle.state").write_text("")
    with pytest.raises(InputError, match=r"cannot be kept at .*bundle\.state is no folder that can be written"):
        HeldLog.nothing(tmp_path / "bundle")


@pytest.fixture
def redis(tmp_path):
    server = start_redis(tmp_path)
    yield server
    server.stop()


@pytest.mark.parametrize("named", [False, True])
def test_a_redis_without_a_log_gets_its_key_when_the_bundle_is_whole(redis, tmp_path, named):
    file = tmp_path / "key" if named else None
    if file:
        file.write_text("cd" * 32)
    held = HeldLog.read(redis.url, file)
    assert held.position == SnapshotPosition()
    with redis.connect() as client:
        assert client.keys() == []  # the export may still be refused
        held.keep_key()
        assert client.keys()
    assert State.open(StateSettings(redis.url, file)).key == held.key
    again = HeldLog.read(redis.url, file)
    assert (again.key, again.new_log) == (held.key, None)
    assert again.position.id


def test_a_redis_that_a_server_began_meanwhile_keeps_its_key_and_the_export_is_refused(redis):
    held = HeldLog.read(redis.url, None)
    began = State.open(StateSettings(redis.url), IdentityKey(b"k" * 32)).key
    with pytest.raises(InputError, match=r"redis://127.0.0.1:\d+/0: holds another key, which was not there"):
        held.keep_key()
    assert State.open(StateSettings(redis.url)).key == began


def test_what_only_reads_a_log_refuses_a_redis_without_one_and_leaves_it_so(redis):
    with pytest.raises(InputError, match=r"--state redis://127.0.0.1:\d+/0: there is no such log"):
        check_log(StateSettings(redis.url))
    with redis.connect() as client:
        assert client.keys() == []
