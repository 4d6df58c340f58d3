"""Rankers are fitted to cases with planted columns: what decides purchases is kept, what a draw made is left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, POSITION, FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_export.training.cases.cases import Cases

pytest.importorskip("torch")

from fuserank_export.index.shadows import SHADOW
from fuserank_export.training.cases.split import TrainingSplit
from fuserank_export.training.fitting import train
from fuserank_export.training.fitting.settings import FitSettings

pytestmark = pytest.mark.usefixtures("one_thread")

COLUMNS = {"shop": "rating", "segment": "tier", "context": "device"}
OWN = tuple(
    OwnFeature(f"{signal}.{column}{shadow}", signal, column, f"{column}{shadow}", "number")
    for signal, column in COLUMNS.items()
    for shadow in ("", SHADOW)
)
CANDIDATES, DIM = 10, 8
VECTORS = np.zeros((1, DIM), np.float16)


def planted(count, seed):
    """Searches: the user's tier decides every other one, the device the rest, and the rating none."""
    draw = np.random.default_rng(seed)
    layout = FeatureLayout(OWN)
    cases = Cases.blank(["query"] * count, CANDIDATES, 2, len(layout.features))
    cases.rows[:], cases.texts[:] = np.arange(CANDIDATES), 0
    cases.features[..., POSITION["popularity"]] = draw.normal(size=cases.rows.shape)
    cases.features[..., POSITION["has_query"]], cases.features[..., POSITION["has_history"]] = 1.0, 0.0
    own = draw.normal(size=(*cases.rows.shape, len(OWN))).astype(np.float32)
    tier, device = (own[..., OWN.index(feature)] for feature in (OWN[2], OWN[4]))
    by_tier = np.arange(count) % 2 == 0
    device[by_tier], tier[~by_tier] = np.nan, np.nan
    cases.features[..., len(FEATURES) :] = own
    right = np.where(by_tier[:, None], tier, device).argmax(1)
    for head in ("click", "purchase"):
        cases.labels[..., HEADS.index(head)] = np.arange(CANDIDATES) == right[:, None]
    return cases


@pytest.fixture(scope="module")
def trained(one_thread):
    """The ranker and its report, of cases that stand in for those of a log."""
    split = TrainingSplit(planted(400, 1), planted(150, 2), "log", 28.0, 0, "")
    builder = SimpleNamespace(
        catalog=SimpleNamespace(vectors=VECTORS), spec=SimpleNamespace(own_features=OWN), folder=None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "split_cases", lambda *_, **__: split)
        settings = FitSettings(epochs=2, learning_rate=1e-2)
        return train.train_ranker(None, None, builder, None, settings=settings, at_once=False)


def test_columns_that_decide_purchases_are_kept_and_order_clearly_better(trained):
    _, report = trained
    for signal in ("segment", "context"):
        gain = report.own_signals[signal]
        print(signal, gain)
        assert gain.columns == (COLUMNS[signal],)
        assert gain.kept
        assert gain.ndcg_with > gain.ndcg_without + 0.1
        assert gain.ndcg_with > gain.ndcg_shadow + 0.1
        assert f"the signal {signal} ({COLUMNS[signal]}) is kept: nDCG@10 " in report.note


def test_a_column_that_a_draw_made_is_left_out(trained):
    _, report = trained
    gain = report.own_signals["shop"]
    print(gain)
    assert not gain.kept
    assert "the signal shop (rating) is left out, as it does not gain: nDCG@10 " in report.note


def test_the_ranker_reads_the_columns_that_were_kept_and_no_shadow(trained):
    ranker, report = trained
    assert [feature.name for feature in ranker.layout.own] == ["segment.tier", "context.device"]
    assert report.ndcg_at_10["query"]["ranker"] == pytest.approx(report.own_signals["context"].ndcg_with)
