"""Each rule speaks where its figures call for it, and is silent where they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.metrics.significance import Comparison
from fuserank_evaluation.shop.advice import Facts, Outcome, advise, verdicts
from fuserank_evaluation.shop.exposure import Exposure
from fuserank_evaluation.shop.health import CatalogHealth
from fuserank_evaluation.shop.inputs import FileRows, MeasuredLog
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.segments import Segment

BETTER = Comparison(0.1, 0.05, 0.15, 0.01, 0.01, 0.01)
WORSE = Comparison(-0.1, -0.15, -0.05, 0.01, 0.01, 0.01)
UNCERTAIN = Comparison(0.1, -0.05, 0.25, 0.2, 0.01, 0.01)
HEALTH = CatalogHealth(100, {"description": 0.1, "price": 0.0}, 0.0, (), 9, (), 0.1)
SEARCH = Outcome(500, 0.5, "bm25", 0.4, UNCERTAIN, {"not found": 0.1, "ranked below ten": 0.1, "no answer": 0.0})
EXPOSURES = (Exposure("search", PRODUCT, 0.4, 0.3), Exposure("search", "taken", None, 0.3))
LOG = MeasuredLog(events=10_000, days=365.0, windows=2, wanted=2)
QUIET = Facts(
    outcomes={"search": SEARCH},
    segments=(),
    exposures=EXPOSURES,
    health=HEALTH,
    log=LOG,
    files=(FileRows("log.csv", read=1_000, bad=9, unknown_item=1),),
    has_queries=True,
    judged=50,
    taught=0,
    unread_scripts=(),
    unranked="",
    quality="full",
)


def searches(**changes):
    return {"outcomes": {"search": replace(SEARCH, **changes)}}


def segment(comparison):
    return {"segments": [Segment("search", "user", "new", 200, 0.2, "als", 0.3, comparison)]}


def test_nothing_is_advised_where_nothing_is_wrong():
    assert advise(QUIET) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (searches(comparison=BETTER), "better for searches"),
        (searches(comparison=WORSE), "BM25 orders better. Do not replace it yet: look at the worst searches"),
        (searches(comparison=WORSE) | {"quality": "quick"}, "with --quality full"),
        (searches(cases=99), "Fewer than 100 requests tell of searches"),
        ({"log": MeasuredLog(0, 0.0, 0, 2), "has_queries": False}, "There is no log"),
        ({"log": replace(LOG, events=5, days=0.5, windows=0)}, "5 events of 0.5 days, and no window of time"),
        ({"log": replace(LOG, windows=1)}, "enough for 1 of 2 windows"),
        (
            {"files": (FileRows("log.csv", read=1_000, bad=9, unknown_item=2),)},
            "11 of 1,000 rows of log.csv are left out: 9 could not be used, 2 are of items",
        ),
        ({"has_queries": False}, "Log the query"),
        ({"judged": 0}, "Nobody judged"),
        ({"unranked": "query (3 of the 10 cases)"}, "does not order every kind"),
        (searches(lost={"no answer": 0.03}), "3% of searches get no answer"),
        (searches(lost={"not found": 0.21}), "--synonyms"),
        (searches(lost={"ranked below ten": 0.31}), "text tower"),
        ({"unread_scripts": ("han",)}, "multilingual encoder"),
        (segment(WORSE), "user new: ALS is better"),
        ({"exposures": (replace(EXPOSURES[0], popular=0.46), EXPOSURES[1])}, "diversity"),
        ({"exposures": (replace(EXPOSURES[0], coverage=0.04), EXPOSURES[1])}, "4.0% of the catalogue"),
        ({"health": replace(HEALTH, missing={"price": 0.21})}, "21% of the items have no price"),
        ({"health": replace(HEALTH, duplicate_titles=0.06)}, "share their title"),
        ({"health": replace(HEALTH, dead_categories=(("Toys", 3),))}, "Of 1 of 9 categories"),
    ],
)
def test_one_wrong_figure_has_one_remedy(changes, words):
    (sentence,) = advise(replace(QUIET, **changes))
    assert words in sentence


@pytest.mark.parametrize(
    "changes",
    [
        segment(BETTER),
        segment(UNCERTAIN),
        searches(lost={"no answer": 0.02, "not found": 0.2, "ranked below ten": 0.3}),
        {"health": replace(HEALTH, missing={"image_url": 1.0}, duplicate_titles=0.05)},
        {"outcomes": {"made_up": replace(SEARCH, comparison=BETTER)}},
    ],
)
def test_a_figure_within_its_bounds_needs_none(changes):
    assert advise(replace(QUIET, **changes)) == []


@pytest.mark.parametrize(
    ("comparison", "words"), [(BETTER, "is better than"), (WORSE, "is worse than"), (UNCERTAIN, "does not differ")]
)
def test_the_verdict_takes_all_three_tests(comparison, words):
    (sentence,) = verdicts(replace(QUIET, **searches(comparison=comparison)))
    assert words in sentence
    assert "BM25" in sentence


def test_a_set_without_another_method_has_nothing_to_compare():
    (sentence,) = verdicts(replace(QUIET, **searches(comparison=None, baseline="")))
    assert "nothing to compare" in sentence


def test_where_nothing_was_asked_that_is_said():
    (sentence,) = verdicts(replace(QUIET, outcomes={}))
    assert "nothing to ask" in sentence


def test_the_name_of_a_method_keeps_its_capitals():
    sentence = verdicts(replace(QUIET, **searches(baseline="item_item")))[0]
    assert sentence.startswith("Searches: FuseRank")
    assert "item-item" in sentence
