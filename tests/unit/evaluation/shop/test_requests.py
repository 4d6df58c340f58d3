"""Requests of several windows are put together, whatever the shop has: logged queries, categories, or titles alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.datasets.cases import recommendation_cases
from fuserank_evaluation.datasets.judged import JudgedQueries
from fuserank_evaluation.shop.exposure import exposures
from fuserank_evaluation.shop.health import FIELDS, examine
from fuserank_evaluation.shop.inputs import ShopData, whole_grades
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.requests import RequestSet, judged_cases, log_cases, made_up_cases, popular_head
from fuserank_evaluation.shop.segments import is_short, segments
from fuserank_export.builder.options import InputFiles
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.judgements import read_judgements
from fuserank_export.sources.reading import Reading
from support.hand_log import CUT, EVENTS_BY_HAND, LOG, make_items, make_log

HEAD = np.asarray([True, False, False, False, False])


def method(name, *lists):
    return SimpleNamespace(name=name, rank=lambda cases: [np.asarray(rows, np.int32) for rows in lists] or None)


def by_case(cases):
    return {
        (int(user), query): rows.tolist()
        for user, query, rows in zip(cases.users, cases.queries, cases.relevant, strict=True)
    }


def test_a_log_with_queries_is_asked_what_its_users_asked():
    asked = np.where(LOG.item == 3, 0, -1).astype(np.int32)
    cases = {one.name: one for one in log_cases(replace(LOG, query=asked, queries=["tea"]), make_items(), CUT, 100)}
    assert by_case(cases["search"]) == {(0, "tea"): [3]}
    assert set(by_case(cases["recommendation"])) == {(0, ""), (1, ""), (2, "")}  # household 2 is new
    assert by_case(cases["discovery"]) == {(0, ""): [3, 4], (1, ""): [1]}


def test_a_log_without_queries_and_categories_has_recommendations_alone():
    assert [cases.name for cases in log_cases(LOG, make_items(), CUT, 100)] == ["recommendation", "discovery"]


def test_a_catalogue_alone_is_asked_words_of_its_titles():
    titles = ["oak chair", "pine chair", "steel lamp", "glass vase", "wool rug"]
    cases = made_up_cases(make_items(), titles, 100)
    assert len(cases) == 5
    for query, rows in zip(cases.queries, cases.relevant, strict=True):
        # Some are reworded, such as a plural.
        assert all(any(word[:3] in titles[row] for word in query.split()) for row in rows)


def test_windows_add_up_and_a_method_that_misses_one_is_left_out():
    cases = recommendation_cases(LOG, CUT)
    requests = RequestSet("recommendation")
    ours, other = method(PRODUCT, [0, 3], [1]), method("als", [2], [2])
    requests.add(cases, [ours, other, method("lightgbm", [0], [1])], cases.relevant, window=0, head=HEAD)
    requests.add(cases, [ours, other, method("lightgbm")], cases.relevant, window=1, head=HEAD)
    assert list(requests.values) == [PRODUCT, "als"]
    assert (len(requests), requests.windows) == (4, [0, 0, 1, 1])
    assert requests.mean(PRODUCT) > requests.mean("als") == 0.0
    assert requests.best_baseline == "als"


def test_grades_of_people_count():
    judged = JudgedQueries({"a": "milk"}, {"a": {"0": 1, "1": 3, "2": 0}})
    cases, requests = judged_cases(judged), RequestSet("judged")
    assert by_case(cases) == {(-1, "milk"): [0, 1]}
    requests.add(cases, [method(PRODUCT, [1, 0]), method("bm25", [0, 1])], [[]], window=0, head=HEAD, judged=judged)
    assert requests.mean(PRODUCT) == 1.0 > requests.mean("bm25")
    assert whole_grades({"a": {0: 0.5, 1: 1.0, 2: 0.0}}) == {"a": {"0": 1, "1": 2, "2": 0}}
    assert whole_grades({"a": {0: 1.0, 1: 4.0}}) == {"a": {"0": 1, "1": 4}}


def test_few_judged_queries_are_asked_and_none_is_taught():
    judged = JudgedQueries({"a": "milk", "b": "tea"}, {"a": {"0": 1}, "b": {"0": 0}})
    data = ShopData(None, pd.DataFrame(), LOG, None, judged)
    assert data.taught is None
    assert list(data.asked.queries) == ["a"]  # nothing answers b


def test_a_log_without_two_moments_has_no_windows():
    for events in ([], EVENTS_BY_HAND[:1]):
        log = make_log(events) if events else Interactions.empty()
        assert ShopData(None, pd.DataFrame(), log, None, None).windows(2) == []


def test_what_a_bundle_learns_from_ends_where_its_window_begins(tmp_path):
    events = tmp_path / "events.parquet"
    pq.write_table(pa.table({"timestamp": [8, 9, 10]}), events)
    data = ShopData(InputFiles(catalog=tmp_path / "items.csv"), pd.DataFrame(), LOG, events, None)
    known = data.files_before(9.5, tmp_path)
    assert pq.read_table(known.interactions)["timestamp"].to_pylist() == [8, 9]


def test_judged_queries_are_written_as_the_shop_says_its_files_are(tmp_path):
    judged = JudgedQueries({f"q{i}": f"绿茶{i}" for i in range(400)}, {f"q{i}": {"0": 1, "1": 2} for i in range(400)})
    catalog = pd.DataFrame({"item_id": ["甲", "乙"]})
    files = InputFiles(catalog=tmp_path / "items.csv", reading=Reading(encoding="gb18030"))
    known = ShopData(files, catalog, LOG, None, judged).files_before(None, tmp_path)
    read = read_judgements(known.queries, known.judgements, ["甲", "乙"], encoding="gb18030")
    assert "绿茶" in next(iter(read.queries.values()))


def test_the_head_has_half_of_the_events():
    assert popular_head(np.asarray([1, 6, 2, 0, 3], np.float32)).tolist() == [False, True, False, False, False]
    assert not popular_head(np.zeros(3, np.float32)).any()


def test_segments_tell_where_it_is_better():
    count = 24
    requests = RequestSet(
        "search",
        queries=["milk", "half gallon of whole milk"] * (count // 2),
        known=[True, False] * (count // 2),
        relevant=[np.asarray([0], np.int32), np.asarray([1], np.int32)] * (count // 2),
        head=[HEAD] * count,
        windows=[0] * count,
    )
    right, wrong = [np.asarray([0], np.int32)] * count, [np.asarray([4], np.int32)] * count
    requests.ranked = {PRODUCT: right, "bm25": wrong}
    hits = np.asarray([1.0, 0.0] * (count // 2))
    requests.values = {PRODUCT: {"ndcg_at_10": hits}, "bm25": {"ndcg_at_10": np.zeros(count)}}
    parts = {(part.kind, part.name): part for part in segments(requests, make_items())}
    assert {key: part.ours for key, part in parts.items()} == {
        ("user", "known"): 1.0,
        ("user", "new"): 0.0,
        ("query", "short"): 1.0,
        ("query", "long"): 0.0,
        ("item", "head"): 1.0,
        ("item", "tail"): 0.0,
    }
    assert parts["user", "known"].comparison.significant
    assert all(part.cases == count // 2 for part in parts.values())


@pytest.mark.parametrize(
    ("query", "short"), [("whole milk", True), ("a b c", False), ("有机绿茶", True), ("有机绿茶礼盒", False)]
)
def test_chinese_queries_are_long_by_their_characters(query, short):
    assert is_short(query) == short


def test_places_of_popular_items_are_counted():
    requests = RequestSet("search", queries=["a"], relevant=[np.asarray([4], np.int32)])
    requests.ranked = {PRODUCT: [np.asarray([0, 1, 2, 3], np.int32)]}
    ours, taken = exposures(requests, np.asarray([9, 1, 1, 1, 1], np.float32))
    assert (ours.coverage, ours.popular) == (0.8, 0.25)
    assert (taken.method, taken.popular) == ("taken", 0.0)


def test_what_a_catalogue_lacks_is_counted():
    rows = pd.DataFrame({name: [None] * 4 for name in FIELDS} | {"title": ["Tea", "tea ", "Milk", "Oil"]})
    rows["category"] = ["Drinks", "Drinks", "Dairy", None]
    health = examine(rows, np.asarray([1, 0, 0, 0], np.float32))
    assert (health.missing["price"], health.missing["category"]) == (1.0, 0.25)
    assert (health.duplicate_titles, health.repeated[0][1]) == (0.5, 2)
    assert (health.dead_categories, health.categories, health.never_taken) == ((("Dairy", 1),), 2, 0.75)
    assert examine(rows, None).dead_categories == ()
