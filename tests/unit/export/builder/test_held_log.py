"""A new key of users is kept beside a bundle when there is one, and never takes the place of another."""

from __future__ import annotations

import pytest

from fuserank_ensemble.state.keys import keep_key, key_file_beside, read_key
from fuserank_export.builder.held_log import HeldLog
from fuserank_export.sources import InputError


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
