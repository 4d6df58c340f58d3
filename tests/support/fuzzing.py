"""Requests as nobody should send them, among those that anybody may: what fuzzing sends.

`FUZZ_CASES` says how many examples a fuzzing test draws; by default as many as a run of all tests has time for.
"""

from __future__ import annotations

import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fuserank_ensemble.contract.options import HEADS, UNDERSTOOD_PARTS, Options
from fuserank_ensemble.contract.page import SORTS


def cases(by_default: int) -> settings:
    """How many examples a test draws; none is timed, since the machine may be busy."""
    return settings(
        max_examples=int(os.environ.get("FUZZ_CASES", by_default)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


WORDS = st.sampled_from(
    ["milk", "whole milk small", "绿茶", "goat chese", "1/2 gal", "under $5", "without dish", "no", '"', "*", "-", "OR",
     "title:milk", "milk AND (", "{}", "'; --", "i00", "$", "9" * 300, "x" * 3_000, "\u202e", "\u200b", "e\u0301",
     "ﬁ", "½", "™", "חלב", "🥛", "\ud800", "\0", "\r\n", " "]
)  # fmt: skip
QUERIES = (
    st.lists(WORDS, max_size=5).map(" ".join).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=20)
    | st.just(b"\xff" * 5_000)
)
USERS = st.sampled_from([b"", b"u00", b"u07", b"nobody", b"hash:0", "户".encode(), b"u" * 257, b"\xff", b"u01\0"])

NUMBERS = (
    st.integers(-2, 300)
    | st.sampled_from([2**31, 2**53, 2**64, -(2**70), 10**400, 0.5, 1e-320, 1e308, float("nan"), float("inf")])
    | st.floats()
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=12) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | WORDS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["title", "brand", "category", "price", "in_stock", "tags", "size", "item_id", "nothing", ""])
VALUES = st.sampled_from(
    ["Acme", "Food > Dairy", "Food", "Household", "", "i0001", True, 1, 2.5, None, [], ["Acme", "北山"]]
)
BOUNDS = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte", "ne"]), NUMBERS, max_size=3)
FILTERS = st.recursive(
    st.dictionaries(FIELDS, VALUES | BOUNDS | JSON, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(["and", "or", "not"]), st.lists(inner, max_size=3) | inner, max_size=2
    ),
    max_leaves=6,
)
ITEMS = st.lists(st.sampled_from(["i0001", "i0007", "i0059", "i9999", "", "\0"]) | st.text(max_size=6), max_size=4)
PLACES = st.lists(st.integers(-1, 12), max_size=4)
# What each option may hold, about as often as something else.
MEANT = {
    "k": st.integers(1, 200),
    "history": ITEMS,
    "filter": FILTERS,
    "context": st.fixed_dictionaries({}, optional={"timestamp": NUMBERS | WORDS, "region": WORDS, "store": WORDS}),
    "objective": st.dictionaries(st.sampled_from(HEADS), NUMBERS, max_size=3),
    "diversity": st.floats(0, 1),
    "deadline_ms": NUMBERS,
    "fields": st.lists(FIELDS, max_size=3),
    "rules": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "boost": NUMBERS, "bury": NUMBERS, "pin": st.integers(-1, 12), "filter": FILTERS, "item_ids": ITEMS,
                "label": WORDS, "floor": NUMBERS,
            },
        ),
        max_size=3,
    ),
    "explore": st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from(["softmax", "thompson", ""]), "rate": NUMBERS, "slots": PLACES,
            "seed": st.integers(), "max_events": NUMBERS,
        },
    ),
    "language": st.sampled_from(["en", "zh", "de"]),
    "understand": st.booleans() | st.lists(st.sampled_from([*UNDERSTOOD_PARTS, "all"]), max_size=4),
    "session_id": st.text(max_size=300) | st.just("s"),
    "min_position": NUMBERS,
    "facets": st.lists(
        FIELDS | st.fixed_dictionaries({"field": FIELDS}, optional={"limit": NUMBERS, "ranges": NUMBERS | PLACES}),
        max_size=4,
    ),
    "offset": NUMBERS,
    "sort": st.sampled_from([*SORTS, "best"]),
    "collapse": st.booleans() | FIELDS,
    "exposure": st.dictionaries(FIELDS, st.fixed_dictionaries({"max_share": NUMBERS}) | JSON, max_size=3),
}  # fmt: skip
_FLAGS = {name: st.booleans() for name in Options.__struct_fields__ if name not in MEANT}


def _write(value: object) -> bytes:
    return json.dumps(value).encode()


def _options(odd: st.SearchStrategy) -> st.SearchStrategy[bytes]:
    return st.fixed_dictionaries({}, optional={name: meant | odd for name, meant in (MEANT | _FLAGS).items()}).map(
        _write
    )


# Most of the fields hold what they may, so that what follows the validation is reached as well.
OPTIONS = (
    st.lists(st.sampled_from([*MEANT, *_FLAGS]), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: (MEANT | _FLAGS)[name] for name in names}).map(_write)
    )
    | _options(JSON)
    | JSON.map(_write)
    | st.binary(max_size=40)
    | st.integers(0, 200).map(lambda depth: b'{"filter": ' + b'{"not": ' * depth + b"{}" + b"}" * (depth + 1))
)


def _object(meant: dict[str, st.SearchStrategy]) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional={name: values | JSON for name, values in meant.items()})


EVENTS = JSON | _object(
    {
        "event_id": st.just("e1"), "item_id": st.just("i0001"), "event": st.sampled_from(["click", "rating", "buy"]),
        "timestamp": NUMBERS | WORDS, "user_id": st.just("u00"), "session_id": WORDS, "value": NUMBERS, "query": WORDS,
        "position": NUMBERS, "propensity": NUMBERS, "bundle": WORDS, "arm": WORDS,
    }
)  # fmt: skip
CHANGES = JSON | _object(
    {
        "change_id": st.just("c1"), "item_id": st.just("i0001") | WORDS, "delete": st.booleans(),
        "fields": st.dictionaries(FIELDS, NUMBERS | WORDS | VALUES | JSON, max_size=4),
    }
)  # fmt: skip
