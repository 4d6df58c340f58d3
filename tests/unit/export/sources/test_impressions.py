"""Impressions are read apart from events, and every row is counted."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from fuserank_export.sources import Interactions, read_interactions
from fuserank_export.sources.impressions import Impressions

NOW = 1_700_000_000
CATALOG = ["10", "9", "milk"]


def event(**more):
    return {"user_id": "ann", "item_id": "milk", "event": "view", "timestamp": NOW - 1_000} | more


def impression(**more):
    return event(event="impression", **more)


EVENT_ROWS = [
    event(user_id="zoe", event="purchase", timestamp=NOW, value=2.5, query="milk", store="north"),
    event(item_id="9", timestamp=NOW - 50),
]
IMPRESSION_ROWS = [
    impression(user_id="zoe", position=2, session_id="s1", query="tea", timestamp=NOW - 5, store="south"),
    impression(user_id="eve", position=1, session_id=7, item_id="10", timestamp=NOW - 9),
    impression(user_id="bob", position="", session_id="s1", timestamp=NOW - 7),
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_impressions_are_kept_apart_in_order_of_time(request, kind):
    rows = [event(position=None, session_id=None), *IMPRESSION_ROWS, *EVENT_ROWS]
    for row in rows:
        row["position"] = None if row.get("position") in (None, "") else row["position"]
        row["session_id"] = None if row.get("session_id") is None else str(row["session_id"])
    log = read_interactions(request.getfixturevalue(f"write_{kind}")(rows), CATALOG, now=NOW, chunk_rows=2)
    impressions = log.impressions
    assert log.user_ids == ["ann", "zoe"]  # bob and eve have no events
    assert impressions.user.tolist() == [3, 2, 1]
    assert impressions.item.tolist() == [0, 2, 2]
    assert impressions.timestamp.tolist() == [NOW - 9, NOW - 7, NOW - 5]
    assert impressions.position.tolist() == [1, 0, 2]
    assert impressions.queries == ["tea"]
    assert impressions.query.tolist() == [-1, -1, 0]
    assert impressions.session[1] == impressions.session[2] != impressions.session[0]
    assert (impressions.session != 0).all()
    arrays = [field.name for field in fields(Impressions) if field.name not in ("queries", "bundles")]
    assert {name: getattr(impressions, name).dtype.name for name in arrays} == {
        "user": "int32", "item": "int32", "timestamp": "int64", "query": "int32", "position": "int32",
        "session": "uint64", "propensity": "float32", "bundle": "int32",
    }  # fmt: skip
    assert (log.report.read, log.report.kept, log.report.impressions, log.report.bad) == (6, 3, 3, 0)
    assert log.report.warnings == {"impression without a position": 1}
    assert "6 rows read, 3 kept, 0 bad, 3 impressions" in str(log.report)
    assert log.report.summary()["impressions"] == 3


def test_impressions_change_nothing_else_of_a_log(write_jsonl):
    with_impressions = read_interactions(
        write_jsonl([*IMPRESSION_ROWS, *EVENT_ROWS, *IMPRESSION_ROWS], "a.jsonl"), CATALOG, now=NOW
    )
    without = read_interactions(write_jsonl(EVENT_ROWS, "b.jsonl"), CATALOG, now=NOW)
    assert len(with_impressions.impressions) == 6
    assert len(without.impressions) == 0
    for field in fields(Interactions):
        if field.name in ("report", "impressions", "places", "segments", "negatives"):
            continue
        np.testing.assert_array_equal(getattr(with_impressions, field.name), getattr(without, field.name), field.name)
    assert {name: (codes.tolist(), names) for name, (codes, names) in with_impressions.places.items()} == {
        "store": ([-1, 0], ["north"])
    }


def test_what_a_reply_says_of_how_an_item_was_shown_is_kept(write_jsonl):
    rows = [
        impression(position=1, propensity=0.25, bundle="b2"), impression(position=2, propensity="1", bundle="b1"),
        impression(position=3), event(propensity=7, bundle="b9"),
    ]  # fmt: skip
    log = read_interactions(write_jsonl(rows), CATALOG, now=NOW)
    shown = log.impressions
    np.testing.assert_array_equal(shown.propensity, np.asarray([0.25, 1, np.nan], np.float32))
    assert [shown.bundles[code] if code >= 0 else None for code in shown.bundle] == ["b2", "b1", None]
    assert (len(log), log.report.bad) == (1, 0)


@pytest.mark.parametrize("value", [0, -0.1, 1.01, "likely", True, [1], "1_0", "inf"])
def test_a_propensity_that_is_no_probability_is_a_bad_row_with_its_line(write_jsonl, value):
    rows = [impression(position=1, propensity=0.5), impression(position=2, propensity=value)]
    report = read_interactions(write_jsonl(rows), CATALOG, now=NOW, max_bad_share=1).report
    assert (report.impressions, report.bad) == (1, 1)
    assert (report.examples[0].line, report.examples[0].column) == (2, "propensity")


@pytest.mark.parametrize("value", [0, -1, 1.5, "first", 10_001, True, [1]])
def test_a_bad_position_is_a_bad_row_with_its_line(write_jsonl, value):
    rows = [impression(position=1), impression(position=value), event(position=value)]
    report = read_interactions(write_jsonl(rows), CATALOG, now=NOW, max_bad_share=1).report
    # The position of another event is not used and not validated.
    assert (report.read, report.kept, report.impressions, report.bad) == (3, 1, 1, 1)
    assert report.examples[0].line == 2
    assert report.examples[0].column == "position"
    assert report.examples[0].file.endswith("rows.jsonl")


def test_a_bad_position_is_reported_with_the_allowed_range(write_csv):
    report = read_interactions(write_csv([impression(position="0")]), CATALOG, now=NOW, max_bad_share=1).report
    assert report.examples[0].reason == "not a place in a list; allowed: whole numbers from 1 to 10,000"


def test_impressions_of_unknown_items_or_without_a_user_are_counted(write_csv):
    rows = [impression(position=1), impression(position=2, item_id="gone"), impression(user_id="", position=3), event()]
    log = read_interactions(write_csv(rows), CATALOG, now=NOW, max_bad_share=0.5)
    report = log.report
    assert (report.read, report.kept, report.impressions, report.bad, report.unknown_item) == (4, 1, 1, 1, 1)
    assert dict(report.reasons) == {"user_id: missing": 1}


def test_a_log_of_impressions_alone_holds_no_events(write_csv):
    log = read_interactions(write_csv([impression(position=1), impression(position=2, item_id="9")]), CATALOG, now=NOW)
    assert (len(log), log.user_ids, log.queries, log.places) == (0, [], [], {})
    assert log.impressions.user.tolist() == [0, 0]
    assert "nothing is left" not in str(log.report)


def test_positions_and_sessions_may_be_left_out(write_csv):
    impressions = read_interactions(write_csv([impression(), impression(item_id="9")]), CATALOG, now=NOW).impressions
    assert impressions.position.tolist() == [0, 0]
    assert impressions.session.tolist() == [0, 0]
