"""A log is read as compact arrays in order of time, and every row is counted."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_ensemble.interactions.events import EVENTS, MOST_A_DAY, NEGATIVE, POSITIVE
from fuserank_export.learning.event_strengths import weigh_log
from fuserank_export.sources import InputError, Interactions, read_interactions
from fuserank_export.sources.archive import SCHEMA
from support.keys import TEST_KEY

NOW = 1_700_000_000
CATALOG = ["10", "9", "milk"]


def event(**more):
    return {"user_id": "ann", "item_id": "milk", "event": "view", "timestamp": NOW - 1_000} | more


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_all_formats_give_the_same_log(request, kind):
    rows = [
        event(user_id="zoe", event="purchase", timestamp=NOW, value=2.5, query=None),
        event(user_id="李雷", item_id="9", timestamp=NOW - 50, value=None, query="半加仑牛奶"),
        event(user_id="ann", event="Rating", timestamp=NOW - 50, value=4.0, query="milk"),
    ]
    log = read_interactions(request.getfixturevalue(f"write_{kind}")(rows), CATALOG, now=NOW, chunk_rows=2)
    assert log.user_ids == ["ann", "zoe", "李雷"]
    assert log.user.tolist() == [2, 0, 1]
    assert log.item.tolist() == [1, 2, 2]
    assert [EVENTS[code] for code in log.event] == ["view", "rating", "purchase"]
    assert log.timestamp.tolist() == [NOW - 50, NOW - 50, NOW]
    assert log.value[1:].tolist() == [4.0, 2.5]
    assert np.isnan(log.value[0])
    assert log.queries == ["milk", "半加仑牛奶"]
    assert log.query.tolist() == [1, 0, -1]
    assert [a.dtype.name for a in (log.user, log.item, log.event, log.timestamp, log.value, log.query)] == [
        "int32", "int32", "uint8", "int64", "float32", "int32",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("user_id", "", "missing"),
        ("user_id", "x" * 257, "too long"),
        ("user_id", "a\nb", "holds control characters"),
        ("item_id", None, "missing"),
        ("item_id", "a\x07b", "holds control characters"),
        ("event", "", "missing"),
        ("event", "purchse", "unknown event"),
        ("timestamp", None, "missing"),
        ("timestamp", "soon", "unreadable timestamp"),
        ("timestamp", str(NOW + 86_401), "in the future"),
        ("timestamp", "-1", "before 1970"),
        ("value", "three", "not a number"),
        ("value", "inf", "not finite"),
        ("value", "1e300", "too large"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_each_bad_value_makes_one_bad_row_with_its_line(request, kind, column, value, reason):
    rows = [event(value="1"), event(value="1"), event(value="1") | {column: value}]
    path = request.getfixturevalue(f"write_{kind}")(rows)
    report = read_interactions(path, CATALOG, now=NOW, max_bad_share=1).report
    assert (report.read, report.kept, report.bad, report.unknown_item) == (3, 2, 1, 0)
    assert dict(report.reasons) == {f"{column}: {reason}": 1}
    assert report.examples[0].line == {"csv": 4, "jsonl": 3}[kind]


def test_an_unknown_event_names_the_most_similar_one(write_csv):
    report = read_interactions(write_csv([event(event="purchse")]), CATALOG, now=NOW, max_bad_share=1).report
    allowed = f"allowed: {', '.join(EVENTS)}, impression; did you mean 'purchase'?"
    assert report.examples[0].reason.endswith(allowed)


def test_every_kind_of_event_is_read_and_those_against_an_item_are_kept_apart(write_csv):
    log = read_interactions(write_csv([event(event=name.upper()) for name in EVENTS]), CATALOG, now=NOW)
    assert [EVENTS[code] for code in log.event] == list(POSITIVE)
    assert [EVENTS[code] for code in log.negatives.event] == list(NEGATIVE) == ["return", "dislike", "hide"]
    assert (log.report.kept, log.report.bad, log.user_ids) == (len(EVENTS), 0, ["ann"])
    assert log.weight is None


def test_unknown_items_are_counted_and_their_users_left_out(write_csv):
    rows = [event(), event(item_id="gone", user_id="bob"), event(item_id="gone"), event(item_id="11"), event(event="?")]
    log = read_interactions(write_csv(rows), CATALOG, now=NOW, max_bad_share=0.2, max_unknown_share=0.75)
    report = log.report
    assert (report.read, report.kept, report.bad, report.unknown_item) == (5, 1, 1, 3)
    assert report.unknown_item_ids == {"gone", "11"}
    assert log.user_ids == ["ann"]
    assert report.summary()["unknown_item_distinct"] == 2
    assert "3 of unknown items" in str(report)


def test_whole_number_ids_match_the_catalogue_in_every_format(write_jsonl, write_parquet):
    rows = [event(user_id=900, item_id=9), event(user_id=901, item_id=10)]
    for write in (write_jsonl, write_parquet):
        log = read_interactions(write(rows), CATALOG, now=NOW)
        assert (log.user_ids, log.item.tolist()) == (["900", "901"], [1, 0])
    floats = pd.DataFrame(rows).astype({"item_id": float, "user_id": float})
    assert read_interactions(write_parquet(floats), CATALOG, now=NOW).item.tolist() == [1, 0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epoch_numbers_in_any_unit_and_parquet_timestamps_agree(write_parquet, unit):
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    numbers = pd.DataFrame([event(), event()]).assign(timestamp=[1_483_271_606 * factor] * 2)
    moments = numbers.assign(timestamp=pd.to_datetime(numbers["timestamp"], unit=unit))
    for frame in (numbers, moments):
        assert read_interactions(write_parquet(frame), CATALOG).timestamp.tolist() == [1_483_271_606] * 2
    gap = moments.assign(timestamp=moments["timestamp"].where([True, False]))
    report = read_interactions(write_parquet(gap), CATALOG, max_bad_share=1).report
    assert dict(report.reasons) == {"timestamp: missing": 1}


def test_a_log_without_a_kept_row_is_empty_and_no_error(write_text, write_csv):
    header_only = read_interactions(write_text("user_id,item_id,event,timestamp\n"), CATALOG)
    all_bad = read_interactions(write_csv([event(event="?")]), CATALOG, max_bad_share=1, now=NOW)
    blank = read_interactions(write_text("\n\n", "x.jsonl"), CATALOG)
    for log in (header_only, all_bad, blank, Interactions.empty()):
        assert len(log) == 0
        assert log.user.dtype == np.int32
        assert log.value.dtype == np.float32
        assert (log.user_ids, log.queries) == ([], [])
        assert "nothing is left" in str(log.report)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_stores_and_regions_are_encoded_in_order_of_time(request, kind):
    rows = [
        event(store="北店", region="east", timestamp=NOW),
        event(store="330", region=None, timestamp=NOW - 3),
        event(store=None, region=None, timestamp=NOW - 2),
        event(store="330", region=" west\t", timestamp=NOW - 1),
    ]
    log = read_interactions(request.getfixturevalue(f"write_{kind}")(rows), CATALOG, now=NOW, chunk_rows=2)
    places = {name: (codes.tolist(), names) for name, (codes, names) in log.places.items()}
    assert places == {
        "store": ([0, -1, 0, 1], ["330", "北店"]),
        "region": ([-1, -1, 1, 0], ["east", "west"]),
    }
    assert all(codes.dtype == np.int32 for codes, _ in log.places.values())


def test_only_stores_of_kept_rows_are_listed(write_csv):
    rows = [event(store="a"), event(store="b", item_id="gone"), event(store="c", event="?")]
    log = read_interactions(write_csv(rows), CATALOG, now=NOW, max_bad_share=0.5)
    assert {name: names for name, (_, names) in log.places.items()} == {"store": ["a"]}


@pytest.mark.parametrize("rows", [[event()], [event(store="", region=None)], [event(store=" \x01")]])
def test_a_log_without_stores_and_regions_has_no_places(write_csv, rows):
    assert read_interactions(write_csv(rows), CATALOG, now=NOW).places == {}
    assert Interactions.empty().places == {}


def test_a_numeric_store_has_one_name_however_it_is_written(write_jsonl, write_parquet):
    for log in (
        read_interactions(write_jsonl([event(store=330), event(store="330"), event(store=330.0)]), CATALOG, now=NOW),
        read_interactions(write_parquet(pd.DataFrame([event(store=330), event(store=np.nan)])), CATALOG, now=NOW),
    ):
        assert log.places["store"][1] == ["330"]


def test_a_store_that_is_not_text_makes_a_bad_row(write_jsonl):
    report = read_interactions(write_jsonl([event(), event(store=["a"])]), CATALOG, now=NOW, max_bad_share=1).report
    assert (report.kept, dict(report.reasons)) == (1, {"store: not text": 1})


def test_too_many_bad_rows_are_an_error(write_csv):
    with pytest.raises(InputError, match=r"1 of 2 rows \(50\.0%\) are bad"):
        read_interactions(write_csv([event(), event(event="?")]), CATALOG, now=NOW)


def test_parquet_rows_are_read_by_the_hundred_thousand_in_a_second_of_cpu(tmp_path):
    rows = 300_000
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 50_000, rows),
            "item_id": rng.integers(0, 90_000, rows).astype(str),
            "event": np.array(POSITIVE)[rng.integers(0, 4, rows)],
            "timestamp": NOW - rng.integers(0, 10**7, rows),
            "value": rng.random(rows).round(2),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet", index=False)
    started = time.process_time()  # of all threads, whatever else the machine does
    catalog = [str(number) for number in range(90_000)]
    log = read_interactions(tmp_path / "log.parquet", catalog, now=NOW)
    seconds = time.process_time() - started
    print(f"{rows / seconds:,.0f} rows a second of CPU time")
    order = frame["timestamp"].to_numpy().argsort(kind="stable")
    assert log.item.tolist() == frame["item_id"].astype(int).to_numpy()[order].tolist()
    users = np.array([int(user_id) for user_id in log.user_ids])
    assert (users[log.user] == frame["user_id"].to_numpy()[order]).all()
    assert seconds < 4.5


NAMES = st.sampled_from(["user_id", "item_id", "event", "timestamp", "value", "query", "store", "region"])
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.lists(st.integers(), max_size=2) | st.sampled_from(["milk", "view", NOW, 9, 9.0, "2017-01-01", "gone"])
)  # fmt: skip
QUICK = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check_counts(log):
    report = log.report
    assert report.read == report.kept + report.bad + report.unknown_item
    assert report.bad == sum(report.reasons.values())
    assert len(log) == report.kept
    for codes, names in log.places.values():
        assert len(codes) == len(log)
        assert sorted({int(code) for code in codes if code >= 0}) == list(range(len(names)))
    json.dumps(report.summary()).encode()


@QUICK
@given(rows=st.lists(st.dictionaries(NAMES, VALUES), max_size=8), noise=st.binary(max_size=20))
def test_counts_add_up_for_random_jsonl(write_text, rows, noise):
    full = [event(), *(event() | row for row in rows), *rows]
    lines = [json.dumps(row).encode() for row in full] + [noise]
    check_counts(
        read_interactions(
            write_text(b"\n".join(lines), "x.jsonl"), CATALOG, max_bad_share=1, max_unknown_share=1, chunk_rows=3
        )
    )


@QUICK
@given(st.lists(st.lists(VALUES.map(str), min_size=3, max_size=6), max_size=8), st.binary(max_size=60))
def test_counts_add_up_for_random_csv(write_text, rows, noise):
    body = "\n".join(",".join(row) for row in rows).encode("utf-8", "ignore")
    content = b"user_id,item_id,event,timestamp,value\n" + body + b"\n" + noise
    check_counts(read_interactions(write_text(content), CATALOG, max_bad_share=1, max_unknown_share=1, chunk_rows=3))


def test_what_is_kept_names_users_and_sessions_by_hash_and_users_as_all_of_the_log_do(write_csv, tmp_path):
    rows = [event(user_id=f"{user}.0", event="impression", session_id="visit-7") for user in (41, 42)]
    log = write_csv([*rows, event(user_id="41", event="purchase")])
    kept = tmp_path / "events.parquet"
    read = read_interactions(log, CATALOG, now=NOW, archive=kept, key=TEST_KEY)
    assert read.user_ids == ["41"]
    table = pq.read_table(kept)
    names = [TEST_KEY.user_name(user) for user in ("41", "42", "41")]
    assert (table["user_id"].to_pylist(), table.schema) == (names, SCHEMA)
    assert table["session_id"].to_pylist() == [TEST_KEY.session_name("visit-7")] * 2 + [None]
    # It is a log, whose names stay as they are.
    again = tmp_path / "again.parquet"
    read_interactions(kept, CATALOG, now=NOW, archive=again, key=TEST_KEY)
    assert pq.read_table(again).equals(table)


def test_reports_and_lists_of_bad_rows_do_not_tell_who_somebody_is(write_csv, tmp_path):
    log = write_csv([event(user_id="x" * 2_000), event(user_id="vvv\x07vvv")])
    refused = tmp_path / "refused.jsonl"
    report = read_interactions(log, CATALOG, now=NOW, max_bad_share=1.0, bad_rows_path=refused).report
    told = f"{report}{json.dumps(report.summary())}{refused.read_text('utf-8')}"
    assert report.bad > 0
    assert "(2,000 characters)" in told
    assert "xxx" not in told
    assert "vvv" not in told


@pytest.mark.parametrize("others", ["7.0", "ann"], ids=["whole numbers", "names"])
def test_who_is_left_out_is_so_however_the_log_writes_the_id(write_csv, tmp_path, others):
    kept = tmp_path / "events.parquet"
    log = write_csv([event(user_id="100.0"), event(user_id="100"), event(user_id=others)])
    read = read_interactions(
        log, CATALOG, now=NOW, archive=kept, key=TEST_KEY, is_left_out=lambda user: user == "100", chunk_rows=1
    )
    assert read.user_ids == [others.removesuffix(".0")]
    assert read.report.left_out["of users who were forgotten"] == 2
    assert pq.read_table(kept)["user_id"].to_pylist() == [TEST_KEY.user_name(user) for user in read.user_ids]


def test_a_user_whom_the_log_has_by_id_and_by_hashed_name_is_one(write_csv):
    name = TEST_KEY.user_name("ann")
    log = write_csv([event(), event(user_id=name, event="impression"), event(user_id="bob")])
    read = read_interactions(log, CATALOG, now=NOW, key=TEST_KEY)
    assert read.user_ids == sorted(["bob", name])


def test_an_archive_without_a_key_is_refused_instead_of_not_being_written(write_csv, tmp_path):
    with pytest.raises(ValueError, match=r"events\.parquet: found no key; allowed: a key"):
        read_interactions(write_csv([event()]), CATALOG, now=NOW, archive=tmp_path / "events.parquet")


def test_a_log_as_of_a_moment_holds_what_was_before_it_in_every_column(write_csv):
    nothing = {"value": "", "query": "", "store": "", "position": "", "session_id": ""}
    kinds = [
        {"event": "rating", "value": "5", "store": "north"},
        {"event": "rating", "value": "1"},
        {"event": "return"},
        {"event": "click", "query": "tea", "store": "south"},
        {"event": "impression", "position": "1", "session_id": "s"},
    ]
    # The same of everything on two days.
    rows = [nothing | event(timestamp=NOW - day, **kind) for day in (20, 10) for kind in kinds]
    log = read_interactions(write_csv(rows), CATALOG, now=NOW)
    known = log.as_of(NOW - 10 + 0.5)
    assert all(len(getattr(known, part)) == len(getattr(log, part)) > 0 for part in ("negatives", "impressions"))
    known = log.as_of(NOW - 10)
    for part, halved in ((log, known), (log.negatives, known.negatives), (log.impressions, known.impressions)):
        arrays = {name: values for name, values in vars(part).items() if isinstance(values, np.ndarray)}
        assert len(arrays) >= 5
        for name, values in arrays.items():
            np.testing.assert_array_equal(getattr(halved, name), values[: len(part) // 2])
    assert [names for _, names in known.places.values()] == [names for _, names in log.places.values()]
    assert all(len(codes) == len(known) for codes, _ in known.places.values())
    assert len(known.weights) == len(known) > 0
    assert weigh_log(known).weights.shape == known.timestamp.shape


def test_what_one_user_repeats_within_a_day_counts_ten_times_at_most(write_csv):
    day = NOW - NOW % 86_400
    flood = [event(user_id="bot", event="click", timestamp=day + at) for at in range(500)]
    others = [
        event(user_id="bot", event="purchase", timestamp=day),
        event(user_id="bot", event="click", item_id="9", timestamp=day),
        event(user_id="bot", event="click", timestamp=day - 1),
        *(event(user_id=f"u{number}", event="click", timestamp=day) for number in range(20)),
    ]
    log = read_interactions(write_csv(flood + others), CATALOG, now=NOW)
    assert len(log) == MOST_A_DAY + len(others)
    assert log.report.kept == len(log)
    assert log.report.left_out == {"beyond 10 a day of one user, item and kind (--most-a-day)": 490}
    bot = log.user == log.user_ids.index("bot")
    assert log.timestamp[bot & (log.timestamp > day)].max() == day + MOST_A_DAY - 1, "the first ones stay"
    assert len(read_interactions(write_csv(flood + others), CATALOG, now=NOW, most_a_day=0)) == len(flood + others)
