"""Figures of retrieval: recall by list, what one channel alone finds, and judged queries of the Chinese shop."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("ir_measures")
from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.retrieval.channels.registry import CHANNELS
from fuserank_ensemble.understanding.query import UnderstoodQuery
from fuserank_evaluation.datasets.bundle_encoder import BundleEncoder
from fuserank_evaluation.datasets.cases import search_cases
from fuserank_evaluation.datasets.chinese import open_chinese_shop
from fuserank_evaluation.retrieval.judged import evaluate_chinese
from fuserank_evaluation.retrieval.recall import CUTS, count_unique, evaluate_grocery
from fuserank_evaluation.retrieval.run import MEANINGS
from support import habits


def test_only_relevant_items_that_no_other_list_has_are_unique():
    ranked = [np.asarray([1, 2, 3]), np.asarray([4])]
    others = [[np.asarray([1]), np.asarray([5])], [np.asarray([9]), np.asarray([4])]]
    assert count_unique(ranked, others, [np.asarray([1, 2, 7]), np.asarray([4, 5])]) == 1


def test_grocery_figures_hold_the_recall_of_every_list(tmp_path):
    types = np.asarray([habits.QUERIES[leaf] for leaf in habits.LEAF], object)
    cases = search_cases(habits.LOG, types, habits.FROM, 60, seed=1)
    builder = habits.case_builder(tmp_path / "index")
    encoder = BundleEncoder.__new__(BundleEncoder)
    encoder.spec, encoder.embed = habits.SPEC, habits.embed
    encoder.bundle = SimpleNamespace(query_parser=SimpleNamespace(parse=UnderstoodQuery.plain))
    grocery = SimpleNamespace(
        case_sets=SimpleNamespace(search=cases),
        bundle=SimpleNamespace(catalog=lambda device: builder.catalog),
        interaction_index=habits.knowing(habits.LOG),
        cut=habits.FROM,
    )
    figures = evaluate_grocery(grocery, encoder)
    assert {name for name in MEANINGS if name.startswith(("grocery", "graph"))} <= set(figures)
    assert {f"grocery_recall_at_{cut}_{name}" for cut in CUTS for name in CHANNELS} <= set(figures)
    assert figures["grocery_relevant"] == sum(map(len, cases.relevant))
    assert figures["grocery_recall_at_200_fused"] > 0.9
    # The 30 items of a type stand in the lexical list's first 50, so that every answer does.
    assert figures["grocery_recall_at_50_lexical"] == figures["grocery_recall_at_200_lexical"] == 1.0


def test_the_chinese_shop_is_measured_from_its_files(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # embedded texts are kept in build/eval
    (tmp_path / "index").mkdir()
    encoder = BundleEncoder(Bundle.open(tiny_bundle, verify=()))
    figures = evaluate_chinese(open_chinese_shop(encoder, tmp_path / "index"), encoder)
    assert figures["chinese_queries"] == 60
    assert figures["chinese_without_result"] == 0
    assert figures["chinese_ndcg_at_10_lexical"] > 0.6
    assert {name for name in MEANINGS if name.startswith("chinese")} <= set(figures)
