"""The ranker is trained on windows of time, beats fusion on what came later, and says when there was too little log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.candidates.request import head_weights
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.retrieval.index import InteractionIndex
from fuserank_ensemble.spec import RANKED_KINDS
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.cases.labels import MIN_POSITIVES
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.fitting.fit import predicted
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import (
    LEAST_SHOWN,
    MANY_CASES,
    describe_unranked,
    objective,
    ranked_kinds,
    train_ranker,
)
from support.habits import (
    COUNT,
    DIM,
    LOG,
    SHOP,
    SPEC,
    START,
    WINDOW,
    case_builder,
    few,
    knowing,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return case_builder(tmp_path_factory.mktemp("words"))


def train(log, builder, epochs=1, **settings):
    return train_ranker(log, SHOP, builder, knowing(log), settings=FitSettings(epochs=epochs), **settings)


@pytest.fixture(scope="module")
def trained(one_thread, builder):
    return train(LOG, builder, 6, seed=3, cases=100)


def test_on_a_log_with_habits_the_ranker_beats_fusion_on_what_came_later(trained):
    _, report = trained
    assert report.source == "log"
    assert report.note == ""
    assert report.cases > 100
    assert report.validation_cases > 50
    assert report.window_days == 28
    assert (report.shown_lists, report.position_terms) == (0, {})
    for kind in ("user", "both"):
        measured = report.ndcg_at_10[kind]
        print(kind, measured)
        assert measured["head"] == "purchase"
        assert measured["ranker"] > measured["fusion"] + 0.02, kind
    assert report.ndcg_at_10["discover"]["cases"] == report.ndcg_at_10["user"]["cases"]
    assert {entry["epoch"] for entry in report.losses if "eval_loss" in entry} >= {1.0}
    assert objective(report) == {"relevance": 0.0, "click": 0.0, "purchase": 1.0}


def test_training_again_with_the_same_seed_gives_the_same_ranker(builder):
    one, other = (train(LOG, builder, 2, seed=3, cases=20)[0] for _ in range(2))
    for weights, again in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(weights, again)


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


def ranker_inputs():
    """Three requests for nine candidates: features, text vectors, sequences with their moments, and a reading."""
    draw = np.random.default_rng(0)
    shapes = ((3, 9, len(FEATURES)), (3, 9, DIM), (3, SPEC.events, DIM), (3, SPEC.events, MOMENT_DIM), (3, 9))
    return [torch.from_numpy(draw.normal(size=shape).astype(np.float32)) for shape in shapes]


@pytest.fixture(scope="module")
def untrained(one_thread, builder):
    return train(Interactions.empty(), builder)


def test_an_untrained_head_stays_silent(untrained):
    with torch.no_grad():
        heads, parts = untrained[0](*ranker_inputs())
    for head in ("click", "purchase"):
        assert (parts[..., HEADS.index(head)] == 0).all()
        assert (heads[..., HEADS.index(head)] == 0).all()


def test_on_its_first_day_a_shops_recommendations_keep_the_order_of_fusion(untrained, builder):
    """The report's note promises it: without a query the ranker has nothing to say."""
    assert "recommendations keep the order of fusion" in untrained[1].note
    defaults = objective(untrained[1])
    weights = head_weights(tuple(defaults[head] for head in HEADS), has_query=False)
    counts = np.arange(COUNT, dtype=np.float32)
    recommendation = TrainingQuery("user", "", History.empty(), float(START), None, None, None)
    popularity = replace(Popularity.empty(COUNT), counts=counts, trend=counts)
    made = builder.build([recommendation], InteractionIndex(popularity))
    heads = predicted(untrained[0], made, builder.catalog.vectors)[0][made.present[0]]
    assert (np.diff(heads @ np.asarray(weights, np.float32)) <= 0).all()


@pytest.mark.parametrize(
    ("learned", "head"),
    [
        ({"relevance": 500, "click": 500, "purchase": MIN_POSITIVES}, "purchase"),
        ({"relevance": 500, "click": 500, "purchase": MIN_POSITIVES - 1}, "click"),
        ({"relevance": 500, "click": 0, "purchase": 0}, "relevance"),
        ({"relevance": 0, "click": 0, "purchase": 0}, "relevance"),
    ],
)
def test_the_last_head_with_twenty_right_answers_decides(trained, learned, head):
    weights = objective(replace(trained[1], heads=learned))
    assert weights == {name: float(name == head) for name in HEADS}


def test_channels_know_the_log_up_to_each_windows_start_and_no_later(builder):
    moments = []

    def known(moment):
        moments.append(moment)
        return knowing(LOG)(moment)

    train_ranker(LOG, SHOP, builder, known, settings=FitSettings(epochs=1), seed=3, cases=20)
    end = float(LOG.timestamp[-1]) + 1
    assert moments == [end - i * WINDOW for i in (4, 3, 2, 1)]


def reported(report, source="log", **kinds):
    """A report whose figures of each kind are cases, the ranker's nDCG, fusion's and the best channel's."""
    figures = {
        kind: {
            "cases": cases, "ranker": ranker, "fusion": fusion, "standard_error": 0.02,
            "best_channel": {"name": "history", "ndcg": channel},
        }
        for kind, (cases, ranker, fusion, channel) in kinds.items()
    }  # fmt: skip
    return replace(report, source=source, ndcg_at_10=figures)


def test_the_ranker_orders_only_the_kinds_where_it_was_at_least_as_good_as_all_else(trained):
    _, report = trained
    many = 10 * MANY_CASES
    found = reported(
        report, query=(many, 0.5, 0.4, 0.3), both=(many, 0.4, 0.5, 0.3), user=(many, 0.4, 0.3, 0.5),
        discover=(many, 0.5, 0.5, 0.5),
    )  # fmt: skip
    assert ranked_kinds(found) == ("query", "discover")
    assert describe_unranked(found) == (
        "the order of fusion stands for both (nDCG@10 0.400; fusion 0.500, history 0.300), "
        "user (nDCG@10 0.400; fusion 0.300, history 0.500)"
    )


def test_too_few_cases_show_nothing_and_few_show_only_what_is_beyond_their_scatter(trained):
    _, report = trained
    found = reported(
        report, query=(LEAST_SHOWN - 1, 0.9, 0.1, 0.1), both=(MANY_CASES - 1, 0.51, 0.5, 0.1),
        user=(MANY_CASES - 1, 0.53, 0.5, 0.1),
    )  # fmt: skip
    assert ranked_kinds(found) == ("user",)
    told = describe_unranked(found)
    assert f"query ({LEAST_SHOWN - 1} of the {LEAST_SHOWN} cases that it takes to tell)" in told
    assert "discover (0 of the" in told


def test_where_no_order_finds_a_right_answer_fusion_orders_however_many_cases_there_are(trained):
    _, report = trained
    found = reported(report, query=(10 * MANY_CASES, 0, 0, 0), both=(MANY_CASES - 1, 0, 0, 0), user=(999, 0.1, 0, 0.1))
    assert ranked_kinds(found) == ("user",)
    note = describe_unranked(found)
    assert f"query ({10 * MANY_CASES} cases, none with a right answer among the candidates)" in note


def test_queries_made_up_from_the_catalogue_show_nothing_and_the_note_says_so(trained):
    _, report = trained
    found = reported(report, source="catalog", query=(999, 0.9, 0.1, 0.1))
    assert ranked_kinds(found) == ()
    assert "every request keeps the order of fusion" in describe_unranked(found)


def test_where_the_ranker_orders_everything_there_is_nothing_to_describe(trained):
    _, report = trained
    found = reported(report, **dict.fromkeys(RANKED_KINDS, (999, 0.9, 0.1, 0.1)))
    assert ranked_kinds(found) == RANKED_KINDS
    assert describe_unranked(found) == ""


def test_the_report_names_the_best_channel_and_how_far_the_cases_scatter(trained):
    _, report = trained
    for kind in ("both", "user"):
        measured = report.ndcg_at_10[kind]
        assert 0 < measured["best_channel"]["ndcg"] <= 1
        assert measured["best_channel"]["name"] in CHANNELS
        assert 0 < measured["standard_error"] < 0.2
    assert report.ndcg_at_10["user"]["best_channel"]["name"] == "history"
