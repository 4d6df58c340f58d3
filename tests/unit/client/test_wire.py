"""Requests become tensors and tensors become results, without a server."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from fuserank import wire
from fuserank.errors import IncompatibleServerError, InvalidRequestError
from fuserank.types import ExploreOutcome, Request, RuleOutcome, SearchOptions


def options_of(**options):
    return json.loads(wire.encode_requests([Request("milk", **options)])["OPTIONS"][0, 0])


class Arrays(dict):
    """A response of plain arrays."""

    as_numpy = dict.get

    def get_response(self):
        return SimpleNamespace(id="call-1")


def response(ids=((b"a", b"b"),), scores=None, items=None, status=b"{}"):
    batch, k = len(ids), len(ids[0]) if ids else 0
    return Arrays(
        ITEM_ID=np.array(ids, dtype=object).reshape(batch, k),
        SCORE=np.array(scores if scores is not None else np.zeros((batch, k)), dtype=np.float32),
        ITEM=np.array(items if items is not None else [[b"{}"] * k] * batch, dtype=object).reshape(batch, k),
        STATUS=np.array([[status]] * batch, dtype=object),
    )


def test_all_three_inputs_are_sent_one_row_a_request():
    tensors = wire.encode_requests([Request("mjölk", "900", k=3), Request(user="7")])
    assert list(tensors) == ["QUERY", "USER_ID", "OPTIONS"]
    assert {values.shape for values in tensors.values()} == {(2, 1)}
    assert tensors["QUERY"].tolist() == [["mjölk".encode()], [b""]]
    assert tensors["USER_ID"].tolist() == [[b"900"], [b"7"]]
    assert tensors["OPTIONS"].tolist() == [[b'{"k":3}'], [b"{}"]]


@pytest.mark.parametrize(
    ("deadlines", "timeout"),
    [
        ([None], None),
        ([150], 75_000),
        ([0.25], 20_000),
        ([80, 120.5], 60_250),
        ([80, None], None),
        ([1e300], 60_000_000),
        ([math.nan], None),
        (["soon"], None),
    ],
)
def test_a_request_waits_in_the_queue_for_half_of_its_deadline_at_most(deadlines, timeout):
    arguments = wire.encode_search([Request("milk", deadline_ms=deadline) for deadline in deadlines])
    assert arguments.get("timeout") == timeout


def test_every_option_of_a_request_is_a_keyword_of_search():
    assert {f.name for f in dataclasses.fields(Request)} - {"query", "user"} == set(SearchOptions.__annotations__)


def test_options_are_sent_unchanged_even_where_the_server_will_refuse_them():
    given = {
        "k": 0,
        "history": "not a list",
        "diversity": 7,
        "exclude_seen": False,
        "fields": (),
        "rules": [{"bost": 1}],
        "explore": 3,
        "language": "fr",
    }
    assert options_of(**given) == {**given, "fields": []}
    assert math.isnan(options_of(objective={"click": math.nan})["objective"]["click"])


def test_numpy_values_are_options_too():
    given = options_of(k=np.int64(5), history=np.array(["a", "b"]), filter={"price": {"lt": np.float32(1.5)}})
    assert given == {"k": 5, "history": ["a", "b"], "filter": {"price": {"lt": 1.5}}}


def test_text_without_a_utf8_form_is_left_to_the_server():
    assert wire.encode_requests([Request("a\udcff")])["QUERY"][0, 0] == b"a\xed\xb3\xbf"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request(user=900), "USER_ID"),
        (Request(query=None), "QUERY"),
        (Request(filter={"brand": {"Acme"}}), "OPTIONS"),
    ],
)
def test_a_value_that_cannot_be_encoded_is_refused(request_, field):
    with pytest.raises(InvalidRequestError) as raised:
        wire.encode_requests([request_])
    assert raised.value.field == field


def test_every_call_has_its_own_request_id_and_the_result_keeps_it():
    names = {wire.encode_search([Request("milk")])["request_id"] for _ in range(3)}
    names |= {wire.encode_suggest("mi", 3)["request_id"], wire.encode_similar("", "milk", {})["request_id"]}
    assert len(names) == 5
    assert wire.decode_results(response(), 1)[0].request_id == "call-1"


def test_padding_is_dropped_row_by_row():
    ids = [[b"a", b"b"], [b"c", b""], [b"", b""]]
    items = [[b"{}", b"{}"], [b"{}", b""], [b"", b""]]
    rows = wire.decode_results(response(ids, items=items), rows=3)
    assert [[item.id for item in row] for row in rows] == [["a", "b"], ["c"], []]


def test_a_row_without_items_is_an_empty_result():
    (result,) = wire.decode_results(response(ids=[[]]), rows=1)
    assert (len(result), list(result)) == (0, [])


def test_unknown_keys_are_ignored_and_missing_ones_have_defaults():
    item = b'{"signals": [{"name": "text", "colour": "red"}], "fields": null, "new": 1}'
    (result,) = wire.decode_results(response([[b"a"]], items=[[item]], status=b'{"bundle": "b", "new": 1}'), rows=1)
    assert (result[0].signals[0].name, result[0].signals[0].share, result[0].fields) == ("text", 0.0, {})
    assert (result.status.bundle, result.status.degraded) == ("b", ())


def test_rules_exploration_and_heads_are_typed_and_absent_unless_requested():
    items = [
        b'{"fields": {}, "placed": "pin", "scored": false, "propensity": 1.0}',
        b'{"fields": {}, "propensity": 0.125, "placed": "explore", "heads": {"click": 0.25}}',
    ]
    status = b"""{"rules": [{"kind": "boost", "matched": 3}, {"kind": "pin", "matched": 1, "placed": 1, "new": 2}],
                  "explore": {"seed": 7, "slots": [2], "pool": 4, "explored": 1, "new": 1}}"""
    (result,) = wire.decode_results(response(items=[items], status=status), rows=1)
    assert [(i.placed, i.scored, i.propensity, dict(i.heads)) for i in result] == [
        ("pin", False, 1.0, {}),
        ("explore", True, 0.125, {"click": 0.25}),
    ]
    assert result.status.rules == (RuleOutcome("boost", 3), RuleOutcome("pin", 1, placed=1))
    assert result.status.explore == ExploreOutcome(7, [2], 4, 1)
    (plain,) = wire.decode_results(response(), rows=1)
    assert (plain[0].placed, plain[0].scored, plain[0].propensity, plain[0].heads) == ("", True, None, {})
    assert (plain.status.rules, plain.status.explore) == ((), None)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"ITEM": None}, "lacks ITEM"),
        ({"SCORE": np.zeros((1, 3), np.float32)}, "differ in shape"),
        ({"STATUS": np.array([[b"{}"], [b"{}"]], dtype=object)}, r"STATUS has shape \[2, 1\], expected \[1"),
        ({"ITEM": np.array([[b"{", b"{}"]], dtype=object)}, "ITEM is not JSON"),
        ({"ITEM": np.array([[b"\xff", b"{}"]], dtype=object)}, "ITEM is not JSON"),
        ({"STATUS": np.array([[b"[]"]], dtype=object)}, "STATUS is not a JSON object"),
        ({"ITEM": np.array([[b'{"signals": [{}]}', b"{}"]], dtype=object)}, "signal is incomplete"),
        ({"STATUS": np.array([[b'{"rules": [{}]}']], dtype=object)}, "ruleoutcome is incomplete"),
        ({"STATUS": np.array([[b'{"rules": [3]}']], dtype=object)}, "ruleoutcome is incomplete"),
        ({"STATUS": np.array([[b'{"explore": [1]}']], dtype=object)}, "exploreoutcome is incomplete"),
    ],
)
def test_a_response_outside_the_contract_is_an_error_that_names_the_output(broken, message):
    with pytest.raises(IncompatibleServerError, match=message):
        wire.decode_results(Arrays(response() | broken), rows=1)
