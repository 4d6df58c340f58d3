"""The whole graph in this process with a log: what the shop changes of its items counts in the next answer."""

from __future__ import annotations

import json
import threading
import time

import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.step import UnavailableError, UnsupportedError
from fuserank_ensemble.graph.steps.catalog import Catalog
from fuserank_ensemble.graph.tensors import string_tensor
from fuserank_ensemble.state.log import StateUnavailableError
from support.live_shop import ITEM, Shop


@pytest.fixture
def shop(tiny_bundle, tmp_path):
    made = Shop(Bundle.open(tiny_bundle), tmp_path)
    yield made
    made.graph.live.tail.stop()


def test_new_values_count_in_filters_fields_and_conditions(shop):
    assert ITEM in shop.ask("goat cheese under $10", k=60, filter={"price": {"lt": 10}})[0]
    position = shop.upsert(price=99.5, in_stock=False, shelf="a new shelf")
    options = {"k": 60, "min_position": position, "fields": ["price", "in_stock", "shelf", "title"]}
    items, status = shop.ask("goat cheese", filter={"price": {"gt": 90}, "shelf": "a new shelf"}, **options)
    assert items == {
        ITEM: {"fields": {"price": 99.5, "in_stock": False, "shelf": "a new shelf", "title": "goat cheese small"}}
    }
    assert (status["degraded"], status["position"]) == ([], position)
    assert ITEM not in shop.ask("goat cheese", filter={"price": {"lt": 10}}, **options)[0]
    assert ITEM not in shop.ask("goat cheese", filter={"in_stock": True}, **options)[0]
    ranked = list(shop.ask("goat cheese under $12", **options)[0])
    assert ranked.index("i41") < ranked.index(ITEM)
    (anchor,) = [signals["reason"] for signals in explained(shop, ITEM) if signals["name"] == "price"]
    assert "99.5" in anchor


def explained(shop, item):
    return shop.ask("goat cheese", "u00", k=60, explain=True)[0][item]["signals"]


def test_the_price_is_the_rankers_too(shop):
    def price_feature(item):
        (inputs,) = [
            tensors for stage, tensors in shop.graph.trace([("goat cheese", "", {"k": 60})]) if stage == "ranker"
        ]
        (candidates,) = [
            tensors["CANDIDATES"]
            for stage, tensors in shop.graph.trace([("goat cheese", "", {"k": 60})])
            if stage == "finalize"
        ]
        names = [feature.name for feature in shop.bundle.layout.features]
        place = candidates[0].tolist().index(shop.bundle.items.row(item))
        return float(inputs["FEATURES"][0, place, names.index("price")])

    before = price_feature(ITEM)
    shop.ask("goat cheese", min_position=shop.upsert(price=99.0))
    assert before == pytest.approx(0.8109, abs=1e-3)  # log(1 + 1.25)
    assert price_feature(ITEM) == pytest.approx(4.6052, abs=1e-3)


def test_facets_totals_orders_and_tiles_see_changes(shop):
    def page(position, **options):
        items, status = shop.ask('"goat cheese"', offset=0, min_position=position, **options)
        return list(items), status

    cheeses, before = page(0, facets=["shelf", "price"], sort="price_asc")
    assert (cheeses[0], len(cheeses), before["total"]["value"]) == (ITEM, 3, 3)
    position = shop.upsert(price=99.5, shelf="a new shelf")
    dearer, after = page(position, facets=["shelf"], sort="price_asc")
    assert dearer == [*cheeses[1:], ITEM]
    assert {"value": "a new shelf", "count": 1} in after["facets"]["shelf"]
    position = shop.upsert("new", title="goat cheese with herbs", price=0.5, shelf="a new shelf")
    grown, status = page(position, facets=["shelf"], sort="price_asc")
    assert grown == ["new", *dearer]
    assert {"value": "a new shelf", "count": 2} in status["facets"]["shelf"]
    position = shop.delete()
    left, status = page(position, facets=["shelf"], collapse="shelf")
    assert (len(left), "new" in left, status["total"]["value"]) == (2, True, 2)  # the two others are on one shelf
    assert {"value": "a new shelf", "count": 1} in status["facets"]["shelf"]
    assert page(shop.upsert(price=1.0))[1]["total"]["value"] == 4  # it is back


def test_a_value_that_goes_is_missing(shop):
    position = shop.upsert(price=None)
    items, _ = shop.ask("goat cheese", k=60, min_position=position, fields=["price", "title"])
    assert items[ITEM] == {"fields": {"title": "goat cheese small"}}
    assert ITEM not in shop.ask("goat cheese", k=60, filter={"price": {"gte": 0}})[0]


@pytest.mark.parametrize("query", ["", "goat cheese", "goat cheese small"])
def test_a_deleted_item_is_never_shown_by_whatever_way(shop, query):
    position = shop.delete()
    for user in ("u00", "u03", "stranger"):
        for options in (
            {},
            {"filter": {"category": "Food > Dairy"}},
            {"history": [ITEM, "i02"]},
            {"exclude_seen": True},
            {"rules": [{"pin": 1, "item_ids": [ITEM]}, {"boost": 5, "item_ids": [ITEM]}]},
            {"explore": {"rate": 1, "slots": [1, 2], "max_events": 1000}},
            {"diversity": 0.7},
        ):
            items, status = shop.ask(query, user, k=60, min_position=position, **options)
            assert items
            assert ITEM not in items
            assert status["degraded"] == []
    _, status = shop.ask(query, "u00", rules=[{"pin": 1, "item_ids": [ITEM]}], history=[ITEM, "i02"])
    assert status["rules"][0]["unknown"] == 1
    assert status["history_unknown"] == 1


def test_a_deleted_item_is_no_item_of_similar_or_suggest(shop):
    assert ITEM in shop.similar("i21", k=59)
    assert "goat cheese small" in shop.suggest("goat")
    position = shop.delete()
    assert ITEM not in shop.similar("i21", k=59, min_position=position)
    assert ITEM not in shop.similar(text="goat cheese small", k=60)
    with pytest.raises(InvalidRequestError, match="ITEM_ID"):
        shop.similar(ITEM)
    status = json.loads(shop.graph.similar("i21", min_position=2**53 - 1)["STATUS"][0, 0])
    assert status["degraded"] == ["stale"]
    wait_until(lambda: "goat cheese small" not in shop.suggest("goat"))
    assert "goat cheese large" in shop.suggest("goat")
    assert "goat cheese small" not in shop.suggest("")


def test_an_upsert_brings_a_deleted_item_back_with_what_changed(shop):
    shop.delete()
    position = shop.upsert(price=7.0)
    items, _ = shop.ask("goat cheese", k=60, min_position=position, fields=["price", "title"])
    assert items[ITEM] == {"fields": {"price": 7.0, "title": "goat cheese small"}}
    assert ITEM in shop.similar("i21", k=59)
    wait_until(lambda: "goat cheese small" in shop.suggest("goat"))


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_reply_shows_a_price_that_its_filter_does_not_allow(shop):
    """While the price goes up and down, a reply's filter and its fields are of one state of the catalogue."""
    done = threading.Event()

    def go_up_and_down():
        for turn in range(40):
            shop.upsert(price=100.0 if turn % 2 else 1.0)
        done.set()

    writer = threading.Thread(target=go_up_and_down)
    writer.start()
    seen = set()
    while not done.is_set() or len(seen) < 1:
        items, _ = shop.ask("goat cheese", k=60, filter={"price": {"lt": 50}}, fields=["price"])
        assert all(item["fields"]["price"] < 50 for item in items.values())
        seen.add(ITEM in items)
    writer.join()
    position = shop.upsert(price=100.0)
    assert ITEM not in shop.ask("goat cheese", k=60, filter={"price": {"lt": 50}}, min_position=position)[0]


def test_a_server_that_starts_later_knows_the_same(shop):
    shop.upsert(price=99.5)
    position = shop.delete("i02")
    other = LocalGraph(shop.bundle, state=shop.settings)
    for graph in (shop.graph, other):
        out = graph.search("goat cheese", "", k=60, min_position=position, fields=["price"])
        answers = dict(zip(out["ITEM_ID"][0], out["ITEM"][0], strict=True))
        assert json.loads(answers[ITEM.encode()])["fields"]["price"] == 99.5
        assert b"i02" not in answers
    other.live.tail.stop()


def test_each_change_of_a_batch_has_its_own_answer_and_the_good_ones_are_kept(shop):
    results, status = shop.change(
        {"item_id": ITEM, "fields": {"price": 3.0}},
        {"item_id": "no such item", "fields": {"price": 3.0}},
        {"item_id": ITEM, "fields": {"pric": 3.0}},
        {"item_id": "i02", "delete": True, "change_id": "twice"},
        {"item_id": "i02", "delete": True, "change_id": "twice"},
        {"item_id": ITEM, "fields": {"title": " "}},
    )
    assert [result.get("error", {}).get("field") for result in results] == [
        None, "item_id", "fields.pric", None, None, "fields.title",
    ]  # fmt: skip
    assert "did you mean 'price'?" in results[2]["error"]["allowed"]
    assert results[4] == {"position": results[3]["position"], "duplicate": True}
    assert status == {
        "position": results[3]["position"], "changed": 2, "duplicates": 1, "rejected": 3,
        "microseconds": status["microseconds"],
    }  # fmt: skip


def test_a_change_and_an_event_may_have_the_same_id(shop):
    from fuserank_ensemble.graph.steps.record import Record

    event = {"event_id": "same", "item_id": ITEM, "event": "view", "user_id": "u"}
    record = Record(shop.bundle, shop.settings)
    record.execute([{"EVENTS": string_tensor([[json.dumps([event]).encode()]])}])
    (result,), _ = shop.change({"item_id": ITEM, "fields": {"price": 3.0}, "change_id": "same"})
    assert result == {"position": 2}


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        ({"change_id": ""}, "change_id", '""'),
        ({"change_id": None}, "change_id", "nothing"),
        ({"change_id": "x" * 129}, "change_id", "129 bytes"),
        ({"item_id": None}, "item_id", "nothing"),
        ({"item_id": 7}, "item_id", "7"),
        ({"item_id": "x" * 1_025}, "item_id", "1,025 bytes"),
        ({"item_id": "\ud800"}, "item_id", "half a character"),
        ({"fields": None}, "fields", "neither"),
        ({"fields": [1]}, "fields", "[1]"),
        ({"delete": True}, "fields", "both"),
        ({"delete": "yes"}, "delete", '"yes"'),
        ({"feilds": {}}, "feilds", "an unknown field"),
        ({"fields": {"price": "cheap"}}, "fields.price", '"cheap"'),
        ({"fields": {"price": -1}}, "fields.price", "-1"),
        ({"fields": {"price": True}}, "fields.price", "true"),
        ({"fields": {"price": float("nan")}}, "fields.price", "NaN"),
        ({"fields": {"price": 10**400}}, "fields.price", "1000"),
        ({"fields": {"in_stock": 1}}, "fields.in_stock", "1"),
        ({"fields": {"shelf": 3}}, "fields.shelf", "3"),
        ({"fields": {"shelf": ""}}, "fields.shelf", '""'),
        ({"fields": {"shelf": "x" * 201}}, "fields.shelf", '"xxx'),
        ({"fields": {"shelf": "\ud800"}}, "fields.shelf", "half a character"),
        ({"fields": {"item_id": "i02"}}, "fields.item_id", "an unknown field"),
    ],
)
def test_a_bad_field_is_named_with_what_it_held(shop, change, field, found):
    sent = {"change_id": "c", "item_id": ITEM, "fields": {"price": 2.0}, **change}
    (result,), status = shop.change_raw(json.dumps([sent]).encode())
    assert result["error"]["field"] == field
    assert result["error"]["found"].startswith(found)
    assert result["error"]["allowed"]
    assert (status["position"], status["rejected"]) == (0, 1)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "malformed JSON"),
        (b"{}", "{}"),
        (b"[]", "0 changes"),
        (b"[" + b",".join([b"1"] * 1_001) + b"]", "a list of 1,001"),
        (b"[" * 100_000, "malformed JSON"),
        (b"\xff", "byte 0xff"),
        (b" " * (8 * 1024 * 1024 + 1), "8,388,609 bytes"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(shop, raw, found):
    with pytest.raises(InvalidRequestError, match="CHANGES: found") as raised:
        shop.change_raw(raw)
    assert found in str(raised.value)


def test_beyond_the_bound_no_further_item_may_differ(shop, monkeypatch):
    monkeypatch.setattr("fuserank_ensemble.graph.steps.catalog.MAX_CHANGED", 2)
    results, _ = shop.change(*[{"item_id": f"i0{n}", "fields": {"price": 1.0}} for n in range(4)])
    assert ["error" in result for result in results] == [False, False, True, True]
    assert "2 items that differ" in results[2]["error"]["found"]
    shop.ask("milk", min_position=results[1]["position"])
    again, _ = shop.change(
        {"item_id": "i00", "fields": {"price": 2.0}},
        {"item_id": "i05", "fields": {"price": 2.0}},
        {"item_id": "i05", "delete": True},
    )
    assert ["error" in result for result in again] == [False, True, False]


def test_a_log_that_is_away_refuses_changes(shop, monkeypatch):
    def away(*arguments, **more):
        raise StateUnavailableError("the event log is away")

    shop.upsert(price=2.0)
    monkeypatch.setattr("fuserank_ensemble.state.sqlite.SqliteLog.append", away)
    with pytest.raises(UnavailableError, match="the event log is away"):
        shop.upsert(price=3.0)


def test_without_a_state_nothing_is_changed(tiny_bundle):
    with pytest.raises(UnsupportedError, match="fuserank serve --state"):
        Catalog(Bundle.open(tiny_bundle), None, None, None).execute([{}])


def test_what_was_searched_before_is_found_anew_after_each_change(shop):
    """Lists that text channels found are kept; a change of what may be shown, of texts or of a filter ends them."""

    def asked(**options):
        return [set(shop.ask("goat cheese", k=60, **options)[0]) for _ in range(2)]

    def counts():
        return shop.graph._steps["retrieve"].caches["text_lists"]().hits

    cheap = {"filter": {"price": {"lt": 5}}}
    before = asked()
    assert before[0] == before[1]
    assert counts() > 0
    assert all(ITEM in found for found in asked(**cheap))
    asked(min_position=shop.upsert(price=8.0))  # the first change opens an index that can grow
    dearer = shop.upsert(price=9.0)
    hits = counts()
    assert asked(min_position=dearer) == before
    assert counts() > hits + 2  # the price changes nothing of what words find
    assert all(ITEM not in found for found in asked(min_position=dearer, **cheap))
    gone = shop.delete()
    assert all(found == before[0] - {ITEM} for found in asked(min_position=gone))
    back = shop.upsert(title="goat cheese small")
    assert asked(min_position=back) == before
    other = shop.upsert(title="zorblax lamp")
    assert [ITEM in found for found in asked(min_position=other)] == [ITEM in before[0]] * 2
    assert ITEM in shop.ask("zorblax", k=1, min_position=other)[0]
