"""What was shown teaches clicks: lists and their answers, nothing from after them, and no credit for the position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.events import EVENTS
from fuserank_export.sources.impressions import Impressions
from fuserank_export.training.cases.impressions import ANSWER_SECONDS, impression_queries, shown_lists
from fuserank_export.training.cases.window import snapshot_before
from support.habits import (
    COUNT,
    FROM,
    LOG,
    PURCHASE,
    QUERIES,
    SHOP,
    START,
    USERS,
    VIEW,
    WINDOW,
    altered,
    assert_same,
    knowing,
    log_of,
)

pytest.importorskip("torch")

from fuserank_export.training.fitting.fit import fit, predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import train_ranker
from fuserank_export.training.model.position import PositionBias

pytestmark = pytest.mark.usefixtures("one_thread")

CLICK = HEADS.index("click")
CLICKED = EVENTS.index("click")
AT = int(FROM) + 1_000


def propensity_of(positions):
    """Known of the first five places: the further down, the less likely."""
    return np.where(np.isin(positions, range(1, 6)), 1.0 / np.maximum(positions, 1), np.nan).astype(np.float32)


def showing(log, rows):
    """The log with impressions: user, item, time, query, position, session of each."""
    user, item, time, query, position, session = (np.asarray(column) for column in zip(*rows, strict=True))
    order = np.argsort(time, kind="stable")
    impressions = Impressions(
        *(user[order].astype(np.int32), item[order].astype(np.int32), time[order].astype(np.int64)),
        *(query[order].astype(np.int32), position[order].astype(np.int32), session[order].astype(np.uint64)),
        propensity=propensity_of(position[order]),
        bundle=np.full(len(order), -1, np.int32),
        queries=QUERIES,
        bundles=[],
    )
    return replace(log, impressions=impressions)


def acting(*events):
    columns = dict(zip(("user", "item", "event", "timestamp"), zip(*events, strict=True), strict=True))
    return log_of({**columns, "query": np.full(len(events), -1)})


def list_tuples(log, end=FROM + WINDOW):
    return [
        (
            shown_list.user,
            shown_list.query,
            shown_list.moment,
            shown_list.shown.rows.tolist(),
            shown_list.shown.positions.tolist(),
            sorted(shown_list.taken),
        )
        for shown_list in shown_lists(log, FROM, end)
    ]


def test_a_list_is_of_one_user_query_and_session_or_second():
    log = showing(
        acting((0, 1, VIEW, START)),
        [
            (0, 5, AT + 9, 0, 2, 7), (0, 4, AT, 0, 1, 7), (0, 5, AT + 20, 0, 3, 7),  # one session, 5 twice
            (0, 6, AT, 1, 1, 7), (1, 6, AT, 0, 1, 7), (0, 6, AT, 0, 1, 8),  # others: query, user, session
            (2, 8, AT, -1, 1, 0), (2, 9, AT, -1, 2, 0), (2, 3, AT + 1, -1, 1, 0),  # seconds, without a session
        ],
    )  # fmt: skip
    assert sorted(list_tuples(log)) == sorted(
        [
            (0, "milk", AT, [4, 5], [1, 2], []), (0, "tea", AT, [6], [1], []), (1, "milk", AT, [6], [1], []),
            (0, "milk", AT, [6], [1], []), (2, "", AT, [8, 9], [1, 2], []), (2, "", AT + 1, [3], [1], []),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("user", "item", "event", "after", "taken"),
    [
        (0, 4, CLICKED, 0, [4]),
        (0, 4, PURCHASE, ANSWER_SECONDS, [4]),
        (0, 4, EVENTS.index("cart"), 60, [4]),
        (0, 4, CLICKED, ANSWER_SECONDS + 1, []),
        (0, 4, CLICKED, -1, []),
        (0, 4, VIEW, 60, []),
        (1, 4, CLICKED, 60, []),
        (0, 7, CLICKED, 60, []),
    ],
)
def test_an_answer_is_a_click_cart_or_purchase_of_that_item_by_that_user_in_time(user, item, event, after, taken):
    log = showing(acting((user, item, event, AT + after)), [(0, 4, AT, -1, 1, 0), (0, 5, AT, -1, 2, 0)])
    assert list_tuples(log) == [(0, "", AT, [4, 5], [1, 2], taken)]


def test_a_list_that_could_still_be_answered_after_the_window_is_left_out():
    log = showing(acting((0, 1, VIEW, START)), [(0, 4, AT, -1, 1, 0)])
    assert list_tuples(log, AT + ANSWER_SECONDS) == []
    assert len(list_tuples(log, AT + ANSWER_SECONDS + 1)) == 1
    assert shown_lists(log, AT + 1, FROM + WINDOW) == []


def shown_cases(log, builder, start=FROM, count=500):
    queries = impression_queries(
        shown_lists(log, start, start + WINDOW), snapshot_before(log, start), start, count=count, seed=1
    )
    return builder.build(queries, knowing(log)(start))


def random_lists(start, count, seed=0):
    """Six items each, of which users click some."""
    draw = np.random.default_rng(seed)
    rows, clicks = [], []
    for i in range(count):
        user, time = i % (USERS + 2), int(start) + 60 * i
        query = int(draw.integers(-1, len(QUERIES)))
        for position, item in enumerate(draw.choice(COUNT, 6, replace=False), 1):
            rows.append((user, int(item), time, query, position, i + 1))
            if user < USERS and draw.random() < 0.3:
                clicks.append((user, int(item), CLICKED, time + 30))
    return rows, clicks


def with_clicks(log, clicks):
    user, item, event, time = zip(*clicks, strict=True)
    added = {"user": user, "item": item, "event": event, "timestamp": time, "query": np.full(len(clicks), -1)}
    return log_of({name: np.concatenate([getattr(log, name), more]) for name, more in added.items()})


def test_a_case_holds_what_was_shown_and_labels_clicks_alone(builder):
    rows, clicks = random_lists(FROM, 64)
    cases = shown_cases(showing(with_clicks(LOG, clicks), rows), builder)
    assert len(cases) == 64
    assert (cases.present.sum(1) == 6).all()
    for case, impressions in zip(range(64), np.array_split(np.arange(len(rows)), 64), strict=True):
        place = {rows[i][1]: rows[i][4] for i in impressions}
        had = {(user, item, time - 30) for user, item, _, time in clicks}
        for row, position, label in zip(
            *(cases.rows[case, :6], cases.positions[case, :6], cases.labels[case, :6, CLICK]), strict=True
        ):
            assert position == place[int(row)]
            assert label == ((rows[impressions[0]][0], int(row), rows[impressions[0]][2]) in had)
    assert np.isnan(cases.labels[..., [h for h in range(len(HEADS)) if h != CLICK]]).all()
    assert np.isnan(cases.labels[~cases.present]).all()
    assert (cases.positions[~cases.present] == 0).all()
    np.testing.assert_array_equal(cases.propensities, propensity_of(cases.positions))


def test_nothing_from_a_windows_start_on_reaches_what_is_said_of_its_lists(builder):
    rows, clicks = random_lists(FROM, 64)
    log = showing(with_clicks(LOG, clicks), rows)
    cases, changed = shown_cases(log, builder), shown_cases(altered(log, log.timestamp >= FROM), builder)
    assert_same(cases, changed, but=["labels"])
    assert not np.array_equal(cases.labels, changed.labels, equal_nan=True)
    earlier = shown_cases(altered(log, log.timestamp < FROM), builder)
    assert not np.array_equal(cases.features, earlier.features, equal_nan=True)  # so that the test could fail


EXAMINED = 1.0 / np.arange(1, 7)  # how often a position is looked at
FAVOURED = 1  # always shown first
WORSE_THAN = np.arange(2, COUNT)


def attractive(items):
    """Every third item is wanted most, every third least; the favoured one less than the middle."""
    wanted = np.where(np.isin(items % 3, [2]), 0.7, np.where(items % 3 == 1, 0.4, 0.1))
    return np.where(items == FAVOURED, 0.25, wanted)


def biased_log(count=1_200, start=int(FROM), every=900):
    """Clicks on lists, by position and by what is wanted, of users who had something before; one every so often."""
    draw = np.random.default_rng(3)
    rows, clicks = [], []
    for i in range(count):
        user, time = i % USERS, start + every * i
        items = draw.choice(WORSE_THAN, 6, replace=False)
        if i % 2:
            items[0] = FAVOURED
        for place, item in enumerate(items):
            rows.append((user, int(item), time, -1, place + 1, i + 1))
            if draw.random() < EXAMINED[place] * attractive(item):
                clicks.append((user, int(item), CLICKED, time + 30))
    return showing(with_clicks(LOG, clicks), rows)


def test_an_item_that_always_stood_first_is_not_taken_for_the_best(builder):
    """Examination 1/position, in the manner of PAL's simulation: without the term position passes for merit."""
    log = biased_log()
    cases = shown_cases(log, builder, count=5_000)
    of_candidates = ("rows", "features", "texts", "reading", "labels", "positions", "propensities")
    cases = replace(cases, **{name: getattr(cases, name)[:, :6] for name in of_candidates})  # the rest is absent
    assert len(cases) > 1_000
    cut = len(cases) * 4 // 5
    settings = FitSettings(epochs=4, batch=32, learning_rate=1.6e-2, patience=4)
    wanted = attractive(cases.rows)
    favoured, others = cases.rows == FAVOURED, cases.present & (cases.rows != FAVOURED)
    middle = others & (wanted == 0.4)
    seen = {}
    for name, position in (("without", None), ("with", PositionBias())):
        learned, later = cases.part(slice(0, cut)), cases.part(slice(cut, None))
        ranker, *_ = fit(learned, later, builder.catalog.vectors, settings, 3, lambda epoch: None, position)
        logits = predicted(ranker, cases, builder.catalog.vectors)[..., CLICK]
        means = [logits[others & (wanted == share)].mean() for share in (0.1, 0.4, 0.7)]
        seen[name] = (logits[favoured].mean(), logits[middle].mean(), means, position)
        print(name, "favoured", logits[favoured].mean(), "by what is wanted", means)
    favoured_mean, middle_mean, _, _ = seen["without"]
    assert favoured_mean > middle_mean  # though it is wanted less
    favoured_mean, middle_mean, means, position = seen["with"]
    assert means[0] < favoured_mean < middle_mean < means[2]
    terms = position.terms(cases.positions, 20)
    print("position terms", terms, "log examination", np.log(EXAMINED).round(2))
    assert list(terms) == [1, 2, 3, 4, 5, 6]
    assert terms[1] == 0
    assert (np.diff(list(terms.values())) < 0).all()


def test_the_training_takes_shown_lists_of_all_windows_and_tells_what_positions_did(builder):
    count = 400
    log = biased_log(count, int(FROM - 2 * WINDOW), int(4 * WINDOW / count) - 1)
    settings = FitSettings(epochs=3, batch=32, learning_rate=8e-3, patience=3)
    _, report = train_ranker(log, SHOP, builder, knowing(log), cases=110, settings=settings, seed=3)
    print(report.shown_lists, report.position_terms)
    assert count * 0.98 < report.shown_lists <= count
    assert list(report.position_terms) == [1, 2, 3, 4, 5, 6]
    assert report.position_terms[1] == 0 > report.position_terms[3] > report.position_terms[6]
