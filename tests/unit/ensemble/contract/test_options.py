"""A caller who sends something unusable reads which field, what it held and what is allowed; nothing else comes out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.contract.controls import Explore, Rule
from fuserank_ensemble.contract.errors import InvalidRequestError, format_value, nearest
from fuserank_ensemble.contract.options import (
    MAX_HISTORY,
    MAX_K,
    MAX_OPTIONS_BYTES,
    UNDERSTOOD_PARTS,
    Options,
    decode_utf8,
    epoch_seconds,
    parse_options,
)

OPTIONS = st.sampled_from([*Options.__struct_fields__, "timestamp", "click", "boost", "pin", "slots", "kk", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(OPTIONS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def refused(raw: bytes | str) -> str:
    with pytest.raises(InvalidRequestError) as error:
        parse_options(raw.encode() if isinstance(raw, str) else raw)
    return str(error.value)


def outcome(raw: bytes) -> Options | str:
    """The options, or the text of the refusal; anything else that is raised fails the test."""
    try:
        return parse_options(raw)
    except InvalidRequestError as error:
        return str(error)


@pytest.mark.parametrize(
    ("raw", "field", "found", "allowed"),
    [
        ('{"k": 0}', "OPTIONS.k", "0", "from 1 to 200"),
        ('{"k": -1}', "OPTIONS.k", "-1", "from 1 to 200"),
        ('{"k": 10000}', "OPTIONS.k", "10000", "from 1 to 200"),
        ('{"k": "a"}', "OPTIONS.k", '"a"', "from 1 to 200"),
        ('{"k": true}', "OPTIONS.k", "true", "from 1 to 200"),
        ('{"k": 1.5}', "OPTIONS.k", "1.5", "from 1 to 200"),
        ('{"k": null}', "OPTIONS.k", "null", "from 1 to 200"),
        ('{"k": 1' + "0" * 40 + "}", "OPTIONS.k", "1" + "0" * 40, "from 1 to 200"),
        ('{"objective": {"click": NaN}}', "OPTIONS.objective.click", "NaN", "a finite number from 0 to 1,000"),
        ('{"objective": {"click": Infinity}}', "OPTIONS.objective.click", "Infinity", "a finite number"),
        ('{"objective": {"click": -Infinity}}', "OPTIONS.objective.click", "-Infinity", "a finite number"),
        ('{"objective": {"purchase": -0.1}}', "OPTIONS.objective.purchase", "-0.1", "from 0 to 1,000"),
        ('{"objective": {"purchase": 0}}', "OPTIONS.objective", "no weight above 0", "at least one above 0"),
        ('{"objective": {}}', "OPTIONS.objective", "no weight above 0", "at least one above 0"),
        ('{"objective": [1]}', "OPTIONS.objective", "[1]", "weights for relevance, click, purchase"),
        ('{"objective": {"clicks": 1}}', "OPTIONS.objective.clicks", "unknown", "did you mean 'click'?"),
        ('{"filters": {}}', "OPTIONS.filters", "unknown", "did you mean 'filter'?"),
        ('{"context": {"time": 1}}', "OPTIONS.context.time", "unknown", "did you mean 'timestamp'?"),
        ('{"context": {"timestamp": "yesterday"}}', "OPTIONS.context.timestamp", '"yesterday"', "ISO 8601"),
        ('{"context": {"timestamp": NaN}}', "OPTIONS.context.timestamp", "NaN", "seconds since 1970"),
        ('{"context": {"timestamp": 1e300}}', "OPTIONS.context.timestamp", "1e+300", "seconds since 1970"),
        ('{"context": {"timestamp": true}}', "OPTIONS.context.timestamp", "true", "seconds since 1970"),
        ('{"context": {"store": 7}}', "OPTIONS.context.store", "7", "a string"),
        ('{"context": "shop"}', "OPTIONS.context", '"shop"', "an object"),
        ('{"history": ["a", 5]}', "OPTIONS.history[1]", "5", "item ids (strings), newest last"),
        ('{"history": "a"}', "OPTIONS.history", '"a"', "at most 1,000 item ids"),
        ('{"diversity": 1.01}', "OPTIONS.diversity", "1.01", "from 0"),
        ('{"diversity": NaN}', "OPTIONS.diversity", "NaN", "from 0"),
        ('{"deadline_ms": 0}', "OPTIONS.deadline_ms", "0", "above 0, up to 60,000"),
        ('{"deadline_ms": NaN}', "OPTIONS.deadline_ms", "NaN", "above 0, up to 60,000"),
        ('{"deadline_ms": 1' + "0" * 400 + "}", "OPTIONS.deadline_ms", "10000", "above 0, up to 60,000"),
        ('{"explain": 1}', "OPTIONS.explain", "1", "true or false"),
        ('{"exclude_seen": "no"}', "OPTIONS.exclude_seen", '"no"', "true or false"),
        ('{"fields": "title"}', "OPTIONS.fields", '"title"', "a list of catalogue field names"),
        ('{"filter": ["brand"]}', "OPTIONS.filter", '["brand"]', "an object such as"),
        ('{"rules": {"boost": 1}}', "OPTIONS.rules", '{"boost": 1}', "a list of at most 16 rules"),
        ('{"rules": [' + "{}," * 16 + "{}]}", "OPTIONS.rules", "17 rules", "at most 16 rules"),
        ('{"rules": [{"boost": 1}, 7]}', "OPTIONS.rules[1]", "7", "at most 16 rules"),
        ('{"rules": [{}, {"boost": 0}]}', "OPTIONS.rules[1].boost", "0", "standard deviations"),
        ('{"rules": [{}, {"boost": 5.1}]}', "OPTIONS.rules[1].boost", "5.1", "above 0, up to 5"),
        ('{"rules": [{"bury": -1}]}', "OPTIONS.rules[0].bury", "-1", "above 0, up to 5"),
        ('{"rules": [{"bury": "x"}]}', "OPTIONS.rules[0].bury", '"x"', "above 0, up to 5"),
        ('{"rules": [{"pin": 0}]}', "OPTIONS.rules[0].pin", "0", "a place from 1 to k"),
        ('{"rules": [{"pin": 1.5}]}', "OPTIONS.rules[0].pin", "1.5", "a place from 1 to k"),
        ('{"rules": [{"filter": 3}]}', "OPTIONS.rules[0].filter", "3", "an object such as"),
        ('{"rules": [{"item_ids": []}]}', "OPTIONS.rules[0].item_ids", "[]", "1 to 50 item ids"),
        ('{"rules": [{"item_ids": ["a", 1]}]}', "OPTIONS.rules[0].item_ids[1]", "1", "item ids (strings)"),
        ('{"rules": [{}, {"bost": 1}]}', "OPTIONS.rules[1].bost", "unknown", "did you mean 'boost'?"),
        ('{"explore": true}', "OPTIONS.explore", "true", "an object with method, rate, slots, seed"),
        ('{"explore": {"rate": 1.5}}', "OPTIONS.explore.rate", "1.5", "from 0 to 1"),
        ('{"explore": {"slots": 3}}', "OPTIONS.explore.slots", "3", "different places from 1 to k"),
        ('{"explore": {"slots": []}}', "OPTIONS.explore.slots", "[]", "a list of 1 to 20"),
        ('{"explore": {"slots": ["a"]}}', "OPTIONS.explore.slots[0]", '"a"', "different places"),
        ('{"explore": {"seed": -1}}', "OPTIONS.explore.seed", "-1", "an integer from 0 to 9007199254740991"),
        ('{"explore": {"max_events": 0}}', "OPTIONS.explore.max_events", "0", "from 1 to 1,000"),
        ('{"explore": {"sed": 1}}', "OPTIONS.explore.sed", "unknown", "did you mean 'seed'?"),
        ('{"language": "fr"}', "OPTIONS.language", '"fr"', "en or zh"),
        ('{"understand": "sizes"}', "OPTIONS.understand", '"sizes"', "or a list of sizes, prices, negation"),
        ('{"understand": 1}', "OPTIONS.understand", "1", "true, false, or a list of sizes"),
        ('{"understand": ["sizes", 1]}', "OPTIONS.understand[1]", "1", "or a list of sizes, prices, negation"),
        ('{"understand": ["price"]}', "OPTIONS.understand[0]", '"price"', "did you mean 'prices'?"),
        ("{", "OPTIONS", "malformed JSON", "{} for defaults"),
        ('{"k": 1} x', "OPTIONS", "malformed JSON", "{} for defaults"),
        ("[]", "OPTIONS", "[]", "a JSON object"),
        ("null", "OPTIONS", "null", "a JSON object"),
        ('"{}"', "OPTIONS", '"{}"', "a JSON object"),
        (b'{"k": "\xff"}', "OPTIONS", "byte 0xff at position 7", "UTF-8"),
    ],
)
def test_a_bad_option_is_refused_with_field_finding_and_what_is_allowed(raw, field, found, allowed):
    message = refused(raw)
    assert message.startswith(f"{field}: found ")
    what, _, may = message.removeprefix(f"{field}: found ").partition("; allowed: ")
    assert found in what
    assert allowed in may


def test_too_much_is_refused_by_its_size_and_not_echoed():
    history = refused(json.dumps({"history": ["x"] * (MAX_HISTORY + 1)}))
    assert "OPTIONS.history" in history
    assert "1,000" in history
    whole = refused(b'{"filter": {"brand": "' + b"x" * MAX_OPTIONS_BYTES + b'"}}')
    assert whole == "OPTIONS: found 65,561 bytes; allowed: at most 65,536 bytes"
    assert len(history) < 400
    session = refused(json.dumps({"session_id": "茶" * 86}))
    assert session == "OPTIONS.session_id: found 258 bytes; allowed: a string of at most 256 bytes"


@pytest.mark.parametrize("depth", [2_000, 30_000])
def test_deeply_nested_json_is_refused_or_parsed_and_never_breaks_the_parser(depth):
    assert outcome(b'{"filter": {"a": ' + b"[" * depth + b"]" * depth + b"}}")


def test_a_number_of_more_digits_than_python_reads_is_refused_like_any_other_number():
    assert "OPTIONS" in refused('{"k": ' + "1" * 5_000 + "}")


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"objective": {"click": "\ud800"}}',
        rb'{"\ud800": 1}',
        rb'{"k": "\udfff"}',
        rb'["\ud800"]',
        rb'{"history": "\ud800"}',
        rb'{"context": {"timestamp": "\ud800"}}',
    ],
)
def test_half_a_surrogate_pair_is_refused_with_a_message_that_can_be_sent(raw):
    assert "allowed" in refused(raw).encode("utf-8").decode()


@pytest.mark.parametrize(
    "raw", [rb'{"history": ["\ud800"]}', rb'{"filter": {"brand": "\ud800"}}', rb'{"filter": {"\ud800": 1}}']
)
def test_options_that_are_accepted_hold_text_that_later_stages_can_encode(raw):
    options = outcome(raw)
    text = options if isinstance(options, str) else json.dumps([options.history, options.filter], ensure_ascii=False)
    assert text.encode("utf-8")


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_and_raise_nothing_else(raw):
    options = outcome(raw)
    assert isinstance(options, Options) or options.startswith("OPTIONS")


@given(st.dictionaries(OPTIONS, JSON, max_size=4) | JSON)
def test_any_json_is_parsed_or_refused_and_raises_nothing_else(value):
    options = outcome(json.dumps(value).encode())
    if isinstance(options, Options):
        assert 1 <= options.k <= MAX_K
        assert 0 <= options.diversity <= 1
    else:
        assert options.startswith("OPTIONS")
        assert "; allowed: " in options
        assert options.encode("utf-8")


@pytest.mark.parametrize(
    ("sent", "parts"),
    [
        ("{}", UNDERSTOOD_PARTS),
        ('{"understand": true}', UNDERSTOOD_PARTS),
        ('{"understand": false}', ()),
        ('{"understand": []}', ()),
        ('{"understand": ["prices", "sizes"]}', ("prices", "sizes")),
    ],
)
def test_all_some_or_no_parts_of_a_query_are_understood(sent, parts):
    assert parse_options(sent.encode()).understood_parts == parts


@pytest.mark.parametrize("raw", [b"{}", b""])
def test_no_options_are_the_defaults(raw):
    assert parse_options(raw) == Options()


def test_every_option_arrives_as_sent():
    sent = {
        "k": 200,
        "history": ["a", "茶"],
        "filter": {"brand": "Acme"},
        "context": {"timestamp": "2024-02-29T12:00:00+02:00", "region": "north", "store": "7", "device": "app"},
        "objective": {"relevance": 0.5, "purchase": 1000},
        "diversity": 1,
        "exclude_seen": True,
        "deadline_ms": 60_000,
        "explain": True,
        "fields": [],
        "rules": [{"bury": 0.5, "filter": {}}, {"pin": 3, "item_ids": ["茶"]}],
        "explore": {"slots": [9], "seed": 0},
        "language": "zh",
        "understand": ["negation"],
    }
    options = parse_options(json.dumps(sent).encode())
    assert options.k == 200
    assert options.history == ["a", "茶"]
    assert options.objective is not None
    assert options.objective.weights() == (0.5, 0.0, 1000.0)
    assert (options.diversity, options.exclude_seen, options.deadline_ms) == (1.0, True, 60_000.0)
    assert (options.explain, options.fields, options.context.store) == (True, [], "7")
    assert options.context.device == "app"
    assert options.rules == [Rule(bury=0.5, filter={}), Rule(pin=3, item_ids=["茶"])]
    assert options.explore == Explore(slots=[9], seed=0, rate=0.1, max_events=5)
    assert options.language == "zh"
    assert options.understand == ["negation"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2024-02-29", 1_709_164_800.0),
        ("2024-02-29T12:00:00", 1_709_208_000.0),
        ("2024-02-29T12:00:00Z", 1_709_208_000.0),
        ("2024-02-29T12:00:00+02:00", 1_709_200_800.0),
        (0, 0.0),
        (1_709_208_000.5, 1_709_208_000.5),
        (-86_400, -86_400.0),
    ],
)
def test_timestamps_without_a_zone_are_utc_and_a_zone_counts(written, seconds):
    assert epoch_seconds(written) == seconds


def test_the_first_byte_that_is_no_utf8_is_named():
    with pytest.raises(InvalidRequestError, match="QUERY: found byte 0xfe at position 4; allowed: UTF-8 text"):
        decode_utf8("QUERY", "é ".encode() + b"x\xfe\xff")


def test_a_name_far_from_all_known_ones_gets_no_guess():
    assert nearest("zzzz", ["brand", "price"]) == "brand, price"
    assert nearest("pryce", ["brand", "price"]) == "brand, price (did you mean 'price'?)"


def test_what_an_error_quotes_is_cut():
    assert format_value("x" * 10_000) == '"' + "x" * 79 + "… (10,002 characters)"
    assert format_value("茶") == '"茶"'
