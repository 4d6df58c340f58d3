"""Messages of other programs become events of ours; what cannot be read is said, and nothing is passed over unsaid."""

from __future__ import annotations

import json

import pytest

from fuserank.errors import ConfigurationError
from fuserank.events import EVENT_KINDS
from fuserank.ingest.config import SHIPPED, IngestConfig
from fuserank.ingest.messages import Message
from fuserank_ensemble.contract.events import read_event
from fuserank_ensemble.state import entries

NOW = 1_700_000_000_000  # of each message, milliseconds


def message(value, topic="t", offset=0, key=None):
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Message(topic, 0, offset, NOW, raw, key)


def reader(name, **formats):
    config = IngestConfig(topics={"t": name}, dead_letter_topic="d", formats=formats)
    return config.open_formats()["t"]


def events(name, value, **formats):
    """The events of a message, each as the server takes it; without what is wrong with others."""
    reading = reader(name, **formats).read(message(value))
    for part in reading.events:
        read_event(part.value, EVENT_KINDS, NOW / 1_000)
    return [part.value for part in reading.events]


def without_ids(found):
    return [{name: held for name, held in event.items() if name != "event_id"} for event in found]


def test_the_client_and_the_server_know_the_same_kinds():
    assert EVENT_KINDS == entries.EVENT_KINDS


# As the vendors' documentation shows them, shortened.
GA4_PURCHASE = {
    "client_id": "123.456",
    "user_id": 42,
    "timestamp_micros": 1_699_999_000_500_000,
    "events": [
        {
            "name": "purchase",
            "params": {
                "transaction_id": "T_12345",
                "value": 30.03,
                "currency": "USD",
                "items": [
                    {"item_id": "SKU_12345", "item_name": "Tee", "index": 0, "price": 10.01, "quantity": 3},
                    {"item_id": "SKU_12346", "item_name": "Top", "index": 1, "price": 21.01, "quantity": 2},
                ],
            },
        }
    ],
}
GA4_ROW = {
    "event_date": "20231114",
    "event_timestamp": "1699999000500000",
    "event_name": "view_item",
    "event_params": [
        {"key": "ga_session_id", "value": {"int_value": "1"}},
        {"key": "search_term", "value": {"string_value": "tee"}},
    ],
    "user_id": None,
    "user_pseudo_id": "123.456",
    "ecommerce": {"transaction_id": None},
    "items": [{"item_id": "SKU_12345", "item_name": "Tee", "quantity": 1}],
}
SEGMENT_VIEW = {
    "type": "track",
    "event": "Product Viewed",
    "messageId": "ajs-1",
    "anonymousId": "a-1",
    "userId": None,
    "timestamp": "2023-11-14T21:56:40.500Z",
    "properties": {"product_id": "507f", "sku": "G-32", "price": 18.99, "position": 3},
}
SEGMENT_ORDER = {
    **SEGMENT_VIEW,
    "event": "Order Completed",
    "userId": "u-1",
    "properties": {"order_id": "50314b8e", "products": [{"product_id": "507f", "position": 1}, {"sku": "G-32"}]},
}


def test_a_purchase_of_google_analytics_is_an_event_for_each_item():
    shared = {"event": "purchase", "user_id": "42", "session_id": "123.456", "timestamp": 1_699_999_000.5}
    found = events("ga4", GA4_PURCHASE)
    assert found == [
        {**shared, "event_id": "T_12345-0", "item_id": "SKU_12345", "position": 1},
        {**shared, "event_id": "T_12345-1", "item_id": "SKU_12346", "position": 2},
    ]


def test_the_other_kinds_of_google_analytics():
    def kind(name, **params):
        sent = {"client_id": "c", "events": [{"name": name, "params": params}]}
        return [(event["event"], event["item_id"], event.get("query")) for event in events("ga4", sent)]

    items = [{"item_id": "i1"}, {"item_id": "i2"}]
    assert kind("view_item", items=items[:1]) == [("view", "i1", None)]
    assert kind("add_to_cart", items=items) == [("cart", "i1", None), ("cart", "i2", None)]
    assert kind("select_item", items=items[:1], search_term="tee") == [("click", "i1", "tee")]
    assert kind("share", item_id="i3") == [("share", "i3", None)]


def test_a_row_of_bigquery():
    assert without_ids(events("ga4_bigquery", GA4_ROW)) == [
        {"event": "view", "item_id": "SKU_12345", "session_id": "123.456", "timestamp": 1_699_999_000.5, "query": "tee"}
    ]


def test_segments_events():
    view = {"event": "view", "session_id": "a-1", "timestamp": "2023-11-14T21:56:40.500Z", "event_id": "ajs-1-0"}
    assert events("segment", SEGMENT_VIEW) == [{**view, "item_id": "507f", "position": 3}]
    order = {**view, "event": "purchase", "user_id": "u-1"}
    assert events("segment", SEGMENT_ORDER) == [
        {**order, "item_id": "507f", "position": 1},
        {**order, "item_id": "G-32", "event_id": "ajs-1-1"},
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_an_unknown_kind_is_said_with_what_is_allowed_and_an_ignored_one_is_counted(name):
    kinds = {"ga4": "name", "ga4_bigquery": "event_name", "segment": "event"}
    (reason,) = reader(name).read(message({kinds[name]: "Purchse", "items": [{}]})).reasons
    assert (reason.field, reason.found) == ("event", "Purchse")
    assert "purchase" in reason.allowed or "Order Completed" in reason.allowed
    page = {"ga4": {"name": "page_view"}, "ga4_bigquery": {"event_name": "page_view"}, "segment": {"type": "page"}}
    reading = reader(name).read(message(page[name]))
    assert (reading.events, reading.reasons, reading.ignored) == ([], [], 1)


def test_one_broken_event_of_a_message_costs_no_other():
    sent = {**GA4_PURCHASE, "events": [{"params": {}}, *GA4_PURCHASE["events"], {"name": "view_item", "params": None}]}
    reading = reader("ga4").read(message(sent))
    assert [part.event for part in reading.events] == [1, 1, 2]
    assert [(reason.event, reason.field, reason.found) for reason in reading.reasons] == [(0, "event", "nothing")]


@pytest.mark.parametrize("name", ["events", "items", *SHIPPED])
@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"7", b"[" * 5_000, b'{"a": NaN}', b"[]", b"null"])
def test_poison_has_a_reason(name, raw):
    reading = reader(name).read(message(raw))
    assert (reading.events, reading.changes) == ([], [])
    assert reading.reasons
    for reason in reading.reasons:
        assert reason.field
        assert reason.found
        assert reason.allowed


def test_an_event_without_an_id_or_a_time_has_the_messages():
    def found(value, timestamp):
        raw = json.dumps(value).encode()
        return [part.value for part in reader("events").read(Message("t", 0, 9, timestamp, raw)).events]

    plain = {"item_id": "i", "event": "view", "user_id": "u"}
    (first,), (again,), (later,) = found(plain, NOW), found(plain, NOW), found(plain, NOW + 1)
    assert first["timestamp"] == NOW / 1_000
    assert first["event_id"] == again["event_id"] != later["event_id"]
    # Where the event says when it was, it is the same event whenever it is sent again.
    timed = {**plain, "timestamp": 1_600_000_000}
    assert found(timed, NOW) == found(timed, NOW + 1)
    one, two = found([plain, plain], NOW)
    assert one["event_id"] != two["event_id"]
    assert found({**plain, "event_id": "mine"}, NOW)[0]["event_id"] == "mine"


def test_items_come_as_rows_as_changes_or_as_tombstones():
    def changes(value, offset=0, key=None):
        return [part.value for part in reader("items").read(message(value, "shop", offset, key)).changes]

    place = f"shop/0/0/{NOW}"
    assert changes({"item_id": "i", "price": 5}) == [
        {"change_id": f"{place}-0", "item_id": "i", "fields": {"price": 5}}
    ]
    assert changes(
        [{"change_id": "c", "item_id": "i", "delete": True}, {"item_id": "j", "fields": {"price": None}}]
    ) == [
        {"change_id": "c", "item_id": "i", "delete": True},
        {"change_id": f"{place}-1", "item_id": "j", "fields": {"price": None}},
    ]
    assert changes(None, key=b"i") == [{"change_id": f"{place}-0", "item_id": "i", "delete": True}]
    # A price that comes back is a change of its own.
    assert (
        changes({"item_id": "i", "price": 5}, 1)[0]["change_id"]
        != changes({"item_id": "i", "price": 5}, 2)[0]["change_id"]
    )


OWN = {
    "kind": "event.what",
    "items": "event.basket",
    "timestamp_unit": "milliseconds",
    "kinds": {"bought": "purchase"},
    "fields": {"item_id": "item", "user_id": "message.who", "timestamp": "event.at"},
}


def test_a_shops_own_format():
    found = events("own", {"what": "bought", "who": "u", "at": 1_699_999_000_500, "basket": ["i", 2]}, own=OWN)
    assert without_ids(found) == [
        {"event": "purchase", "item_id": item, "user_id": "u", "timestamp": 1_699_999_000.5} for item in ("i", "2")
    ]
    (reason,) = reader("own", own=OWN).read(message({"what": "bought", "basket": []})).reasons
    assert (reason.field, reason.found) == ("items", "[]")


def test_a_format_extends_another():
    own = {
        "extends": "segment",
        "kinds": {"Page Dwelt": "view", "page": "view"},
        "fields": {"query": "event.context.q"},
    }
    sent = {**SEGMENT_VIEW, "event": "Page Dwelt", "context": {"q": "tee"}}
    (found,) = events("own", sent, own=own)
    assert (found["event"], found["query"], found["item_id"]) == ("view", "tee", "507f")
    # What is named as a kind is not ignored any more.
    assert [event["event"] for event in events("own", {**SEGMENT_VIEW, "event": "page"}, own=own)] == ["view"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kinds": {"bought": "purchsae"}}, "formats.own.kinds.'bought': found 'purchsae'; allowed: .*'purchase'"),
        ({"fields": {"item": "item"}}, "formats.own.fields.item: unknown; allowed: .*'item_id'"),
        ({"kind": "event..what"}, "formats.own.kind: found 'event..what'; allowed: a JMESPath expression"),
        ({"kind": ""}, "formats.own.kind: found nothing"),
        ({"timestamp_unit": "hours"}, "formats.own: Invalid enum value 'hours'"),
        ({"ignore": []}, "formats.own.ignore: unknown; allowed: .*'ignored'"),
        ({"extends": "segmnt"}, "formats.own.extends: found 'segmnt'; allowed: .*'segment'"),
        ({"extends": "own"}, "formats.own.extends: found 'own'"),
    ],
)
def test_a_format_that_cannot_work_is_refused_before_anything_is_read(change, words):
    with pytest.raises(ConfigurationError, match=words):
        reader("own", own={**OWN, **change})
