"""What a training case holds: candidates, sequence, reading and labels, for each kind of request."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.catalog.filters import Columns
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import History
from fuserank_export.training.cases.builder import BATCH, CaseBuilder
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.synthetic import SyntheticQueries, catalog_queries
from fuserank_export.training.cases.training_query import KINDS, TrainingQuery
from support.habits import (
    COUNT,
    FROM,
    ITEMS,
    LEAF,
    LOG,
    PURCHASE,
    QUERIES,
    SPEC,
    TITLES,
    USERS,
    VIEW,
    WINDOW,
    all_logged,
    assert_same,
    knowing,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_cases_of_discovery_hold_nothing_seen_and_label_only_what_was_new(cases_of):
    queries, cases = cases_of(all_logged(LOG))
    plain = {tuple(query.seen.rows): query for query in queries if query.kind == "user"}
    discoveries = [(i, query) for i, query in enumerate(queries) if query.kind == "discover"]
    assert len(discoveries) == len(plain) > 10
    for i, query in discoveries:
        rows, labels = cases.rows[i][cases.present[i]], cases.labels[i][cases.present[i]]
        assert len(rows)
        assert len(query.seen)
        assert not np.isin(rows, query.seen.rows).any()
        whole = plain[tuple(query.seen.rows)]
        assert set(query.clicked) == set(whole.clicked) - set(query.seen.rows)
        assert set(query.purchased) == set(whole.purchased) - set(query.seen.rows)
        assert set(rows[labels[:, HEADS.index("click")] == 1]) <= set(query.clicked)
        assert np.isnan(labels[:, HEADS.index("relevance")]).all()
        assert np.isnan(cases.features[i, :, POSITION["history_frequency"]]).all()
    assert sum(len(query.clicked) for _, query in discoveries) > 0
    # A recommendation of anything does hold what was seen.
    assert any(np.isin(cases.rows[i], query.seen.rows).any() for i, query in enumerate(queries) if query.kind == "user")


def test_what_was_seen_is_excluded_for_no_more_than_a_batch_at_a_time(builder, monkeypatch):
    # A byte for every item of the catalogue and query for what is new: all at once they were a gigabyte of a million.
    masks, at_once = [], []
    not_seen = CaseBuilder._not_seen

    def counted(self, seen):
        mask = not_seen(self, seen)
        masks.append(weakref.ref(mask))
        at_once.append(sum(held() is not None for held in masks))
        return mask

    monkeypatch.setattr(CaseBuilder, "_not_seen", counted)
    monkeypatch.setattr("fuserank_export.training.cases.builder.spare_processes", lambda tasks: 1)
    query = TrainingQuery("discover", "", History.from_rows([3], FROM), FROM, None, None, None)
    builder.build([query] * (3 * BATCH), knowing(LOG)(FROM))
    assert len(at_once) == 3 * BATCH
    assert max(at_once) < 2 * BATCH


def test_a_query_holds_a_history_of_its_own_and_not_everybodys(cases_of):
    queries, _ = cases_of(all_logged(LOG))
    known = [query.seen for query in queries if len(query.seen)]
    assert known
    assert all(array.base is None for seen in known for array in (seen.rows, seen.counts, seen.last, seen.recent))


def test_sequences_are_the_latest_items_before_the_window(cases_of):
    log = all_logged(LOG)
    queries, cases = cases_of(log)
    past = log.timestamp < FROM
    checked = 0
    for i, query in enumerate(queries):
        length = min(len(query.seen), SPEC.events)
        assert (cases.events[i, length:] == -1).all()
        assert cases.moments[i, :, 2].tolist() == [1.0] * length + [0.0] * (SPEC.events - length)
        if query.kind != "user":
            continue
        users = [u for u in range(USERS) if set(log.item[past & (log.user == u)]) == set(query.seen.rows)]
        assert len(users) == 1
        items = log.item[past & (log.user == users[0])][::-1]  # the log is sorted by time
        _, first = np.unique(items, return_index=True)
        latest = items[np.sort(first)][:length]
        assert cases.events[i, :length].tolist() == ITEMS.text[latest].tolist()
        assert (np.diff(cases.moments[i, :length, 0]) >= 0).all()
        checked += 1
    assert checked > 10
    np.testing.assert_array_equal(cases.texts[cases.present], ITEMS.text[cases.rows[cases.present]])


def test_labels_are_what_the_user_then_did(cases_of):
    queries, cases = cases_of(LOG)
    position = {kind: next(i for i, query in enumerate(queries) if query.kind == kind) for kind in KINDS}
    inside = (LOG.timestamp >= FROM) & (LOG.timestamp < FROM + WINDOW)
    query, labels = queries[position["user"]], cases.labels[position["user"]]
    assert np.isnan(labels[:, 0]).all()  # without a query nothing is relevant to it
    users = [u for u in range(USERS) if sorted(LOG.item[inside & (LOG.user == u)]) == sorted(query.clicked)]
    assert len(users) == 1
    bought = set(LOG.item[inside & (LOG.user == users[0]) & (LOG.event == PURCHASE)])
    assert set(query.purchased) == bought
    assert 0 < np.nansum(labels[:, 2]) <= len(bought)
    assert not len(queries[position["query"]].seen)
    assert len(queries[position["both"]].seen)
    padded = ~cases.present
    assert np.isnan(cases.features[padded]).all()
    assert np.isnan(cases.labels[padded]).all()


def test_a_log_without_purchases_has_no_purchase_labels_and_not_a_head_full_of_zeros(cases_of):
    views = replace(LOG, event=np.full(len(LOG), VIEW, np.uint8))
    _, cases = cases_of(views)
    assert np.isnan(cases.labels[..., HEADS.index("purchase")]).all()
    assert np.nansum(cases.labels[..., HEADS.index("click")]) > 0


def test_the_text_tower_reads_the_best_candidates_of_cases_with_a_query_alone(builder):
    pairs_read = []

    def read(queries, texts):
        pairs_read.extend(zip(queries, texts, strict=True))
        return [text.astype(np.float32) + 0.5 for text in texts]

    reading = replace(builder, spec=replace(builder.spec, text_candidates=5), read=read)
    queries = [
        TrainingQuery("query", "tea", History.empty(), FROM, None, None, None),
        TrainingQuery("user", "", History.from_rows([3], FROM), FROM, None, None, None),
        TrainingQuery("both", "soap", History.from_rows([3], FROM), FROM, None, None, None),
    ]
    cases = reading.build(queries, knowing(LOG)(FROM))
    assert [query for query, _ in pairs_read] == ["tea", "soap"]
    for i in (0, 2):
        np.testing.assert_array_equal(cases.reading[i, :5], cases.texts[i, :5] + 0.5)
        assert np.isnan(cases.reading[i, 5:]).all()
    assert np.isnan(cases.reading[1]).all()
    assert np.isnan(builder.build(queries, knowing(LOG)(FROM)).reading).all()


def test_sets_of_cases_are_joined_and_taken_apart_again(cases_of):
    _, cases = cases_of(LOG)
    half = len(cases) // 2
    parts = [cases.part(slice(0, half)), cases.part(np.arange(len(cases)) >= half)]
    assert [len(part) for part in parts] == [half, len(cases) - half]
    assert_same(Cases.joined(parts), cases)
    assert_same(Cases.collected(iter(parts), len(cases)), cases)


@pytest.fixture
def worded_as_the_shop_does(monkeypatch):
    monkeypatch.setattr("fuserank_export.training.cases.synthetic.reword", lambda query, _: query)


@pytest.mark.usefixtures("worded_as_the_shop_does")
def test_words_of_titles_find_their_items_even_without_spaces():
    titles = ["有机绿茶", "红豆", "half gallon milk"]
    chinese = Items(ITEMS.ids[:3], ITEMS.text[:3], Columns(3, {}))
    queries = catalog_queries(chinese, SyntheticQueries(chinese, titles, seed=5), 2_000, seed=5)
    assert len(queries) == 3
    for query in queries:
        assert len(query.relevant) == 1
        title = titles[int(query.relevant[0])]
        assert query.query in title if " " not in title else set(query.query.split()) <= set(title.split())
        assert query.clicked is None


@pytest.mark.usefixtures("worded_as_the_shop_does")
def test_relevant_to_a_category_is_the_category_and_to_a_title_its_items():
    synthetic = SyntheticQueries(ITEMS, TITLES, 1)
    assert synthetic.relevant("tea").tolist() == np.flatnonzero(LEAF == 1).tolist()
    assert synthetic.relevant("no such words").tolist() == []
    rows = np.arange(COUNT, dtype=np.int32)
    for row, query in zip(rows, synthetic.draw(rows, np.random.default_rng(0)), strict=True):
        assert query == QUERIES[LEAF[row]] or set(query.split()) <= set(TITLES[row].lower().split())
