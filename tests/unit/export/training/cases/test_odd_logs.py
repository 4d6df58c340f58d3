"""Logs that are odd but sound: the ranker trains on them, or falls back, and says which in its note."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fuserank_ensemble.candidates.features import SIGNALS
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_export.sources import read_interactions
from fuserank_export.training.cases.window import window_queries
from support.habits import COUNT, FROM, LOG, PURCHASE, SHOP, SYNTHETIC, VIEW, WINDOW, knowing

pytest.importorskip("torch")

from fuserank_export.training.cases.labels import learnable
from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import train_ranker

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = FitSettings(epochs=1)
YEAR = int(365 * SECONDS_PER_DAY)


def report_of(log, builder):
    ranker, report = train_ranker(log, SHOP, builder, knowing(log), cases=30, settings=QUICK, seed=3)
    assert all(np.isfinite(value.numpy()).all() for value in ranker.state_dict().values())
    return report


def test_stray_late_events_do_not_empty_the_windows(builder):
    timestamp = LOG.timestamp.copy()
    timestamp[-2:] += 5 * YEAR
    report = report_of(replace(LOG, timestamp=timestamp), builder)
    assert (report.source, report.window_days) == ("log", 28)
    assert report.note.startswith("2 events are over 28 days before or after all others, as by a wrong clock")


def test_a_log_of_views_alone_teaches_no_purchases_and_says_so(builder):
    report = report_of(replace(LOG, event=np.full(len(LOG), VIEW, np.uint8)), builder)
    assert report.source == "log"
    assert report.heads["purchase"] == 0 < report.heads["click"]
    assert "the purchase head has 0 right and 0 wrong answers, needs 20 of each, and stays silent" in report.note


def test_a_log_of_purchases_alone_teaches_all_heads(builder):
    report = report_of(replace(LOG, event=np.full(len(LOG), PURCHASE, np.uint8)), builder)
    assert report.note == ""
    assert min(report.heads.values()) > 0


def test_a_log_without_queries_is_learned_from_made_up_ones_and_says_so(builder):
    report = report_of(replace(LOG, query=np.full(len(LOG), -1, np.int32), queries=[]), builder)
    assert report.source == "log"
    assert report.note == "the log has no queries: they are made from categories and titles"


def test_a_log_of_one_user_says_what_it_is(builder):
    report = report_of(replace(LOG, user=np.zeros(len(LOG), np.int32), user_ids=["ann"]), builder)
    assert report.note.startswith(("the log is of one user", "too little log"))


def test_values_that_are_no_numbers_do_not_reach_training(tmp_path, builder):
    """NaN is a missing value, infinity a bad row."""
    value = np.where(np.arange(len(LOG)) % 100 == 0, np.inf, np.nan)
    frame = pd.DataFrame(
        {
            "user_id": np.asarray(LOG.user_ids)[LOG.user],
            "item_id": LOG.item.astype(str),
            "event": np.asarray(EVENTS)[LOG.event],
            "timestamp": LOG.timestamp,
            "value": value,
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    log = read_interactions(tmp_path / "log.parquet", [str(item) for item in range(COUNT)])
    assert dict(log.report.reasons) == {"value: not finite": int(np.isinf(value).sum())}
    assert np.isnan(log.value).all()
    assert report_of(log, builder).source == "log"


def test_features_that_are_the_same_everywhere_stay_silent(builder):
    queries = window_queries(LOG, SYNTHETIC, FROM, FROM + WINDOW, count=40, seed=1)
    cases = builder.build(queries, knowing(LOG)(FROM))
    constant = replace(cases, features=np.where(np.isnan(cases.features), np.nan, 1.5).astype(np.float32))
    ranker, *_ = fit(constant, constant, builder.catalog.vectors, QUICK, 3, lambda epoch: None)
    active = dict(zip(SIGNALS, ranker.active[:, 0].tolist(), strict=True))
    assert {name for name, on in active.items() if on} == {"request", "sequence"}
    assert np.isfinite(predicted(ranker, constant, builder.catalog.vectors)).all()


@pytest.mark.parametrize(
    ("right", "wrong", "enough"), [(20, 20, True), (19, 500, False), (500, 19, False), (500, 0, False), (0, 0, False)]
)
def test_a_head_is_learned_from_twenty_of_each_class_on(right, wrong, enough):
    labels = np.full(COUNT * 20, np.nan, np.float32)
    labels[:right], labels[right : right + wrong] = 1, 0
    assert learnable(labels) == enough
