"""The ranker learns from the past alone, says when there was too little of it, and is exported as it was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from habits import (
    COUNT,
    FROM,
    ITEMS,
    LEAF,
    LOG,
    PURCHASE,
    QUERIES,
    SHOP,
    START,
    TITLES,
    USERS,
    VIEW,
    WINDOW,
    all_logged,
    altered,
    case_builder,
    few,
    knowing,
    log_of,
)

from ensemble.contract import HEADS
from ensemble.features import FEATURES, POSITION, SIGNALS
from ensemble.filters import Columns
from ensemble.history import History
from ensemble.request import head_weights
from ensemble.retrieval.index import Learned
from ensemble.retrieval.items import Items
from ensemble.retrieval.popularity import Popularity
from export.learning import popularity_before
from export.sources.interactions import Interactions
from export.training.cases import Ask, Relevance, catalog_asks, window_asks
from export.training.model import export_ranker
from export.training.train import MIN_POSITIVES, objective, train_ranker

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return case_builder(tmp_path_factory.mktemp("words"))


def relevance():
    return Relevance(ITEMS, TITLES, 1)


def train(log, builder, **settings):
    return train_ranker(log, SHOP, builder, knowing(log), **settings)


@pytest.fixture(scope="module")
def trained(one_thread, builder):
    return train(LOG, builder, seed=3, cases=100)


@pytest.fixture
def cases_of(builder):
    return lambda log: _cases_of(log, builder)


def _cases_of(log, builder):
    asks = window_asks(log, relevance(), FROM, FROM + WINDOW, 40, seed=1)
    # A query that was not logged is the category of the item, and so changes with it: only logged ones compare.
    asks = [ask for ask in asks if ask.kind == "user" or ask.query in QUERIES]
    return asks, builder.build(asks, knowing(log)(FROM))


def test_nothing_at_or_after_a_windows_start_reaches_a_feature(cases_of):
    log = all_logged(LOG)
    inside = log.timestamp >= FROM
    assert (log.timestamp[inside] < FROM + WINDOW).sum() > 100
    asks, cases = cases_of(log)
    changed_asks, changed = cases_of(altered(log, inside))
    assert [(a.kind, a.query) for a in asks] == [(a.kind, a.query) for a in changed_asks]
    np.testing.assert_array_equal(cases.features, changed.features)
    # The same change is seen where it may be: in the labels.
    assert not np.array_equal(cases.labels, changed.labels)


def test_an_event_at_the_very_start_of_a_window_belongs_to_it_and_one_a_second_earlier_to_the_past():
    base = {"user": [0, 1], "item": [5, 6], "event": [VIEW, VIEW], "query": [0, 1]}
    log = log_of({**base, "timestamp": [FROM - 1, FROM]})
    asks = window_asks(log, relevance(), FROM, FROM + WINDOW, 9, seed=1)
    popularity = popularity_before(log, SHOP, FROM)
    assert popularity.counts[5] == 1
    assert popularity.counts[6] == 0
    assert {tuple(ask.clicked) for ask in asks} == {(6,)}


def test_nothing_at_or_after_a_windows_end_reaches_features_or_labels(cases_of):
    log = all_logged(LOG)
    asks, cases = cases_of(log)
    changed_asks, changed = cases_of(altered(log, log.timestamp >= FROM + WINDOW))
    assert len(asks) == len(changed_asks) > 50
    np.testing.assert_array_equal(cases.features, changed.features)
    np.testing.assert_array_equal(cases.labels, changed.labels)


def test_the_past_does_reach_the_features_so_that_the_tests_above_could_fail(cases_of):
    log = all_logged(LOG)
    _, cases = cases_of(log)
    _, changed = cases_of(altered(log, log.timestamp < FROM))
    assert not np.array_equal(cases.features, changed.features)


def test_labels_are_what_the_user_then_did(cases_of):
    asks, cases = cases_of(LOG)
    position = {kind: next(i for i, ask in enumerate(asks) if ask.kind == kind) for kind in ("user", "both", "query")}
    inside = (LOG.timestamp >= FROM) & (LOG.timestamp < FROM + WINDOW)
    ask, labels = asks[position["user"]], cases.labels[position["user"]]
    assert np.isnan(labels[:, 0]).all()  # without a query nothing is relevant to it
    users = [u for u in range(USERS) if sorted(LOG.item[inside & (LOG.user == u)]) == sorted(ask.clicked)]
    assert len(users) == 1
    bought = set(LOG.item[inside & (LOG.user == users[0]) & (LOG.event == PURCHASE)])
    assert set(ask.purchased) == bought
    assert 0 < np.nansum(labels[:, 2]) <= len(bought)
    assert not len(asks[position["query"]].seen)
    assert len(asks[position["both"]].seen)
    padded = ~cases.present
    assert np.isnan(cases.features[padded]).all()
    assert np.isnan(cases.labels[padded]).all()


def test_a_log_without_purchases_has_no_purchase_labels_and_not_a_head_full_of_zeros(cases_of):
    views = replace(LOG, event=np.full(len(LOG), VIEW, np.uint8))
    _, cases = cases_of(views)
    assert np.isnan(cases.labels[..., HEADS.index("purchase")]).all()
    assert np.nansum(cases.labels[..., HEADS.index("click")]) > 0


def test_on_a_log_with_habits_the_ranker_beats_fusion_on_what_came_later(trained):
    _, report = trained
    assert report.source == "log"
    assert report.note == ""
    assert report.cases > 100
    assert report.validation_cases > 50
    assert report.window_days == 28
    for kind in ("user", "both"):
        measured = report.ndcg_at_10[kind]
        print(kind, measured)
        assert measured["head"] == "purchase"
        assert measured["ranker"] > measured["fusion"] + 0.02, kind
    assert objective(report) == {"relevance": 1.0, "click": 1.0, "purchase": 1.0}


def test_training_again_with_the_same_seed_gives_the_same_ranker(builder):
    one, other = (train(LOG, builder, seed=3, cases=20)[0] for _ in range(2))
    for mine, again in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, again)


def features(seed=0, batch=3, candidates=9):
    draw = np.random.default_rng(seed)
    values = (3 * draw.normal(size=(batch, candidates, len(FEATURES)))).astype(np.float32)
    values[draw.random(values.shape) < 0.4] = np.nan
    return torch.from_numpy(values)


def test_contributions_and_the_bias_add_up_to_the_heads(trained):
    model = trained[0]
    with torch.no_grad():
        heads, parts = model(features())
    assert heads.shape == (3, 9, len(HEADS))
    assert parts.shape == (3, 9, len(SIGNALS), len(HEADS))
    torch.testing.assert_close(parts.sum(-2) + model.bias, heads)


def test_missing_and_absurd_features_give_finite_scores(trained):
    with torch.no_grad():
        for values in (torch.full((1, 2, len(FEATURES)), float("nan")), torch.full((1, 2, len(FEATURES)), 1e30)):
            assert all(torch.isfinite(out).all() for out in trained[0](values))


def test_what_is_missing_is_not_what_is_zero(trained):
    column = POSITION["personal_frequency"]
    values = features()
    values[..., column] = float("nan")
    zeros = values.clone()
    zeros[..., column] = 0.0
    with torch.no_grad():
        assert not torch.allclose(trained[0](values)[0], trained[0](zeros)[0])


def test_each_signal_sees_its_own_features_and_the_kind_of_request_alone(trained):
    values, changed = features(), features()
    changed[..., POSITION["price"]] = 1.234
    with torch.no_grad():
        difference = (trained[0](values)[1] - trained[0](changed)[1]).abs().amax((0, 1, 3))
    moved = {signal for signal, d in zip(SIGNALS, difference.tolist(), strict=True) if d > 0}
    assert moved == {"price"}


@pytest.mark.parametrize(("batch", "candidates"), [(1, 1), (2, 32), (5, 64)])
def test_the_exported_ranker_equals_torch_for_any_batch_and_number_of_candidates(trained, tmp_path, batch, candidates):
    import onnxruntime as ort

    export_ranker(trained[0], tmp_path / "ranker.onnx")
    session = ort.InferenceSession(str(tmp_path / "ranker.onnx"), providers=["CPUExecutionProvider"])
    values = features(batch, batch, candidates)
    heads, parts = session.run(["HEADS", "CONTRIBUTIONS"], {"FEATURES": values.numpy()})
    with torch.no_grad():
        expected = trained[0](values)
    np.testing.assert_allclose(heads, expected[0], atol=1e-4)
    np.testing.assert_allclose(parts, expected[1], atol=1e-4)


@pytest.mark.parametrize(
    "log",
    [
        Interactions.empty(),
        few(1),
        few(20),
        replace(LOG, timestamp=np.full(len(LOG), START, np.int64)),
    ],
    ids=["none", "one event", "twenty events", "all in one second"],
)
def test_too_little_log_is_said_and_what_is_not_learned_weighs_nothing(log, builder):
    _, report = train(log, builder, cases=60)
    assert report.source == "catalog"
    assert report.note.startswith(f"too little log ({len(log):,} events) to learn behaviour from")
    assert report.heads["click"] == report.heads["purchase"] == 0
    assert objective(report) == {"relevance": 1.0, "click": 0.0, "purchase": 0.0}
    assert set(report.ndcg_at_10) <= {"query"}


@pytest.fixture(scope="module")
def untrained(one_thread, builder):
    return train(Interactions.empty(), builder)


def test_an_untrained_head_stays_silent(untrained):
    with torch.no_grad():
        heads, parts = untrained[0](features())
    for head in ("click", "purchase"):
        assert (parts[..., HEADS.index(head)] == 0).all()
        assert (heads[..., HEADS.index(head)] == 0).all()


def test_on_its_first_day_a_shops_recommendations_keep_the_order_of_fusion(untrained, builder):
    """The report's note promises it: without a query the ranker has nothing to say."""
    assert "recommendations keep the order of fusion" in untrained[1].note
    learned = objective(untrained[1])
    weights = head_weights(tuple(learned[head] for head in HEADS), has_query=False)
    counts = np.arange(COUNT, dtype=np.float32)
    recommendation = Ask("user", "", History.empty(), float(START), None, None, None)
    made = builder.build([recommendation], Learned(Popularity(counts, counts, np.full(COUNT, np.nan))))
    with torch.no_grad():
        heads = untrained[0](torch.from_numpy(made.features))[0][0].numpy()[made.present[0]]
    assert (np.diff(heads @ np.asarray(weights, np.float32)) <= 0).all()


def test_words_of_titles_find_their_items_even_without_spaces():
    titles = ["有机绿茶", "红豆", "half gallon milk"]
    chinese = Items(ITEMS.ids[:3], ITEMS.text[:3], Columns(3, {}))
    asks = catalog_asks(chinese, Relevance(chinese, titles, seed=5), 2_000, seed=5)
    assert len(asks) == 3
    for ask in asks:
        assert len(ask.relevant) == 1
        title = titles[int(ask.relevant[0])]
        assert ask.query in title if " " not in title else set(ask.query.split()) <= set(title.split())
        assert ask.clicked is None


def test_relevant_to_a_category_is_the_category_and_to_a_title_its_items():
    known = Relevance(ITEMS, TITLES, 1)
    assert known.of("tea").tolist() == np.flatnonzero(LEAF == 1).tolist()
    assert known.of("no such words").tolist() == []
    rows = np.arange(COUNT, dtype=np.int32)
    for row, query in zip(rows, known.queries(rows, np.random.default_rng(0)), strict=True):
        assert query == QUERIES[LEAF[row]] or set(query.split()) <= set(TITLES[row].lower().split())


@pytest.mark.parametrize(("positives", "weight"), [(0, 0.0), (MIN_POSITIVES - 1, 0.0), (MIN_POSITIVES, 1.0)])
def test_a_head_counts_from_twenty_right_answers_on(trained, positives, weight):
    report = replace(trained[1], heads={"relevance": 500, "click": 500, "purchase": positives})
    assert objective(report) == {"relevance": 1.0, "click": 1.0, "purchase": weight}
    nothing = replace(trained[1], heads=dict.fromkeys(HEADS, 0))
    assert objective(nothing) == {"relevance": 1.0, "click": 0.0, "purchase": 0.0}


def test_what_the_channels_know_is_asked_for_by_the_start_of_each_window_and_never_later(builder):
    moments = []

    def known(moment):
        moments.append(moment)
        return knowing(LOG)(moment)

    train_ranker(LOG, SHOP, builder, known, seed=3, cases=20)
    end = float(LOG.timestamp[-1]) + 1
    assert moments == [end - 3 * WINDOW, end - 2 * WINDOW, end - WINDOW]
