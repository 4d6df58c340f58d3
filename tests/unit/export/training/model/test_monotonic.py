"""What matches a query better is never worth less, whatever an easy question seems to teach."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.contract.options import HEADS
from support.planted_sequences import VECTORS, planted

torch = pytest.importorskip("torch")

from fuserank_export.training.fitting import fit as fitting  # noqa: E402  they need torch
from fuserank_export.training.fitting.settings import FitSettings  # noqa: E402
from fuserank_export.training.model.monotonic import DIRECTIONS, MonotonicHint  # noqa: E402
from fuserank_export.training.model.ranker import EVERY_SHOP  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
PURCHASE = HEADS.index("purchase")
COLUMNS = len(EVERY_SHOP.features)


def contrary(count, seed):
    """Searches in which people take what is popular, and what is popular is far from the query."""
    cases = planted(count, seed)
    popularity = cases.features[..., POSITION["popularity"]]
    draw = np.random.default_rng(seed)
    cases.features[..., POSITION["text_score"]] = 0.5 - 0.1 * popularity + 0.02 * draw.normal(size=popularity.shape)
    cases.features[..., POSITION["popularity"]] = popularity + draw.normal(size=popularity.shape)
    cases.features[..., POSITION["has_query"]] = 1.0
    best = popularity.argmax(1)
    for head in ("click", "purchase"):
        cases.labels[..., HEADS.index(head)] = np.arange(popularity.shape[1]) == best[:, None]
    return cases


def mean_gain(weight, monkeypatch):
    """By how much the purchase logit rises where a text comes nearer by a deviation, after a fit on such searches."""
    monkeypatch.setattr(fitting, "HINT_WEIGHT", weight)
    settings = FitSettings(epochs=6, batch=32, patience=6)
    ranker, *_ = fitting.fit(contrary(400, 1), contrary(100, 2), VECTORS, settings, 5, lambda epoch: None)
    unseen = contrary(100, 3)
    before = fitting.predicted(ranker, unseen, VECTORS)[..., PURCHASE]
    unseen.features[..., POSITION["text_score"]] += 0.1
    return float((fitting.predicted(ranker, unseen, VECTORS)[..., PURCHASE] - before).mean())


def test_a_text_that_comes_nearer_is_not_worth_less_though_people_took_what_was_far(monkeypatch):
    without, with_hint = (mean_gain(weight, monkeypatch) for weight in (0.0, fitting.HINT_WEIGHT))
    print("a nearer text gains", without, "without the hint,", with_hint, "with it")
    assert without < -0.15
    assert with_hint > 0.1 * without


def test_candidates_get_better_in_known_columns_only_and_within_their_range():
    torch.manual_seed(4)
    scale = torch.full((COLUMNS + 1,), 2.0)
    features = torch.randn(50, 8, COLUMNS).abs()
    features[:, :4, POSITION["text_score"]] = torch.nan
    reading = torch.randn(50, 8)
    better, nearer = MonotonicHint(EVERY_SHOP, scale).improve(features, reading)
    for feature in EVERY_SHOP.features:
        change = (better - features)[..., POSITION[feature.name]]
        direction = DIRECTIONS.get(feature.name, 0.0)
        assert (torch.nan_to_num(change * direction) >= 0).all()
        assert (torch.nan_to_num(change).abs() <= 2.0 * abs(direction)).all()
        if direction:
            assert 0.3 < float((torch.nan_to_num(change[:, 4:]) == 0).float().mean()) < 0.7
    assert torch.isnan(better[:, :4, POSITION["text_score"]]).all()
    assert (better[..., POSITION["lexical_rank"]] >= 0).all()
    assert (nearer >= reading).all()


def test_a_score_that_falls_costs_what_it_falls_and_one_that_rises_nothing():
    hint = MonotonicHint(EVERY_SHOP, torch.ones(COLUMNS + 1))
    features, reading = torch.rand(20, 8, COLUMNS), torch.rand(20, 8)

    def nearness(features, reading, sign=1.0):
        return sign * features[..., [POSITION["text_score"]]]

    assert hint(nearness, features, reading, nearness(features, reading)) == 0
    farness = -nearness(features, reading)
    fall = hint(lambda *values: nearness(*values, sign=-1.0), features, reading, farness)
    assert float(fall) == pytest.approx(0.25, abs=0.05)  # half of them, by half a deviation in the mean
