"""Judged queries teach the relevance head: alone, beside a log, and beside a text tower that learned from some."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.contract.options import HEADS
from fuserank_export.sources import InputError
from fuserank_export.sources.interactions import Interactions
from fuserank_export.training.text.data.labels import LabelledQuery, split_labelled_queries
from support.habits import COUNT, ITEMS, LOG, SHOP, knowing

pytest.importorskip("torch")

from fuserank_export.checks import check_both
from fuserank_export.training.cases.judged import judged_queries
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.train import objective, train_ranker

pytestmark = pytest.mark.usefixtures("one_thread")
SEED = 3
# People say that only cheap items answer: retrieval knows nothing of it, the ranker sees prices.
PRICES = ITEMS.columns.by_name["price"].values
CHEAP = np.flatnonzero(np.nanquantile(PRICES, 0.2) > PRICES).astype(np.int32)
DEAR = np.setdiff1d(np.arange(COUNT, dtype=np.int32), CHEAP)
QUERIES = [
    LabelledQuery(f"{leaf} {i}", CHEAP, DEAR[:5]) for i in range(50) for leaf in ("milk", "tea", "soap", "milk or tea")
]
PARTS = split_labelled_queries(QUERIES, SEED, source="judged.tsv", remedy="")


def texts(part):
    return {query.text for query in part}


def test_a_ranker_without_a_tower_learns_from_all_but_the_held_out_queries():
    queries = judged_queries(PARTS, has_tower=False)
    assert texts_of(queries) == texts(PARTS.train) | texts(PARTS.validation)
    assert {query.kind for query in queries} == {"query"}
    assert all(query.clicked is None and query.purchased is None for query in queries)


def test_a_ranker_with_a_tower_learns_from_queries_that_the_tower_did_not():
    assert texts_of(judged_queries(PARTS, has_tower=True)) == texts(PARTS.validation)


def texts_of(queries):
    return {query.query for query in queries}


def test_without_a_log_the_ranker_learns_what_people_judged_and_beats_fusion_by_it(builder):
    nothing = Interactions.empty()
    judged = judged_queries(PARTS, has_tower=False)
    settings = FitSettings(epochs=4, least_steps=25)
    _, report = train_ranker(nothing, SHOP, builder, knowing(nothing), judged=judged, settings=settings, seed=SEED)
    assert (report.source, report.judged_queries) == ("judgements", len(judged))
    assert report.cases + report.validation_cases == len(judged)
    assert objective(report) == {"relevance": 1.0, "click": 0.0, "purchase": 0.0}
    measured = report.ndcg_at_10["query"]
    print(measured)
    assert measured["head"] == "relevance"
    assert measured["ranker"] > measured["fusion"] + 0.1


def test_beside_a_log_judged_queries_join_what_it_teaches(builder):
    judged = judged_queries(PARTS, has_tower=True)
    settings = FitSettings(epochs=1)
    with_, without = (
        train_ranker(LOG, SHOP, builder, knowing(LOG), judged=queries, cases=20, settings=settings, seed=SEED)[1]
        for queries in (judged, [])
    )
    assert with_.source == without.source == "log"
    assert (with_.judged_queries, without.judged_queries) == (len(judged), 0)
    first = len(judged) * 4 // 5
    assert with_.cases == without.cases + first
    assert with_.validation_cases == without.validation_cases + len(judged) - first
    assert with_.heads["relevance"] > without.heads["relevance"]
    others = [head for head in HEADS if head != "relevance"]
    assert [with_.heads[head] for head in others] == [without.heads[head] for head in others]


@pytest.mark.parametrize("given", [("queries.tsv", None), (None, "judgements.tsv")])
def test_one_file_without_the_other_is_refused(given):
    with pytest.raises(InputError, match="--queries and --judgements: found one of them; allowed: both or neither"):
        check_both(*given)
