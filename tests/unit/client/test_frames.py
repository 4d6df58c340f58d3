"""Frames of polars, pandas and PyArrow through both clients: what is sent of them, and the frames that come back."""

from __future__ import annotations

import datetime
import decimal
import inspect
import subprocess
import sys

import grpc
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fuserank import frames
from fuserank.aio import AsyncClient
from fuserank.changes import CatalogResult, ChangeOutcome
from fuserank.client import Client
from fuserank.errors import ConfigurationError, InvalidRequestError, ServerUnavailableError
from fuserank.events import EventOutcome, FieldError, RecordResult
from fuserank.types import Item, Request, SearchResult, Status

KINDS = [pl.DataFrame, pd.DataFrame, pa.table]
TWO = {"query": ["milk", None], "user": ["900", "7"], "k": [2, None]}


def cells(frame):
    """A frame as lists by column."""
    if isinstance(frame, pl.DataFrame):
        return frame.to_dict(as_series=False)
    return frame.to_dict("list") if isinstance(frame, pd.DataFrame) else frame.to_pydict()


@pytest.fixture(params=KINDS, ids=["polars", "pandas", "pyarrow"])
def kind(request):
    return request.param


@pytest.fixture
def client(triton):
    with Client(triton.url, retries=0) as connected:
        yield connected


def asked(frame, answer=lambda requests: [SearchResult((Item("i", 1.0),), Status()) for _ in requests], **options):
    """What `search` would send of a frame, call by call, and what it returns."""
    calls = []

    def call(requests):
        calls.append(requests)
        return answer(requests)

    keep, batch = options.pop("keep", ()), options.pop("batch", 32)
    return calls, frames.run(frames.search(frame, keep, batch, options), call)


def test_requests_of_a_frame_become_a_frame_of_ranked_items(triton, client, kind):
    found = client.search_frame(kind(TWO), explain=True)
    assert isinstance(found, type(kind(TWO)))
    got = cells(found)
    assert got["row"] == [0, 0, 1]
    assert (got["query"][:2], got["user"]) == (["milk", "milk"], ["900", "900", "7"])
    assert (got["rank"], got["item_id"], got["score"]) == (
        [1, 2, 1],
        ["item 0", "item 1", "item 0"],
        [2.75, 1.75, 2.75],
    )
    assert list(got["reasons"][0]) == ["matches the words", "bought 3 times"]
    assert got["title"] == ["Milk [2%]", "Bread", "Milk [2%]"]
    assert got["price"][0] == 2.5
    (rows,) = triton.requests
    assert [(row.query, row.user) for row in rows] == [(b"milk", b"900"), (b"", b"7")]
    assert [row.options for row in rows] == [{"explain": True, "k": 2}, {"explain": True}]


async def test_the_asyncio_client_answers_alike(triton, client, kind):
    async with AsyncClient(triton.url) as other:
        found = await other.search_frame(kind(TWO), explain=True)
    assert repr(cells(found)) == repr(cells(client.search_frame(kind(TWO), explain=True)))
    for name in ("search_frame", "record_frame", "upsert_frame"):
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))


def test_ids_are_text_and_whole_numbers_whole_where_pandas_made_floats_of_them():
    frame = pd.DataFrame({"user": [900, None], "k": [5, None], "history": [[1, "b"], None]}, index=["x", "y"])
    ((first, second),), found = asked(frame, k=3)
    assert first == Request(user="900", k=5, history=["1", "b"])
    assert isinstance(first.k, int)
    assert second == Request(k=3)
    assert found["user"].to_list()[0] == 900
    assert found.index.to_list() == [0, 1]


def test_cells_of_structs_dates_and_decimals_are_sent_as_json_holds_them(kind):
    moment = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)
    ((request,),), _ = asked(kind({"filter": [{"brand": "Acme", "price": None}], "context": [{"timestamp": moment}]}))
    assert request.filter == {"brand": "Acme"}
    assert request.context == {"timestamp": "2026-11-29T12:00:00+00:00"}
    sent = []
    items = kind({"item_id": [1], "price": [decimal.Decimal("2.50")], "tags": [["a", "b"]]})
    frames.run(frames.upsert(items, clear_empty=False), lambda part: sent.extend(part) or CatalogResult(()))
    assert sent == [{"item_id": "1", "price": 2.5, "tags": ["a", "b"]}]


def test_a_frame_is_asked_in_calls_that_a_server_takes(kind):
    calls, found = asked(kind({"query": [f"q{n}" for n in range(70)]}))
    assert [len(requests) for requests in calls] == [32, 32, 6]
    assert cells(found)["query"] == [f"q{n}" for n in range(70)]


def test_no_requests_and_no_answers_are_empty_frames_with_their_columns(kind):
    for frame in (kind({"query": ["x"]}), kind({"query": ["x"]})[:0]):
        _, found = asked(frame, lambda requests: [SearchResult((), Status()) for _ in requests])
        assert cells(found) == {"row": [], "query": [], "rank": [], "item_id": [], "score": []}


@pytest.mark.parametrize("refused", [0, 4, 30, 31, 33])
def test_a_request_that_is_refused_is_named_by_its_row(refused):
    def answer(requests):
        if any(request.query == str(refused) for request in requests):
            raise InvalidRequestError("OPTIONS.k: found 999; allowed: 1 to 200", code="INVALID_ARGUMENT")
        return [SearchResult((), Status()) for _ in requests]

    frame = pl.DataFrame({"query": [str(row) for row in range(40)]})
    with pytest.raises(InvalidRequestError, match=rf"found 999; .* \(row {refused} of the frame\)") as error:
        asked(frame, answer)
    assert (error.value.field, error.value.code) == ("OPTIONS.k", "INVALID_ARGUMENT")


def test_a_call_that_only_fails_as_a_whole_blames_no_row():
    failures = iter([InvalidRequestError("message larger than max")])

    def answer(requests):
        for error in failures:
            raise error
        return [SearchResult((), Status()) for _ in requests]

    with pytest.raises(InvalidRequestError, match=r"larger than max \(rows 0 to 1 of the frame, none of them alone\)"):
        asked(pl.DataFrame({"query": ["a", "b"]}), answer)


def test_a_server_that_is_away_stays_that_error(triton, client):
    triton.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")]
    with pytest.raises(ServerUnavailableError):
        client.search_frame(pl.DataFrame(TWO))
    assert len(triton.requests) == 1


@pytest.mark.parametrize(
    ("frame", "keep", "message"),
    [
        ({"quary": ["a"]}, (), "FRAME: found a column 'quary'; did you mean 'query'\\? allowed: query, user, k"),
        ({"query": ["a"]}, ("id",), "KEEP: found 'id'; allowed: a column of the frame"),
        ({"query": ["a"], "rank": [1]}, ("rank",), "KEEP: found 'rank'; allowed: .* by another name than row, rank"),
        ({"query": [datetime.timedelta(1)]}, (), "FRAME: found .* in column 'query', row 0; allowed: text, numbers"),
        ({"query": [1]}, (), r"QUERY: found 1, of type int; allowed: a string \(row 0 of the frame\)"),
    ],
)
def test_what_a_frame_may_not_hold_is_named_before_anything_is_sent(client, triton, kind, frame, keep, message):
    with pytest.raises(InvalidRequestError, match=message):
        client.search_frame(kind(frame), keep=keep)
    assert triton.requests == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([{"query": "a"}], "FRAME: found list; allowed: a frame of polars, pandas or PyArrow"),
        (pl.LazyFrame({"query": ["a"]}), "FRAME: found polars.LazyFrame; allowed: .*collect a lazy one"),
        (pd.DataFrame([["a", "b"]], columns=["query", "query"]), "FRAME: .*'query' 2 times"),
        (pd.DataFrame([["a"]]), "FRAME: found a column '0'"),
    ],
)
def test_what_is_no_frame_of_a_library_that_is_known_is_refused(client, frame, message):
    with pytest.raises(InvalidRequestError, match=f"(?s){message}"):
        client.search_frame(frame)


def test_a_batch_size_that_is_none_is_refused(client):
    with pytest.raises(InvalidRequestError, match="BATCH: found 0"):
        client.search_frame(pl.DataFrame(TWO), batch=0)


def test_columns_of_ones_own_are_kept_beside_their_items_and_fields_never_hide_them(kind):
    items = (Item("i", 1.0, {"price": 2, "size": ["a"], "rank": 9}), Item("j", 0.5, {"price": 2.5, "size": "b"}))
    frame = kind({"query": ["x"], "price": ["mine"]})
    _, found = asked(frame, lambda requests: [SearchResult(items, Status(degraded=("stale",)))], keep=["price"])
    got = cells(found)
    assert list(got) == [
        "row",
        "query",
        "price",
        "rank",
        "item_id",
        "score",
        "degraded",
        "item_price",
        "size",
        "item_rank",
    ]
    assert (got["price"], got["item_price"]) == (["mine", "mine"], [2.0, 2.5])
    assert got["size"] == ['["a"]', "b"]  # a list here and a text there: both as text
    assert [list(steps) for steps in got["degraded"]] == [["stale"], ["stale"]]


def test_events_of_a_frame_are_recorded_a_thousand_a_call_and_reported_by_row(kind):
    calls = []

    def call(events):
        calls.append(events)
        bad = tuple(
            EventOutcome(error=FieldError("event", "x")) if "user_id" not in e else EventOutcome() for e in events
        )
        return RecordResult(bad, position=len(calls), recorded=len(events), rejected=len(calls) - 1)

    users = [None if row == 1_100 else row for row in range(1_200)]
    frame = kind({"item_id": ["i"] * 1_200, "event": ["view"] * 1_200, "user_id": users})
    result = frames.run(frames.record(frame), call)
    assert [len(events) for events in calls] == [1_000, 200]
    assert calls[0][7] == {"item_id": "i", "event": "view", "user_id": "7"}
    assert [row for row, outcome in enumerate(result.events) if outcome.error] == [1_100]
    assert (result.position, result.recorded, result.rejected) == (2, 1_200, 1)


def test_a_log_that_goes_away_midway_says_from_which_row_to_go_on():
    answers = iter([RecordResult((EventOutcome(1),))])

    def call(events):
        for answer in answers:
            return answer
        raise ServerUnavailableError("the log is full")

    frame = pl.DataFrame({"item_id": ["i"] * 1_500})
    with pytest.raises(ServerUnavailableError, match="rows 0 to 999 are taken; go on from row 1000"):
        frames.run(frames.record(frame), call)
    with pytest.raises(ServerUnavailableError, match="no row is taken"):
        frames.run(frames.record(frame), call)


def test_a_column_that_no_event_has_is_refused():
    with pytest.raises(InvalidRequestError, match="found a column 'usr_id'; did you mean 'user_id'"):
        frames.run(frames.record(pl.DataFrame({"usr_id": ["1"]})), lambda events: pytest.fail("was sent"))


def test_an_empty_cell_leaves_an_items_value_unless_it_is_to_clear_it(kind):
    frame = kind({"item_id": ["1", "2"], "price": [2.5, None], "position": [1, None]})
    for clear, second in ((False, {"item_id": "2"}), (True, {"item_id": "2", "price": None, "position": None})):
        sent = []
        frames.run(
            frames.upsert(frame, clear), lambda items, to=sent: to.extend(items) or CatalogResult((ChangeOutcome(1),))
        )
        assert sent == [{"item_id": "1", "price": 2.5, "position": 1}, second]


def test_without_narwhals_the_extra_is_named(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'fuserank\[frames\]'"):
        client.search_frame(pl.DataFrame(TWO))


def test_importing_the_clients_loads_no_grpc_numpy_or_frames_library():
    code = "import sys, fuserank; fuserank.Client, fuserank.AsyncClient; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fuserank.frames" in modules
    assert not {"grpc", "tritonclient", "numpy", "narwhals", "polars", "pandas", "pyarrow"} & set(modules)
