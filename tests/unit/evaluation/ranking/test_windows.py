"""Windows of time are answered each from its own past, and folded into one table."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ir_measures")
pytest.importorskip("torchmetrics")
from support.hand_log import log_of  # isort: skip  it makes the folder of the next known
from fuserank_evaluation.datasets.cases import DAY, WINDOW_DAYS, last_window, recommendation_cases
from fuserank_evaluation.datasets.grocery import Grocery
from fuserank_evaluation.ranking import windows as eval_windows
from fuserank_evaluation.ranking.results import Ranking, Results

DAYS = 200


@pytest.fixture
def grocery():
    """One user who has item 0 every day, and item `day` of each day."""
    events = [(0, item, day) for day in range(DAYS) for item in (0, day)]
    log = log_of(events)
    return Grocery(None, log, last_window(log), None)


@pytest.mark.parametrize("back", [0, 1, 2])
def test_an_earlier_window_ends_where_the_next_begins_and_knows_nothing_of_it(grocery, back):
    earlier = eval_windows.window(grocery, back)
    assert earlier.cut == grocery.cut - back * WINDOW_DAYS * DAY
    assert earlier.log.timestamp.max() < earlier.cut + WINDOW_DAYS * DAY
    assert earlier.known_log.timestamp.max() < earlier.cut
    cases = recommendation_cases(earlier.log, earlier.cut)
    first = DAYS - WINDOW_DAYS * (back + 1)
    assert sorted(cases.relevant[0]) == [0, *range(first, first + WINDOW_DAYS)]
    assert cases.seen[0].rows.max() == first - 1


def results(**of_entrants):
    rankings = {who: Ranking([], {"ndcg_at_10": np.asarray([value])}) for who, value in of_entrants.items()}
    return Results({}, dict.fromkeys(eval_windows.SETS, rankings))


def test_each_window_stands_beside_the_mean_and_the_best_entrant_on_top():
    windows = [results(ranker=0.5, random=0.1), results(ranker=0.3, random=0.3)]
    found = eval_windows.figures(windows)
    assert found["search"]["ranker"] == pytest.approx((0.4, np.std([0.5, 0.3], ddof=1)))
    head, first, second = eval_windows.table(found["search"], windows, "search")
    assert head == ["", "mean", "deviation", "last", "1 back"]
    assert first == ["ranker", "0.4", "0.1414", "0.5", "0.3"]
    assert second[0] == "random"
