"""Under load answers go without parts, in the stated order, and have them again when the load is gone."""

from __future__ import annotations

import json

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.executor import GraphExecutor
from fuserank_ensemble.graph.load_level import SHED_ORDER, STEP_SECONDS, LoadLevel
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.graph.steps.retrieve import Retrieve
from support.graph_answer import Answer, raw_request

FULL = 8


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def observe(level, clock, requests, seconds):
    clock.now += seconds
    return level.observe(requests)


def test_parts_go_one_by_one_in_the_stated_order_and_come_back(clock):
    level = LoadLevel(FULL, clock)
    assert level.observe(FULL) == frozenset()
    for count in range(1, len(SHED_ORDER) + 1):
        assert observe(level, clock, FULL, STEP_SECONDS) == frozenset(SHED_ORDER[:count])
    assert observe(level, clock, FULL, STEP_SECONDS) == frozenset(SHED_ORDER)
    for count in reversed(range(len(SHED_ORDER) + 1)):
        assert observe(level, clock, FULL - 1, STEP_SECONDS) == frozenset(SHED_ORDER[:count])


def test_a_pause_is_no_load_and_ends_it(clock):
    level = LoadLevel(FULL, clock)
    assert observe(level, clock, FULL, 3_600) == frozenset()
    assert observe(level, clock, FULL, 3_600) == frozenset(SHED_ORDER[:1])
    for _ in range(20):
        observe(level, clock, FULL, STEP_SECONDS)
    assert observe(level, clock, 1, 3_600) == frozenset()


def test_full_batches_now_and_then_leave_nothing_out(clock):
    level = LoadLevel(FULL, clock)
    assert {observe(level, clock, FULL - at % 2, 0.1) for at in range(100)} == {frozenset()}


class Level:
    """A load level that stands still."""

    def __init__(self, *parts):
        self.parts = frozenset(parts)

    def observe(self, requests):
        return self.parts


@pytest.fixture(scope="module")
def graph(tiny_bundle):
    return LocalGraph(Bundle.open(tiny_bundle))


@pytest.fixture
def ask(graph):
    """Asks a graph whose step `retrieve` goes without some parts."""

    def ask_without(parts, query="milk", user="u00", **options):
        steps = {**graph._steps, "retrieve": Retrieve(graph.bundle, "cpu", None, Level(*parts))}
        executor = GraphExecutor(search_stages(graph.bundle.spec), steps, {})
        (answer,) = executor.execute([raw_request(query, user, json.dumps(options))])
        return Answer(answer)

    return ask_without


def test_who_names_no_deadline_gets_the_whole_answer(ask):
    whole, loaded = ask(()), ask(SHED_ORDER)
    assert loaded.ids == whole.ids
    assert loaded.status["degraded"] == []


def test_diversity_is_left_out_and_told_where_it_was_asked_for(ask):
    loaded = ask(["diversity"], diversity=1.0, deadline_ms=60_000)
    assert loaded.status["degraded"] == ["diversity"]
    assert loaded.ids == ask((), deadline_ms=60_000).ids != ask((), diversity=1.0).ids
    assert ask(["diversity"], deadline_ms=60_000).status["degraded"] == []


def test_facets_are_left_out_and_the_page_and_its_total_stay(ask):
    page = {"facets": ["brand"], "deadline_ms": 60_000, "k": 5}
    whole, loaded = ask((), **page), ask(["facets"], **page)
    assert loaded.status["degraded"] == ["facets"]
    assert "facets" in whole.status
    assert "facets" not in loaded.status
    assert loaded.status["total"] == whole.status["total"]
    assert loaded.ids == whole.ids


def test_the_ranker_gets_the_fewest_candidates_that_fill_the_list(ask, graph):
    loaded = ask(["ranker_depth"], k=10, deadline_ms=60_000)
    assert loaded.status["degraded"] == ["ranker_depth"]
    assert loaded.status["returned"] == 10
    assert loaded.status["candidates"]["fused"] <= graph.bundle.spec.candidate_buckets[0]


def test_of_a_query_only_the_text_channels_are_asked_and_a_user_alone_keeps_all(ask):
    loaded = ask(["channels"], deadline_ms=60_000)
    assert loaded.status["degraded"] == ["channels"]
    asked = {name for name, count in loaded.status["candidates"].items() if count}
    assert asked <= {"dense", "lexical", "fused"}
    alone = ask(["channels"], query="", deadline_ms=60_000)
    assert alone.status["degraded"] == []
    assert alone.ids == ask((), query="").ids
