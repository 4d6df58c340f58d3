"""The REST API passes requests on as the client's types, and errors as HTTP's codes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest

from fuserank.errors import (
    DeadlineExceededError,
    FuseRankError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    ServerUnavailableError,
)
from fuserank.rest.app import DEFAULT_HOSTS, create_app
from fuserank.types import Request, SearchOptions, SimilarOptions
from support import asgi
from support.rest_client import RESULT, FakeClient


@pytest.fixture
def client():
    return FakeClient()


def send(client, method, path, body=None, content_type="application/json", host="127.0.0.1", hosts=DEFAULT_HOSTS):
    """Sends one request to the application; returns status and JSON."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = asgi.send(create_app(client, hosts), method, path, content, {"content-type": content_type, "host": host})
    held = answer.body
    return answer.status, json.loads(held) if held.startswith((b"{", b"[")) else held


def test_a_search_is_passed_on_with_every_option_and_answered_whole(client):
    body = {
        "query": "milk",
        "user": "900",
        "k": 3,
        "filter": {"price": {"lt": 5}},
        "facets": ["brand", {"field": "price"}],
    }
    status, answer = send(client, "POST", "/v1/search", body)
    assert status == 200
    assert answer == json.loads(json.dumps(asdict(RESULT)))
    options = {name: value for name, value in body.items() if name not in ("query", "user")}
    assert client.calls == [("search", "milk", "900", options)]


def test_what_is_not_said_is_not_sent(client):
    send(client, "POST", "/v1/search", {"user": "900"})
    send(client, "POST", "/v1/similar", {"item_id": "1"})
    assert client.calls == [("search", "", "900", {}), ("similar", "1", "", {})]


def test_the_other_operations_reach_their_calls(client):
    assert send(client, "GET", "/v1/suggest?prefix=mi%20l&count=3&user=u1") == (
        200, {"suggestions": [{"text": "milk", "score": 2.0}]},
    )  # fmt: skip
    event = {"event_id": "e", "item_id": "1", "event": "click", "user_id": "u"}
    assert send(client, "POST", "/v1/events", {"events": [event]})[1]["position"] == 7
    assert send(client, "DELETE", "/v1/users/u1")[1]["erased"] == 3
    assert send(client, "POST", "/v1/users/u1/merge", {"from_session": "s"})[1]["merged"] == 2
    assert client.calls == [
        ("suggest", "mi l", 3, "u1"), ("record", [event]), ("forget", "u1"),
        ("merge", "u1", {"from_session": "s", "from_user": ""}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", r"BODY: found malformed JSON .*; allowed: a JSON object"),
        ([], r"BODY: found \[\]; allowed: object$"),
        ({"qeury": "x"}, r"BODY\.qeury: found an unknown key; .*did you mean 'query'"),
        ({"k": "ten"}, r"BODY\.k: found \"ten\"; allowed: int"),
        ({"rules": [{"boost": "much"}]}, r"BODY\.rules\[0\]\.boost: found \"much\"; allowed: float$"),
        ({"rules": [{"pin": 1}, {"bost": 1}]}, r"BODY\.rules\[1\]\.bost: found an unknown key; .*did you mean 'boost'"),
        ({"explore": {"slot": [5]}}, r"BODY\.explore\.slot: found an unknown key; allowed: max_events, .*'slots'"),
        ({"facets": ["brand", {"field": "price", "range": 2}]}, r"BODY\.facets\[1\]\.range: .*did you mean 'ranges'"),
        ({"exposure": {"brand": {"max_share": 1, "x": 2}}}, r"BODY\.exposure\.brand\.x: .*allowed: max_share$"),
        ({"exposure": {"brand": {"max_share": "all"}}}, r"BODY\.exposure: found .*all.*; allowed: float at max_share"),
        ({"exposure": {"brand": {}}}, r"BODY\.exposure: .*missing required field max_share"),
        ({"sort": "best"}, r"BODY\.sort: found \"best\"; allowed: .*price_asc"),
    ],
)
def test_a_body_that_is_wrong_is_named_and_not_sent(client, body, message):
    status, answer = send(client, "POST", "/v1/search", body)
    assert status == 400
    assert re.search(message, answer["error"]), answer
    assert client.calls == []


def test_a_form_of_another_site_is_no_request(client):
    status, answer = send(client, "POST", "/v1/events", {"events": []}, "text/plain")
    assert (status, client.calls) == (400, [])
    assert "Content-Type" in answer["error"]


@pytest.mark.parametrize("options", [SearchOptions, SimilarOptions])
def test_no_object_of_the_document_is_open_but_those_of_the_catalogues_own_fields(client, options):
    schemas = send(client, "GET", "/openapi.json")[1]["components"]["schemas"]
    described = schemas["Search" if options is SearchOptions else "Similar"]
    reached, waiting = {}, [described]
    while waiting:
        for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop())):
            if reference not in reached:
                reached[reference] = schemas[reference]
                waiting.append(schemas[reference])
    assert all(schema["additionalProperties"] is False for schema in (described, *reached.values()))


def test_events_are_judged_one_by_one_by_the_server(client):
    events = [{"event_id": "e", "item_id": "1", "event": "click", "user_id": "u", "colour": 1}, {"value": "five"}]
    assert send(client, "POST", "/v1/events", {"events": events})[0] == 200
    assert client.calls == [("record", events)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/suggest?prefx=mi", r"^PARAMETERS\.prefx: found an unknown parameter; allowed: .*did you mean 'prefix'"),
        ("/v1/suggest?prefix=a&prefix=b", r"^PARAMETERS\.prefix: found 2 values; allowed: one$"),
        ("/v1/suggest?prefix=a&count=-1", r"^PARAMETERS\.count: found '-1'; allowed: a whole number$"),
        ("/v1/users/u1?events=9", r"^PARAMETERS\.events: found an unknown parameter; allowed: none$"),
    ],
)
def test_a_parameter_that_is_wrong_is_named_and_not_passed_over(client, path, message):
    status, answer = send(client, "GET", path)
    assert (status, client.calls) == (400, [])
    assert re.search(message, answer["error"])
    assert answer["field"] == answer["error"].partition(":")[0]


def test_another_host_name_is_refused_unless_it_was_named(client):
    assert send(client, "GET", "/v1/suggest?prefix=a", host="evil.example")[0] == 400
    assert client.calls == []
    assert send(client, "GET", "/v1/suggest?prefix=a", host="shop.example", hosts=("shop.example",))[0] == 200


def test_an_address_that_there_is_not_is_answered_as_json(client):
    assert send(client, "GET", "/v1/serch") == (404, {"error": "Not Found: GET /v1/serch", "field": None})
    assert send(client, "GET", "/v1/search")[0] == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequestError("OPTIONS.k: found 900; allowed: 1 to 200"), 400),
        (OverloadedError("full"), 429),
        (ServerUnavailableError("away"), 503),
        (DeadlineExceededError("late"), 504),
        (ServerError("broken"), 502),
        (FuseRankError("other"), 502),
    ],
)
def test_what_the_server_refuses_has_its_words_and_a_code(client, error, status):
    client.error = error
    field = error.field if isinstance(error, InvalidRequestError) else None
    assert send(client, "POST", "/v1/search", {"query": "milk"}) == (status, {"error": error.message, "field": field})


def test_a_full_queue_says_when_to_come_again(client):
    client.error = OverloadedError("full")
    headers = {"content-type": "application/json", "host": "127.0.0.1"}
    answer = asgi.send(create_app(client), "POST", "/v1/search", b'{"query": "milk"}', headers)
    assert ("retry-after", "1") in answer.headers
    client.error = ServerUnavailableError("away")
    answer = asgi.send(create_app(client), "POST", "/v1/search", b'{"query": "milk"}', headers)
    assert "retry-after" not in dict(answer.headers)


def test_the_document_describes_every_path_and_every_option(client):
    status, document = send(client, "GET", "/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.")
    schemas = document["components"]["schemas"]
    assert set(schemas["Search"]["properties"]) == {"query", "user", *SearchOptions.__annotations__}
    assert set(schemas["Similar"]["properties"]) == {"item_id", "text", *SimilarOptions.__annotations__}
    assert set(SearchOptions.__annotations__) <= set(Request.__dataclass_fields__)
    references = set(json.dumps(document).split('"#/components/schemas/')[1:])
    assert {reference.partition('"')[0] for reference in references} <= set(schemas)
    for path, methods in document["paths"].items():
        for described in methods.values():
            named = {parameter["name"] for parameter in described["parameters"] if parameter["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
