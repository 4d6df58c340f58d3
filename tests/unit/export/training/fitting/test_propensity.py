"""What was seldom shown counts more, up to a limit, and all weights are 1 in the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fuserank_export.training.fitting.fit import ranking_loss
from fuserank_export.training.fitting.propensity import MOST_TIMES, propensity_weights


def test_weights_are_inverse_propensities_over_their_mean_and_1_where_none_is_known():
    propensities = np.asarray([[1.0, 0.5, np.nan], [0.25, np.nan, np.nan]], np.float32)
    weights = propensity_weights(propensities)
    known = ~np.isnan(propensities)
    assert weights[known].mean() == pytest.approx(1)
    np.testing.assert_allclose(weights[known] / weights[0, 0], [1, 2, 4])
    assert (weights[~known] == 1).all()


def test_no_item_counts_more_than_so_many_sure_ones():
    weights = propensity_weights(np.asarray([[1.0, 1e-6]], np.float32))
    assert weights[0, 1] / weights[0, 0] == pytest.approx(MOST_TIMES)


@pytest.mark.parametrize("propensities", [np.full((2, 3), np.nan, np.float32), np.ones((2, 3), np.float32)])
def test_where_nothing_was_explored_every_item_counts_1(propensities):
    assert (propensity_weights(propensities) == 1).all()


def test_weights_of_1_leave_the_loss_as_it_is_and_others_move_it():
    draw = np.random.default_rng(4)
    logits = torch.from_numpy(draw.normal(size=(5, 6, 3)).astype(np.float32))
    labels = torch.from_numpy(draw.integers(0, 2, (5, 6, 3)).astype(np.float32))
    labels[0, 3:] = torch.nan
    plain = ranking_loss(logits, labels)
    assert torch.equal(ranking_loss(logits, labels, torch.ones(5, 6)), plain)
    twice = torch.full((5, 6), 2.0)
    assert ranking_loss(logits, labels, twice) == pytest.approx(float(plain), rel=1e-6)  # what all have changes nothing
    uneven = torch.ones(5, 6)
    uneven[:, 0] = 5.0
    assert float(ranking_loss(logits, labels, uneven)) != pytest.approx(float(plain), rel=1e-3)


def test_an_estimate_from_explored_lists_is_that_of_even_ones():
    """Good items are shown nine times as often as bad ones: by the weights, the mean label is that of both alike."""
    draw = np.random.default_rng(5)
    is_good = draw.random(20_000) < 0.9
    propensities = np.where(is_good, 0.9, 0.1).astype(np.float32)[:, None]
    labels = (draw.random(20_000) < np.where(is_good, 0.8, 0.2))[:, None]
    weights = propensity_weights(propensities)
    assert labels.mean() == pytest.approx(0.74, abs=0.02)
    assert (weights * labels).sum() / weights.sum() == pytest.approx(0.5, abs=0.02)
