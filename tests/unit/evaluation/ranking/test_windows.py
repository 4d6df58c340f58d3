"""Each window is evaluated on its own past, and all are summarized in one table."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ir_measures")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.datasets.cases import WINDOW_DAYS, WINDOW_SECONDS, last_window, recommendation_cases
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.ranking.results import Ranking, Results
from fuserank_evaluation.ranking.windows import SETS, shift_window, summarize_windows, window_table
from support.hand_log import make_log

DAYS = 200


@pytest.fixture
def grocery():
    """One user who has item 0 every day, and item `day` of each day."""
    events = [(0, item, day) for day in range(DAYS) for item in (0, day)]
    log = make_log(events)
    return Grocery(None, log, last_window(log), None)


@pytest.mark.parametrize("back", [0, 1, 2])
def test_an_earlier_window_ends_where_the_next_begins(grocery, back):
    earlier = shift_window(grocery, back)
    assert earlier.cut == grocery.cut - back * WINDOW_SECONDS
    assert earlier.log.timestamp.max() < earlier.cut + WINDOW_SECONDS
    assert earlier.known_log.timestamp.max() < earlier.cut
    cases = recommendation_cases(earlier.log, earlier.cut)
    first = DAYS - WINDOW_DAYS * (back + 1)
    assert sorted(cases.relevant[0]) == [0, *range(first, first + WINDOW_DAYS)]
    assert cases.seen[0].rows.max() == first - 1


def results(**by_method):
    rankings = {name: Ranking([], {"ndcg_at_10": np.asarray([value])}) for name, value in by_method.items()}
    return Results({}, dict.fromkeys(SETS, rankings))


def test_the_table_has_each_window_and_the_best_method_first():
    windows = [results(ranker=0.5, random=0.1), results(ranker=0.3, random=0.3)]
    summary = summarize_windows(windows)
    assert summary["search"]["ranker"] == pytest.approx((0.4, np.std([0.5, 0.3], ddof=1)))
    head, first, second = window_table(summary["search"], windows, "search")
    assert head == ["", "mean", "deviation", "last", "1 back"]
    assert first == ["ranker", "0.4", "0.1414", "0.5", "0.3"]
    assert second[0] == "random"
