"""A candidate whose behaviour is hidden looks as an item that nobody has had, and all else stays."""

from __future__ import annotations

import numpy as np

from fuserank_ensemble.candidates.features import POSITION
from fuserank_export.training.cases.newcomers import hide_behaviour
from support.habits import LOG

OF_CONTENT = ("text_score", "lexical_score", "price", "age", "category_share", "missed")


def test_a_share_of_the_candidates_looks_as_if_nobody_had_had_them(cases_of):
    _, cases = cases_of(LOG)
    before = cases.features.copy()
    hidden = hide_behaviour(cases, seed=1, share=0.3)
    popularity = hidden.features[..., POSITION["popularity"]]
    changed = cases.present & (popularity == 0) & (before[..., POSITION["popularity"]] > 0)
    assert 0.2 < changed.sum() / cases.present.sum() < 0.4
    for name in ("history_frequency", "due", "idle", "trending_rank"):
        assert np.isnan(hidden.features[changed][:, POSITION[name]]).all(), name
    for name in ("trend", "lately", "reach", "repeats"):
        assert (hidden.features[changed][:, POSITION[name]] == 0).all(), name
    for name in OF_CONTENT:
        np.testing.assert_array_equal(hidden.features[..., POSITION[name]], before[..., POSITION[name]], err_msg=name)
    np.testing.assert_array_equal(cases.features, before, err_msg="the given cases are changed")
    np.testing.assert_array_equal(hidden.labels, cases.labels)


def test_nothing_is_hidden_of_no_share_and_each_seed_hides_other_candidates(cases_of):
    _, cases = cases_of(LOG)
    np.testing.assert_array_equal(hide_behaviour(cases, seed=1, share=0.0).features, cases.features)
    one, other = (hide_behaviour(cases, seed=seed, share=0.3).features for seed in (1, 2))
    assert not np.array_equal(one, other, equal_nan=True)
