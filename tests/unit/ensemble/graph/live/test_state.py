"""The whole graph in this process with a log: what is recorded counts in the next answer."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.live.state import MAX_WAIT_SECONDS
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.step import UnavailableError, UnsupportedError
from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.log import StateUnavailableError
from fuserank_ensemble.state.settings import StateSettings
from support.tiny_shop import LOG_END

NEVER = 2**53 - 1


class Live:
    """A graph with a log, and the models that change it."""

    def __init__(self, bundle, folder):
        self.settings = StateSettings(f"sqlite:{folder / 'log.sqlite'}")
        self.graph = LocalGraph(bundle, state=self.settings)
        self.graph.live.popularity.seconds = 0.0  # what all users do counts at once, not within a second
        self._ids = itertools.count()
        self._record, self._profile = Record(bundle, self.settings), Profile(bundle, self.settings)

    def record(self, *events):
        filled = [{"event_id": f"e{next(self._ids)}", "timestamp": LOG_END.timestamp(), **event} for event in events]
        return self.record_raw(json.dumps(filled).encode())

    def record_raw(self, raw):
        (answer,) = self._record.execute([{"EVENTS": string_tensor([[raw]])}])
        if isinstance(answer, InvalidRequestError):
            raise answer
        return json.loads(answer["RESULT"][0, 0]), json.loads(answer["STATUS"][0, 0])

    def profile(self, user, action, **options):
        values = {"USER_ID": user, "ACTION": action, "OPTIONS": json.dumps(options)}
        (answer,) = self._profile.execute([{name: string_tensor([[v.encode()]]) for name, v in values.items()}])
        if isinstance(answer, InvalidRequestError):
            raise answer
        return json.loads(answer["PROFILE"][0, 0])

    def ask(self, query="", user="", **options):
        outputs = self.graph.search(query, user, **options)
        ids = [item.decode() for item in outputs["ITEM_ID"][0] if item]
        return ids, json.loads(outputs["STATUS"][0, 0])


@pytest.fixture
def live(tiny_bundle, tmp_path):
    made = Live(Bundle.open(tiny_bundle), tmp_path)
    yield made
    made.graph.live.tail.stop()


def purchase(item, **more):
    return {"item_id": item, "event": "purchase", **more}


def test_what_a_stranger_bought_leads_the_next_answer(live):
    before, status = live.ask(user="stranger", k=60)
    assert (status["user_known"], status["position"]) == (False, 0)
    last = before[-1]
    _, recorded = live.record(*[purchase(last, user_id="stranger")] * 3)
    after, status = live.ask(user="stranger", k=5, min_position=recorded["position"])
    assert after[0] == last
    assert status["user_known"]
    assert status["position"] == recorded["position"]
    assert status["degraded"] == []
    others, status = live.ask(user="somebody else", k=60)
    assert not status["user_known"]
    assert others[0] == before[0]


def test_what_a_session_did_counts_for_who_only_has_a_session(live):
    last = live.ask(user="stranger", k=60)[0][-1]
    _, recorded = live.record(purchase(last, session_id="visit"))
    ids, status = live.ask(session_id="visit", k=5, min_position=recorded["position"])
    assert ids[0] == last
    assert status["user_known"]
    assert live.ask(user="stranger", session_id="visit", k=5)[0][0] == last
    assert live.ask(user="stranger", k=5)[0][0] != last


@pytest.mark.parametrize("query", ["", "milk"])
def test_a_hidden_item_never_comes_back_by_whatever_way(live, query):
    first = live.ask(query, "u00", k=60)[0][0]
    _, recorded = live.record(
        {"item_id": first, "event": "hide", "user_id": "u00"},
        purchase(first, user_id="u00"),
        purchase(first, user_id="u00"),
    )
    position = recorded["position"]
    for options in ({}, {"history": [first]}, {"rules": [{"pin": 1, "item_ids": [first]}]}, {"explore": {"rate": 1}}):
        ids, _ = live.ask(query, "u00", k=60, min_position=position, **options)
        assert ids
        assert first not in ids
    assert first in live.ask(query, "u01", k=60)[0]


@pytest.mark.parametrize("who", ["user", "session"])
def test_a_hidden_item_is_like_nothing_for_who_hid_it(live, who):
    option = {"user": "user", "session": "session_id"}[who]

    def similar(name):
        outputs = live.graph.similar("i00", k=10, **{option: name})
        return [item.decode() for item in outputs["ITEM_ID"][0]], json.loads(outputs["STATUS"][0, 0])["degraded"]

    first = similar("hider")[0][0]
    _, recorded = live.record({"item_id": first, "event": "hide", f"{who}_id": "hider"})
    assert live.graph.live.tail.wait_for(recorded["position"], 20)
    ids, degraded = similar("hider")
    assert first not in ids
    assert degraded == []
    assert similar("somebody else")[0][0] == first


def test_rows_of_similar_that_wait_for_a_position_wait_no_longer_than_one(live):
    options = json.dumps({"min_position": NEVER}).encode()
    inputs = {"ITEM_ID": string_tensor([[b"i00"]] * 32), "TEXT": string_tensor([[b""]] * 32)}
    started = time.monotonic()
    (outputs,) = live.graph._similar.execute([{**inputs, "OPTIONS": string_tensor([[options]] * 32)}])
    assert time.monotonic() - started < 32 * MAX_WAIT_SECONDS
    assert all(json.loads(status)["degraded"] == ["stale"] for status in outputs["STATUS"][:, 0])


def test_a_disliked_item_is_not_recommended_and_can_still_be_searched_for(live):
    first = live.ask(user="stranger", k=60)[0][0]
    _, recorded = live.record({"item_id": first, "event": "dislike", "user_id": "stranger"})
    assert first not in live.ask(user="stranger", k=60, min_position=recorded["position"])[0]
    title = json.loads(live.graph.search("", "other", k=60)["ITEM"][0, 0])["fields"]["title"]
    assert first in live.ask(title, "stranger", k=60)[0]


def test_a_position_that_nobody_gave_is_not_waited_for_for_long_and_is_stale(live):
    started = time.monotonic()
    ids, status = live.ask("milk", min_position=NEVER)
    assert ids
    assert status["degraded"] == ["stale"]
    assert time.monotonic() - started < 20
    assert live.ask("milk", min_position=NEVER, deadline_ms=60_000)[1]["degraded"] == ["stale"]
    assert live.ask("milk")[1]["degraded"] == []


def test_each_event_of_a_batch_has_its_own_answer(live):
    results, status = record_mixed(live)
    assert [result.get("error", {}).get("field") for result in results] == [
        None, "user_id", "event", "propensity", "event", None, None, "colour",
    ]  # fmt: skip
    assert results[2]["error"]["found"] == '"purchse"'
    assert "did you mean 'purchase'?" in results[2]["error"]["allowed"]
    assert results[3]["error"] == {"field": "propensity", "found": "2", "allowed": "a probability from 0 to 1"}
    assert results[6] == {"position": results[5]["position"], "duplicate": True}
    assert status == {
        "position": results[5]["position"], "recorded": 2, "duplicates": 1, "spooled": 0,
        "rejected": 5, "unknown_items": 1,
        "microseconds": status["microseconds"],
    }  # fmt: skip


def record_mixed(live):
    moment = LOG_END.timestamp()
    events = [
        purchase("i01", user_id="u", event_id="a"),
        purchase("i01", event_id="b"),
        {"item_id": "i01", "event": "purchse", "user_id": "u", "event_id": "c"},
        purchase("i01", user_id="u", propensity=2, event_id="d"),
        "no object",
        purchase("never heard of", user_id="u", event_id="same"),
        purchase("i02", user_id="u", event_id="same"),
        purchase("i02", user_id="u", colour="red", event_id="e"),
    ]
    filled = [{"timestamp": moment, **event} if isinstance(event, dict) else event for event in events]
    return live.record_raw(json.dumps(filled).encode())


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        ({"event_id": ""}, "event_id", "nothing"),
        ({"event_id": None}, "event_id", "nothing"),
        ({"event_id": "x" * 129}, "event_id", "129 bytes"),
        ({"item_id": None}, "item_id", "nothing"),
        ({"item_id": 7}, "item_id", "7"),
        ({"event": None}, "event", "nothing"),
        ({"event": ["view"]}, "event", '["view"]'),
        ({"user_id": ""}, "user_id", "nothing, and no session_id"),
        ({"user_id": "x" * 257}, "user_id", "257 bytes"),
        ({"timestamp": "yesterday"}, "timestamp", '"yesterday"'),
        ({"timestamp": True}, "timestamp", "true"),
        ({"timestamp": -1}, "timestamp", "-1"),
        ({"timestamp": time.time() + 3 * 326_400}, "timestamp", "1"),
        ({"value": float("nan")}, "value", "NaN"),
        ({"value": 10**400}, "value", "1000"),
        ({"value": "5"}, "value", '"5"'),
        ({"position": 0}, "position", "0"),
        ({"position": 1.5}, "position", "1.5"),
        ({"position": True}, "position", "true"),
        ({"propensity": -0.1}, "propensity", "-0.1"),
        ({"query": "\ud800"}, "query", "half a character"),
        ({"session_id": "s" * 257}, "session_id", "257 bytes"),
        ({"bundle": "b" * 65}, "bundle", "65 bytes"),
        ({"evnt": "view"}, "evnt", "an unknown field"),
    ],
)
def test_a_bad_field_is_named_with_what_it_held(live, change, field, found):
    event = {"event_id": "e", "item_id": "i01", "event": "view", "user_id": "u", **change}
    (result,), status = live.record_raw(json.dumps([event]).encode())
    assert result["error"]["field"] == field
    assert result["error"]["found"].startswith(found)
    assert result["error"]["allowed"]
    assert (status["position"], status["rejected"]) == (0, 1)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "malformed JSON"),
        (b"{}", "{}"),
        (b"[]", "0 events"),
        (b"[" + b",".join([b"1"] * 1_001) + b"]", "a list of 1,001"),
        (b"[" * 100_000, "malformed JSON"),
        (b"\xff", "byte 0xff"),
        (b" " * (4 * 1024 * 1024 + 1), "4,194,305 bytes"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(live, raw, found):
    with pytest.raises(InvalidRequestError, match="EVENTS: found") as raised:
        live.record_raw(raw)
    assert found in str(raised.value)


def test_events_a_day_ahead_of_the_clock_and_without_a_time_are_taken(live):
    events = [purchase("i01", user_id="u", event_id="a", timestamp=time.time() + 86_000)]
    events.append(purchase("i01", user_id="u", event_id="b"))
    events.append(purchase("i01", user_id="u", event_id="c", timestamp="2024-05-01T12:00:00Z"))
    results, _ = live.record_raw(json.dumps(events).encode())
    assert all("position" in result for result in results)


def test_requests_of_a_batch_are_answered_apart(live):
    good = json.dumps([purchase("i01", user_id="u", event_id="a")]).encode()
    requests = [{"EVENTS": string_tensor([[raw]])} for raw in (good, b"no JSON")]
    first, second = live._record.execute(requests)
    assert json.loads(first["STATUS"][0, 0])["recorded"] == 1
    assert isinstance(second, InvalidRequestError)


def test_a_log_that_is_away_refuses_records_and_marks_answers(live, monkeypatch):
    def away(*arguments, **more):
        raise StateUnavailableError("the event log is away")

    live.record(purchase("i01", user_id="u"))
    monkeypatch.setattr("fuserank_ensemble.state.sqlite.SqliteLog.append", away)
    with pytest.raises(UnavailableError, match="the event log is away"):
        live.record(purchase("i01", user_id="u"))
    monkeypatch.setattr("fuserank_ensemble.state.sqlite.SqliteLog.read", away)
    deadline = time.monotonic() + 20
    while "stale" not in live.ask("milk")[1]["degraded"]:
        assert time.monotonic() < deadline
    monkeypatch.undo()
    while live.ask("milk")[1]["degraded"]:
        assert time.monotonic() < deadline


def test_without_a_state_nothing_is_recorded_and_the_error_says_how_to_keep_one(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    for step in (Record(bundle, None), Profile(bundle, None)):
        with pytest.raises(UnsupportedError, match="fuserank serve --state"):
            step.execute([{}])
    graph = LocalGraph(bundle)
    status = json.loads(graph.search("milk", "u00")["STATUS"][0, 0])
    assert "position" not in status
    assert status["degraded"] == []
    assert json.loads(graph.search("milk", "u00", min_position=1)["STATUS"][0, 0])["degraded"] == ["stale"]


def test_a_profile_shows_what_is_held_and_forgets_it_everywhere(live, tiny_bundle):
    bundle = Bundle.open(tiny_bundle).id
    live.record(purchase("i01", user_id="u00", value=2.5), purchase("i02", session_id="visit"))
    live.profile("u00", "merge", from_session="visit")
    profile = live.profile("u00", "get")
    assert [event["item_id"] for event in profile["events"]] == ["i01", "i02"]
    assert profile["events"][0]["value"] == 2.5
    assert (profile["merged"], profile["bundles"]) == (1, [bundle])
    forgotten = live.profile("u00", "forget")
    assert (forgotten["erased"], forgotten["bundles"]) == (3, [bundle])  # two events and the merge
    profile = live.profile("u00", "get")
    assert (profile["events"], profile["forgotten"]) == ([], True)
    stranger = live.ask(user="stranger", k=60)[0]
    assert live.ask(user="u00", k=60, min_position=forgotten["position"])[0] == stranger
    assert live.ask(session_id="visit", k=60)[0] == stranger
    assert live.profile("nobody", "forget") | {"position": 0} == {"position": 0, "erased": 0, "bundles": []}


def test_nothing_of_a_forgotten_user_is_left_in_the_files(live, tmp_path):
    live.record(purchase("i01", user_id="u00", query="a telling query"))
    files = [tmp_path / "log.sqlite", tmp_path / "log.sqlite-wal"]
    assert any(b"a telling query" in file.read_bytes() for file in files)
    assert not any(b"u00" in file.read_bytes() for file in files)
    live.profile("u00", "forget")
    assert not any(b"a telling query" in file.read_bytes() for file in files)


def test_who_opts_out_is_answered_as_a_stranger(live):
    stranger = live.ask(user="stranger", k=10)[0]
    assert live.ask(user="u00", k=10)[0] != stranger
    out = live.profile("u00", "opt_out")
    ids, status = live.ask(user="u00", k=10, min_position=out["position"])
    assert (ids, status["opted_out"], status["user_known"]) == (stranger, True, False)
    back = live.profile("u00", "opt_in")
    assert live.ask(user="u00", k=10, min_position=back["position"])[0] != stranger


@pytest.mark.parametrize(
    ("user", "action", "options", "words"),
    [
        ("", "get", {}, "USER_ID: found"),
        ("u", "forgt", {}, "did you mean 'forget'?"),
        ("u", "merge", {}, "exactly one of from_session or from_user"),
        ("u", "merge", {"from_session": "s", "from_user": "v"}, "exactly one of"),
        ("u", "merge", {"from_user": "u"}, "another user than USER_ID"),
        ("u", "merge", {"session": "s"}, "OPTIONS: found"),
        ("u", "forget", {"from_user": "v"}, "forget takes no options"),
    ],
)
def test_a_bad_request_of_a_profile_says_what_is_allowed(live, user, action, options, words):
    with pytest.raises(InvalidRequestError) as raised:
        live.profile(user, action, **options)
    assert words in str(raised.value)
