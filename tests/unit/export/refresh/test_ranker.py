"""The next bundle's ranker goes on from the last one's where that ranks the latest requests better, and says if not."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch

from fuserank_ensemble.bundle import RANKER_WEIGHTS, Bundle
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.spec import RANKED_KINDS
from fuserank_ensemble.state.entries import Interaction
from fuserank_ensemble.state.settings import State, StateSettings
from fuserank_export.builder.options import OutputOptions
from fuserank_export.refresh import gate
from fuserank_export.refresh import ranker as ranking
from fuserank_export.refresh import refresh as refreshing
from fuserank_export.refresh.ranker import RankerReport
from fuserank_export.refresh.refresh import refresh_bundle
from fuserank_export.training.model.ranker import Ranker
from fuserank_export.training.model.weights import open_ranker
from support.exporting import silent
from support.tiny_shop import KINDS

WEEK = 7 * 86_400
WEIGHTS = f"index/{RANKER_WEIGHTS}"
ENGINE = "model_repository/ranker/1/model.onnx"


def ranked(bundle: Bundle, **manifest) -> Bundle:
    """The bundle, as if its ranker had been shown to order every kind of request."""
    return Bundle(bundle.root, {**bundle.manifest, **manifest}, replace(bundle.spec, ranked_kinds=RANKED_KINDS))


@pytest.fixture(scope="module")
def old(tiny_bundle) -> Bundle:
    return ranked(Bundle.open(tiny_bundle))


@pytest.fixture(scope="module", autouse=True)
def any_loss_of_earlier_requests_is_allowed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "MAX_NDCG_LOSS", 1.0)
        yield


def state_of(path, shop, rounds: int, at_once: bool = False) -> State:
    """A log in which all users ask for each category, as often as there are rounds, and now buy the dearest of it."""
    state = State.open(StateSettings(f"sqlite:{path}"))
    start = time.time() - WEEK
    after = [0.0 if at_once and turn < rounds - 1 else turn * WEEK / rounds for turn in range(rounds)]
    asked = [
        (turn, user, category, items[(turn + int(user[1:])) % 3])
        for turn in range(rounds)
        for user in shop.favourites
        for category, items in dearest(shop).items()
    ]
    state.log.append(
        Interaction(
            event_id=f"e{number}", item_id=item, event="purchase", timestamp=start + after[turn],
            query=category, user=state.key.user(user), session=b"",
        )
        for number, (turn, user, category, item) in enumerate(asked)
    )  # fmt: skip
    return state


def dearest(shop) -> dict[str, list[str]]:
    """By category as people write it, its items, the dearest first."""
    return {
        category.rsplit(" > ", 1)[-1].lower(): sorted(
            shop.ids(category=category), key=lambda item: -float(shop.items[item]["price"] or 0)
        )
        for category in KINDS
    }


@pytest.fixture(scope="module")
def refreshed(old, tiny_shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranker")
    state = state_of(folder / "log.sqlite", tiny_shop, 5)
    return refresh_bundle(old, state, OutputOptions(folder=folder / "next"), silent()), Bundle.open(folder / "next")


def shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    dim, events, candidates = bundle.spec.embedding_dim, bundle.spec.events, bundle.spec.candidate_buckets[0]
    return {
        "features": (1, candidates, len(bundle.layout.features)), "vectors": (1, candidates, dim),
        "events": (1, events, dim), "moments": (1, events, MOMENT_DIM),
    }  # fmt: skip


def test_it_learns_what_people_want_since_the_last_bundle(refreshed):
    manifest, _ = refreshed
    report = RankerReport(**manifest["refresh"]["ranker"])
    assert report.taken
    assert min(report.cases, report.held_out) >= ranking.LEAST_CASES
    assert report.ndcg_after > report.ndcg_before
    assert not report.note


def test_the_next_bundle_serves_what_it_learned(old, refreshed):
    _, new = refreshed
    assert all(old.manifest["files"][name] != new.manifest["files"][name] for name in (WEIGHTS, ENGINE))
    assert new.manifest["ranker"]["cases"] == old.manifest["ranker"]["cases"]  # what it went on from
    assert new.manifest["ranker"]["engines"]["model.onnx"]["max_abs_diff"] < 1e-4
    weights = open_ranker(new.root / WEIGHTS, new.spec.embedding_dim, new.layout)
    assert isinstance(weights, Ranker)
    case = {name: torch.zeros(shape) for name, shape in shapes(new).items()}
    inputs = {name.upper(): tensor.numpy() for name, tensor in case.items()}
    heads = ort.InferenceSession(str(new.root / ENGINE)).run(["HEADS"], inputs)[0]
    with torch.no_grad():
        expected = weights(**case, reading=torch.full(case["features"].shape[:2], torch.nan))[0]
    np.testing.assert_allclose(heads, expected.numpy(), atol=1e-4)
    assert len(LocalGraph(new).search("dairy", k=5)["ITEM_ID"][0]) == 5


def test_of_few_requests_nothing_is_learned_and_the_ranker_stays(old, tiny_shop, tmp_path):
    state = state_of(tmp_path / "log.sqlite", tiny_shop, 1)
    manifest = refresh_bundle(old, state, OutputOptions(folder=tmp_path / "next"), silent())
    report = RankerReport(**manifest["refresh"]["ranker"])
    assert (report.taken, report.ndcg_after) == (False, None)
    assert f"it takes {ranking.LEAST_CASES} of each" in report.note
    assert all(old.manifest["files"][name] == manifest["files"][name] for name in (WEIGHTS, ENGINE))


def test_where_little_is_new_a_refresh_is_cheap(old, tiny_shop, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking, "LEAST_NEW", 0.9)
    monkeypatch.setattr(ranking, "_build_cases", lambda *arguments: 1 / 0)
    state = state_of(tmp_path / "log.sqlite", tiny_shop, 1)
    manifest = refresh_bundle(old, state, OutputOptions(folder=tmp_path / "next"), silent())
    assert "48 events came after the 1,440 of the last bundle; it takes 90%" in manifest["refresh"]["ranker"]["note"]


def test_where_all_but_the_latest_came_in_one_moment_nothing_is_learned(old, tiny_shop, tmp_path):
    state = state_of(tmp_path / "log.sqlite", tiny_shop, 10, at_once=True)
    manifest = refresh_bundle(old, state, OutputOptions(folder=tmp_path / "next"), silent())
    assert manifest["refresh"]["ranker"]["note"].startswith("0 requests since the last bundle")


def test_one_that_ranks_the_latest_requests_worse_is_not_taken(old, tiny_shop, tmp_path, monkeypatch):
    def spoiled(learned, later, vectors, *_, start, layout):
        reversing = deepcopy(start)
        reversing.slope.neg_()
        return reversing, []

    monkeypatch.setattr(ranking, "fit", spoiled)
    state = state_of(tmp_path / "log.sqlite", tiny_shop, 5)
    manifest = refresh_bundle(old, state, OutputOptions(folder=tmp_path / "next"), silent())
    report = RankerReport(**manifest["refresh"]["ranker"])
    assert not report.taken
    assert report.ndcg_after <= report.ndcg_before
    assert "within the scatter" in report.note
    assert old.manifest["files"][WEIGHTS] == manifest["files"][WEIGHTS]


def test_one_that_costs_earlier_requests_too_much_is_taken_back(old, tiny_shop, tmp_path, monkeypatch):
    checked, check = [], refreshing.check_refreshed

    def refuse_first(*arguments):
        report = check(*arguments)
        checked.append(report)
        return report if len(checked) > 1 else replace(report, problems=("nDCG@10 fell",))

    monkeypatch.setattr(refreshing, "check_refreshed", refuse_first)
    state = state_of(tmp_path / "log.sqlite", tiny_shop, 5)
    manifest = refresh_bundle(old, state, OutputOptions(folder=tmp_path / "next"), silent())
    report = RankerReport(**manifest["refresh"]["ranker"])
    assert (report.taken, report.note, len(checked)) == (False, "nDCG@10 fell", 2)
    assert all(old.manifest["files"][name] == manifest["files"][name] for name in (WEIGHTS, ENGINE))
    assert Bundle.open(tmp_path / "next").id == manifest["id"]
    assert Bundle.open(old.root).id == old.id  # its files, which the next one shares, are as they were


@pytest.mark.parametrize(
    ("bundle", "note"),
    [
        (lambda old: Bundle(old.root, old.manifest, replace(old.spec, ranked_kinds=())), "fusion orders"),
        (lambda old: Bundle(old.root, old.manifest, replace(old.spec, text_candidates=16)), "text tower"),
        (lambda old: ranked(old, engines={"cpu": {"chosen": {"ranker": "model.int8.onnx"}}}), "model.int8.onnx"),
    ],
)
def test_what_it_cannot_go_on_from_is_said(old, bundle, note):
    continued = ranking.continue_ranker(bundle(old), None, None, None, 1, silent())
    assert continued.taken is None
    assert note in continued.report.note
