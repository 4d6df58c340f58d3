"""The table of sampled searches is there whole or not at all, and says what it left out."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.state.entries import FeatureSample
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_export.feature_log import table
from fuserank_export.feature_log.table import write_feature_log
from fuserank_export.sources import InputError


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.open(tiny_bundle)


@pytest.fixture
def sampled(bundle, tmp_path):
    """Writes a log with a sample of each of some bundles; returns its settings."""

    def written(*bundles):
        settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
        width = len(bundle.layout.features)
        positions = {"position": 0, "catalog": 0, "popularity": 0, "first_users": 0}
        state = State.open(settings)
        state.log.append(
            [
                FeatureSample(
                    event_id=f"s{number}", timestamp=1.7e9, bundle=of, options="{}", items=["i00", "i01"],
                    embedding=b"", features=np.ones((2, width), np.float32).tobytes(), **positions,
                )
                for number, of in enumerate(bundles)
            ]
        )  # fmt: skip
        state.log.close()
        return settings

    return written


def test_a_folder_that_is_not_there_is_made_and_what_others_answered_is_counted(bundle, sampled, tmp_path):
    out = tmp_path / "new" / "features.parquet"
    report = write_feature_log(bundle, sampled(bundle.id, "b-other", bundle.id), out)
    assert (report.samples, report.rows, report.others) == (2, 4, 1)
    assert set(pq.read_table(out)["bundle"].to_pylist()) == {bundle.id}
    assert [path.name for path in out.parent.iterdir()] == ["features.parquet"]


def test_a_log_of_samples_of_another_bundle_alone_is_refused_and_nothing_is_written(bundle, sampled, tmp_path):
    out = tmp_path / "new" / "features.parquet"
    with pytest.raises(InputError, match=rf"found 2 samples, none of which the bundle {bundle.id} answered"):
        write_feature_log(bundle, sampled("b-other", "b-third"), out)
    assert list(out.parent.iterdir()) == []


def test_a_table_that_breaks_off_leaves_no_part_of_it(bundle, sampled, tmp_path, monkeypatch):
    settings = sampled(bundle.id, bundle.id)
    monkeypatch.setattr(table, "GROUP", 1)
    make, made = table._table, []

    def break_off(group, names):
        if made:
            raise OSError(28, "No space left on device")
        made.append(group)
        return make(group, names)

    monkeypatch.setattr(table, "_table", break_off)
    with pytest.raises(InputError, match=r"features\.parquet: cannot be written: .*No space left"):
        write_feature_log(bundle, settings, tmp_path / "new" / "features.parquet")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_log_that_is_not_there_is_refused_and_not_made(bundle, tmp_path):
    with pytest.raises(InputError, match="there is no such log"):
        write_feature_log(bundle, StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}"), tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []
