"""The whole graph in this process with a log: new items and other texts are found in every way, without an export."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.errors import InvalidRequestError
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_ensemble.graph.step import UnavailableError
from fuserank_ensemble.state.entries import ItemChange
from support.busy_machine import PATIENCE, wait_until
from support.live_shop import ITEM, Shop

NEW = "n1"
FIELDS = {
    "title": "zorblax spread large", "description": "made on Mondays", "category": "Food > Dairy Free",
    "brand": "Wumpus & Sons", "price": 3.5, "in_stock": True, "shelf": "002",
}  # fmt: skip


@pytest.fixture
def shop(tiny_bundle, tmp_path):
    made = Shop(Bundle.open(tiny_bundle), tmp_path)
    yield made
    made.graph.live.tail.stop()


def upsert(shop, item=NEW, **fields):
    return shop.upsert(item, **{**FIELDS, **fields})


def test_a_new_item_is_found_by_its_words_and_has_its_fields(shop):
    assert NEW not in shop.ask("zorblax", k=60)[0]
    position = upsert(shop)
    for query in ("zorblax", "zorblax spread", "Wumpus & Sons", "mondays", NEW):
        items, status = shop.ask(query, k=60, min_position=position, fields=["title", "price", "brand"])
        assert next(iter(items)) == NEW, query
        assert items[NEW] == {"fields": {"title": FIELDS["title"], "price": 3.5, "brand": "Wumpus & Sons"}}
        assert "corrected" not in status.get("understood", {})
        assert status["degraded"] == []
    assert "zorblax" in shop.ask("zorblaks", k=5)[1]["understood"]["corrected"].values(), "a typing error"


def test_a_new_item_is_found_by_meaning_as_the_export_would_embed_it(shop):
    row = shop.bundle.items.row("i16")  # its words are in no field of the new one
    text = json.loads(shop.bundle.records.raw(row))
    position = upsert(shop, title=text["title"], category=text["category"])
    shop.ask("milk", min_position=position)
    catalog = shop.graph.live.catalog.current
    bundled = shop.bundle.vectors[shop.bundle.items.text[row]].astype(np.float32)
    added = catalog.vectors[catalog.items.text[[catalog.items.row(NEW)]]][0].astype(np.float32)
    np.testing.assert_allclose(added, bundled, atol=2e-3)
    for anchor, twin in (("i16", NEW), (NEW, "i16")):
        out = shop.graph.similar(anchor, k=60)
        nearness = dict(zip(out["ITEM_ID"][0].tolist(), out["SCORE"][0].tolist(), strict=True))
        assert nearness[twin.encode()] == max(nearness.values()) == pytest.approx(1, abs=2e-3)
    assert shop.similar(text=f"{text['title']}. {text['category'].replace(' > ', ', ')}", k=2) == ["i16", NEW]


def test_filters_rules_and_prices_in_words_see_a_new_item(shop):
    position = upsert(shop, shelf="a shelf of its own", in_stock=False)
    found = {
        "brand": "Wumpus & Sons", "shelf": "a shelf of its own", "category": "Food > Dairy Free",
        "price": {"gte": 3.5, "lte": 3.5}, "in_stock": False,
    }  # fmt: skip
    for name, wanted in found.items():
        assert NEW in shop.ask("spread", k=60, filter={name: wanted}, min_position=position)[0], name
    for name, wanted in (("brand", "Acme"), ("category", "Food > Dairy"), ("in_stock", True)):
        assert NEW not in shop.ask("zorblax spread", k=60, filter={name: wanted})[0], name
    assert NEW not in shop.similar(text="zorblax spread", k=60, filter={"brand": "Acme"})
    assert next(iter(shop.ask("", "u00", k=60, rules=[{"pin": 1, "item_ids": [NEW]}])[0])) == NEW
    dear, cheap = (list(shop.ask(f"spread under ${price}", k=60)[0]) for price in (3.25, 9))
    assert dear.index(NEW) > cheap.index(NEW)


@pytest.mark.parametrize("options", [{}, {"diversity": 0.8}, {"explore": {"rate": 1}}, {"exclude_seen": True}])
def test_a_new_item_passes_through_every_way_of_ordering(shop, options):
    position = upsert(shop)
    for query, user in (("spread", ""), ("spread", "u00"), ("", "u00")):
        items, _ = shop.ask(query, user, k=61, min_position=position, explain=True, **options)
        if query:
            signals = {signal["name"]: signal for signal in items[NEW]["signals"]}
            assert signals["popularity"]["reason"] == "nobody has had it yet"
            assert signals["price"]["value"] == pytest.approx(np.log1p(3.5), abs=1e-3)


def test_what_is_new_is_recommended_as_new_where_that_is_asked_for(shop):
    before = list(shop.ask("", "u00", k=60)[0])
    position = upsert(shop)
    status = shop.ask("", "u00", k=61, min_position=position)[1]
    assert status["candidates"]["new"] == 1
    assert NEW in shop.ask("", "u00", k=61)[0]
    assert [item for item in shop.ask("", "u00", k=61)[0] if item != NEW][:5] == before[:5]


def test_what_users_of_alike_items_had_speaks_for_a_new_item_and_says_so(shop):
    text = json.loads(shop.bundle.records.raw(shop.bundle.items.row("i16")))
    position = upsert(shop, title=text["title"], category=text["category"])
    items, status = shop.ask(text["title"], "u00", k=61, min_position=position, explain=True)
    reasons = {signal["name"]: signal["reason"] for signal in items[NEW]["signals"]}
    assert reasons["collaborative"].startswith("like what users like you chose")
    assert status["candidates"]["collaborative"] > 0


def test_a_new_item_is_related_by_its_brand_and_category(shop):
    shop.ask("milk", min_position=upsert(shop, brand="Acme"))
    out = shop.graph.similar(NEW, k=60, explain=True)
    assert json.loads(out["STATUS"][0, 0])["degraded"] == []
    reasons = {
        item.decode(): {s["name"]: s["reason"] for s in json.loads(raw)["signals"]}
        for item, raw in zip(out["ITEM_ID"][0], out["ITEM"][0], strict=True)
        if item
    }
    of_brand = [item for item, named in reasons.items() if "Acme" in named.get("graph", "")]
    assert len(of_brand) > 3
    assert all("collaborative" not in named for named in reasons.values()), "nobody had it"
    assert "graph" in {s["name"] for s in json.loads(shop.graph.search("Acme", "", k=61, explain=True)["ITEM"][0, 0])[
        "signals"
    ]}  # fmt: skip


def test_another_title_takes_the_place_of_the_old_one_everywhere(shop):
    assert ITEM in shop.ask("goat cheese small", k=60)[0]
    position = shop.upsert(title="quixotic lamp")
    assert next(iter(shop.ask("quixotic", k=60, min_position=position)[0])) == ITEM
    items, status = shop.ask("goat", k=60, fields=["title"])
    lexical = status["candidates"]["lexical"]
    assert lexical == 2, "large and double"
    assert items.get(ITEM, {"fields": {"title": "quixotic lamp"}})["fields"]["title"] == "quixotic lamp"
    twin = shop.similar(text="quixotic lamp. Food, Dairy", k=60)
    assert twin[0] == ITEM
    assert shop.similar(text="goat cheese small. Food, Dairy", k=60)[0] != ITEM
    assert wait_until(lambda: "quixotic lamp" in shop.suggest("quix"))
    assert "goat cheese small" not in shop.suggest("goat")
    # What users did with it is still its own.
    assert ITEM in shop.ask("", users_of(shop, ITEM)[0], k=60)[0]


def users_of(shop, item):
    """The users of the bundle who had an item."""
    histories, row = shop.bundle.histories, shop.bundle.items.row(item)
    return [user.decode() for place, user in enumerate(histories.users) if row in histories.at(place).rows]


def test_a_new_item_is_changed_deleted_and_returns(shop):
    upsert(shop)
    position = shop.upsert(NEW, price=8.12)
    items, _ = shop.ask("zorblax", k=60, filter={"price": 8.12}, min_position=position, fields=["price", "title"])
    assert items == {NEW: {"fields": {"price": 8.12, "title": FIELDS["title"]}}}
    position = shop.delete(NEW)
    for query, user in (("zorblax", ""), ("", "u00"), ("spread", "u00")):
        assert NEW not in shop.ask(query, user, k=61, min_position=position)[0]
    assert NEW not in shop.similar("i16", k=61)
    with pytest.raises(InvalidRequestError, match="ITEM_ID"):
        shop.similar(NEW)
    position = shop.upsert(NEW, title="zorblax jam")
    items, _ = shop.ask("zorblax jam", k=60, min_position=position, fields=["price", "title"])
    assert items[NEW] == {"fields": {"price": 8.12, "title": "zorblax jam"}}


def test_users_events_with_a_new_item_count_from_its_first_upsert_on(shop):
    early = shop.record({"item_id": NEW, "event": "purchase", "user_id": "early"})
    shop.ask("milk", min_position=upsert(shop))
    late = shop.record(*[{"item_id": NEW, "event": "purchase", "user_id": "late"}] * 3)
    assert (early["unknown_items"], late["unknown_items"]) == (1, 0)
    options = {"k": 60, "min_position": late["position"]}
    assert next(iter(shop.ask("", "late", **options)[0])) == NEW
    assert shop.ask("", "early", **options)[1]["user_known"] is False
    # Its factors are those of near items, so that what they go with follows.
    assert shop.ask("", "late", **options)[1]["candidates"]["collaborative"] > 0
    assert shop.ask("", "", history=[NEW, "i02"], **options)[1]["history_unknown"] == 0


def answers(graph, position):
    assert graph.live.wait_for(position, PATIENCE)
    found = []
    asked = (("zorblax spread", ""), ("spread", "u00"), ("", "u00"), ("Wumpus", "u03"), ("lamp", ""), ("zorblaks", ""))
    for query, user in asked:
        out = graph.search(query, user, k=61, min_position=position, explain=True)
        found.append((out["ITEM_ID"][0], out["SCORE"][0]))
    out = graph.similar(NEW, k=61)
    return [*found, (out["ITEM_ID"][0], out["SCORE"][0])]


def test_a_server_that_starts_later_answers_the_same(shop):
    upsert(shop, "n0", title="zorblax jam")
    shop.upsert("n0", title="zorblax marmalade")
    upsert(shop)
    shop.upsert(title="quixotic lamp")
    shop.delete("n0")
    position = shop.upsert("i02", brand="Wumpus & Sons")
    first = answers(shop.graph, position)
    other = LocalGraph(shop.bundle, state=shop.settings)
    try:
        status = json.loads(other.search("zorblaks", k=5)["STATUS"][0, 0])
        assert "zorblax" in status["understood"]["corrected"].values(), "a word that the log had when it started"
        # The words' scores add up in another order where the log was read in other batches.
        for one, another in zip(first, answers(other, position), strict=True):
            np.testing.assert_array_equal(one[0], another[0])
            np.testing.assert_allclose(one[1], another[1], rtol=1e-5)
    finally:
        other.live.tail.stop()


def test_the_changes_of_one_request_build_on_each_other(shop):
    results, status = shop.change(
        {"item_id": NEW, "fields": {"title": "zorblax spread"}},
        {"item_id": NEW, "fields": {"category": "Food > Dairy"}},
        {"item_id": "n2", "fields": {"title": "wibble"}},
        {"item_id": "n2", "delete": True},
    )
    assert (status["changed"], status["rejected"]) == (4, 0)
    alone = [result["position"] for result in results]
    shop.ask("milk", min_position=alone[-1])
    catalog = shop.graph.live.catalog.current
    position = shop.upsert("n3", title="zorblax spread", category="Food > Dairy")
    assert shop.similar("n3", k=1, min_position=position) == [NEW]
    assert catalog.items.row("n2") == -1
    assert "n2" not in shop.ask("wibble", k=61)[0]


def test_an_item_without_a_text_that_this_encoder_reads_is_found_by_its_words(shop):
    """Another bundle's encoder made the vector that the log holds."""
    entry = ItemChange(
        event_id="x", item_id=NEW, fields=FIELDS, vector=np.ones(32, np.float16).tobytes(), encoder="another"
    )
    (appended,) = shop.graph.live.tail._state.log.append([entry])
    assert next(iter(shop.ask("zorblax", k=60, min_position=appended.position)[0])) == NEW
    assert shop.ask("", "u00", k=61)[0]
    position = shop.upsert(NEW, title="zorblax spread large!")
    shop.ask("milk", min_position=position)
    catalog = shop.graph.live.catalog.current
    assert np.linalg.norm(catalog.vectors.added[0].astype(np.float32)) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    ("item", "fields", "field", "found"),
    [
        ("x1", {"price": 1.0}, "item_id", '"x1"'),
        ("x1", {}, "item_id", '"x1"'),
        ("x1", {"title": None}, "fields.title", "nothing"),
        ("x1", {"title": "\u200b \n"}, "fields.title", '"'),
        ("x1", {"title": 7}, "fields.title", "7"),
        ("x1", {"title": "\ud800"}, "fields.title", "half a character"),
        ("x1", {"title": "x" * 40_000}, "fields.title", "40,000 bytes"),
        ("x1", {"title": "x", "description": {"a": 1}}, "fields.description", '{"a": 1}'),
        ("x1", {"title": "x", "description": ["a", None]}, "fields.description", '["a", null]'),
        ("x1", {"title": "x", "brand": ""}, "fields.brand", '""'),
        ("x1", {"title": "x", "category": "Food > "}, "fields.category", '"Food >'),
        ("x1", {"title": "x", "colour": "red"}, "fields.colour", "an unknown field"),
        ("x\x07", {"title": "x"}, "item_id", '"x'),
        ("x" * 300, {"title": "x"}, "item_id", "300 bytes"),
    ],
)
def test_a_bad_new_item_is_named_by_its_place_and_the_others_are_kept(shop, item, fields, field, found):
    results, status = shop.change(
        {"item_id": "n1", "fields": FIELDS},
        {"item_id": item, "fields": fields},
        {"item_id": "n2", "fields": FIELDS},
    )
    assert [result.get("error", {}).get("field") for result in results] == [None, field, None]
    assert results[1]["error"]["found"].startswith(found)
    assert results[1]["error"]["allowed"]
    assert (status["changed"], status["rejected"]) == (2, 1)


def test_a_delete_of_what_is_not_there_is_refused(shop):
    results, _ = shop.change({"item_id": "x1", "delete": True})
    assert results[0]["error"]["field"] == "item_id"


def test_beyond_the_bound_of_texts_there_is_no_further_one_until_the_next_export(shop, monkeypatch):
    monkeypatch.setattr("fuserank_ensemble.graph.steps.catalog.MAX_TEXTS", 2)
    new = [{"item_id": f"n{n}", "fields": {"title": f"zorblax {n}"}} for n in range(4)]
    results, _ = shop.change(*new)
    assert ["error" in result for result in results] == [False, False, True, True]
    assert "2 items that are new or have other texts" in results[2]["error"]["found"]
    again, _ = shop.change(
        {"item_id": "n0", "fields": {"title": "zorblax again"}},
        {"item_id": ITEM, "fields": {"title": "another"}},
        {"item_id": ITEM, "fields": {"price": 9.0}},
        {"item_id": "n1", "delete": True},
    )
    assert ["error" in result for result in again] == [False, True, False, False]


def test_where_the_encoder_does_not_answer_nothing_is_kept(shop, monkeypatch):
    def full(*arguments):
        raise UnavailableError("encoder: its queue is full")

    monkeypatch.setattr(shop._catalog._encoder, "_call", full)
    with pytest.raises(UnavailableError, match="queue is full"):
        upsert(shop)
    assert shop.upsert(price=2.0) == 1, "what needs no vector is taken, and is the log's first"
