"""A case has a shop's own columns as serving computes them, and of what nobody had by then nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.filters import Column, Columns
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_export.training.cases.training_query import TrainingQuery
from support.habits import COUNT, FROM, ITEMS, LOG, SPEC, knowing

pytestmark = pytest.mark.usefixtures("one_thread")

RATING = np.linspace(1.0, 5.0, COUNT).astype(np.float32)
KIND = Column("keyword", (np.arange(COUNT) % 2).astype(np.int32), ["plain", "special"])
OWN = (
    OwnFeature("shop.rating", "shop", "rating", "rating", "number"),
    OwnFeature("shop.kind=special", "shop", "kind", "kind", "value", "special"),
    OwnFeature("shop.kind.share", "shop", "kind", "kind", "share"),
)
RATED = replace(
    ITEMS, columns=Columns(COUNT, {**ITEMS.columns.by_name, "rating": Column("number", RATING), "kind": KIND})
)


def query(rows):
    """A user who had some items and searches for milk."""
    return TrainingQuery("both", "milk", History.from_rows(rows, FROM), FROM, None, np.arange(3, dtype=np.int32), None)


@pytest.fixture
def rated(builder):
    """Builds cases of the same shop with columns of its own."""
    catalog = replace(builder.catalog, items=RATED)
    return replace(builder, catalog=catalog, spec=replace(SPEC, own_features=OWN))


def own_columns(cases):
    """The candidates of the only case and their own columns."""
    present = cases.rows[0] >= 0
    return cases.rows[0][present], cases.features[0][present][:, len(FEATURES) :]


def test_a_case_has_the_columns_that_serving_computes(rated):
    interactions = knowing(LOG)(FROM)
    assert (interactions.popularity.counts > 0).all()
    built = rated.build([query([3, 3, 4])], interactions)
    served = Retriever(rated.catalog, interactions, rated.spec).retrieve(
        rated.channel_queries([query([3, 3, 4])]), [SPEC.candidates]
    )[0]
    rows, columns = own_columns(built)
    assert rows.tolist() == served.rows.tolist()
    np.testing.assert_array_equal(columns, served.features[:, len(FEATURES) :])
    np.testing.assert_allclose(columns[:, 0], RATING[rows])
    np.testing.assert_allclose(columns[:, 1], rows % 2)
    np.testing.assert_allclose(columns[:, 2], np.where(rows % 2, 2 / 3, 1 / 3), rtol=1e-6)


def test_of_what_nobody_had_by_then_the_catalogue_of_today_says_nothing(rated):
    """A rating, or that there is one, would tell which items are going to be bought."""
    late = np.isin(LOG.item, np.arange(0, COUNT, 3)) & (LOG.timestamp < FROM)
    log = replace(LOG, **{n: getattr(LOG, n)[~late] for n in ("user", "item", "event", "timestamp", "value", "query")})
    rows, columns = own_columns(rated.build([query([4])], knowing(log)(FROM)))
    unsold = rows % 3 == 0
    assert unsold.any()
    assert np.isnan(columns[unsold]).all()
    np.testing.assert_allclose(columns[~unsold, 0], RATING[rows[~unsold]])


def test_without_any_event_the_catalogue_is_all_that_is_known(rated):
    none = replace(LOG, **{n: getattr(LOG, n)[:0] for n in ("user", "item", "event", "timestamp", "value", "query")})
    rows, columns = own_columns(rated.build([query([])], knowing(none)(FROM)))
    np.testing.assert_allclose(columns[:, 0], RATING[rows])


def test_some_columns_of_cases_are_the_same_cases(rated):
    cases = rated.build([query([4])], knowing(LOG)(FROM))
    part = cases.with_columns([*range(len(FEATURES)), len(FEATURES) + 1])
    assert part.features.shape[-1] == len(FEATURES) + 1
    np.testing.assert_array_equal(part.features[..., -1], cases.features[..., len(FEATURES) + 1])
    assert part.rows is cases.rows
    assert cases.with_columns(range(len(FEATURES) + 3)) is cases
    assert np.shares_memory(cases.with_columns(range(len(FEATURES))).features, cases.features)
