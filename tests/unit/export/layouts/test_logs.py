"""Each known layout of a log is recognised, and its rows become interactions."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from fuserank_ensemble.interactions.events import EVENT_NAMES, EVENTS
from fuserank_export.layouts.config import read_mappings
from fuserank_export.layouts.known import LAYOUTS
from fuserank_export.layouts.mapping import LogMapping
from fuserank_export.layouts.recognise import COMMON_EVENTS
from fuserank_export.sources import InputError, read_interactions

ITEMS = "item_id,title\n10,Lamp\n11,Chair\n12,Rug"
MICROSECONDS = 1_700_000_000_000_000


def param(key, **value):
    return {"key": key, "value": value}


def ga4(name, second, items, **more):
    """An event as BigQuery's export writes it: integers as texts, fields without a value left out."""
    return {
        "event_date": "20231114",
        "event_timestamp": str(MICROSECONDS + second * 1_000_000),
        "event_name": name,
        "event_params": [param("ga_session_id", int_value="77"), param("page_title", string_value="Shop")],
        "user_pseudo_id": "p1.2",
        "device": {"category": "mobile", "language": "en"},
        "geo": {"region": "Bavaria", "country": "Germany"},
        "items": [{"item_id": item, "item_name": "x", "price": 9.5, "item_list_index": "0"} for item in items],
    } | more


def test_wish_lists_shares_and_refunds_of_ga4_are_what_they_say(write_file, write_lines, read_shop):
    kinds = ("add_to_wishlist", "share", "purchase", "refund")
    rows = [ga4(name, second, ["10"], user_id="ann") for second, name in enumerate(kinds)]
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", rows))
    assert [event for _, _, event in shop.events] == ["favourite", "share", "purchase"]
    assert [EVENTS[code] for code in shop.log.negatives.event] == ["return"]


def test_wish_lists_shares_and_refunds_of_segment_are_what_they_say(write_file, write_lines, read_shop):
    names = ("Product Added to Wishlist", "Product Shared", "Order Completed", "Order Refunded")
    rows = [
        {
            "type": "track", "event": name, "userId": "ann", "timestamp": f"2023-11-14T00:00:0{second}Z",
            "properties": {"products": [{"product_id": "11"}]},
        }
        for second, name in enumerate(names)
    ]  # fmt: skip
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", rows))
    assert [event for _, _, event in shop.events] == ["favourite", "share", "purchase"]
    assert [EVENTS[code] for code in shop.log.negatives.event] == ["return"]


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if isinstance(layout.mapping, LogMapping)], ids=lambda layout: layout.name
)
def test_a_layout_names_kinds_of_events_that_there_are(layout):
    assert set(layout.mapping.events.values()) <= {*EVENT_NAMES, "ignore"}
    assert set(COMMON_EVENTS.values()) <= set(EVENT_NAMES)


def test_ga4_events_of_bigquery_become_a_row_an_item(write_file, write_lines, read_shop):
    search = [param("search_term", string_value="lamp"), param("ga_session_id", int_value="77")]
    rows = [
        ga4("session_start", 0, []),
        ga4("view_item_list", 1, ["10", "11"], event_params=search),
        ga4("select_item", 2, ["10"], user_id="ann", event_params=search),
        ga4("add_to_cart", 3, ["10"], user_id="ann"),
        ga4("purchase", 4, ["10", "12"], user_id="ann"),
        ga4("view_item", 5, []),
        ga4("spin_the_wheel", 6, []),
    ]
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", rows))
    assert shop.events == [
        ("ann", "10", "click"), ("ann", "10", "cart"), ("ann", "10", "purchase"), ("ann", "12", "purchase"),
    ]  # fmt: skip
    log = shop.log
    assert len(log.impressions) == 2
    assert log.impressions.queries == ["lamp"]
    assert log.impressions.session[0] != 0
    assert log.timestamp[0] == 1_700_000_002
    assert log.places["device"][1] == ["mobile"]
    assert log.places["region"][1] == ["Bavaria"]
    report = log.report
    assert report.left_out == {"event session_start": 1, "event without an item": 1, "event spin_the_wheel": 1}
    assert (report.read, report.unfolded) == (7, 2)
    assert report.rows == report.kept + report.impressions + report.bad + sum(report.left_out.values())


def test_ga4_positions_are_left_to_the_shop_since_they_may_count_from_0(write_file, write_lines, read_shop):
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", [ga4("purchase", 0, ["10"])]))
    assert '# position = "items.item_list_index"' in shop.toml
    assert "position" not in shop.config["interactions"]["columns"]


def test_nested_fields_of_parquet_and_json_in_csv_cells_are_the_same(write_file, tmp_path, read_shop):
    rows = [ga4("purchase", 4, ["10", "12"], user_id="ann"), ga4("add_to_cart", 5, ["11"], user_id="ben")]
    for row in rows:
        for entry in row["items"]:
            entry["item_revenue"] = 3.5
    pd.DataFrame(rows).to_parquet(tmp_path / "events.parquet")
    as_text = [{name: json.dumps(v) if isinstance(v, list | dict) else v for name, v in row.items()} for row in rows]
    pd.DataFrame(as_text).to_csv(tmp_path / "events.csv", index=False)
    items = write_file("items.csv", ITEMS)
    for name in ("events.parquet", "events.csv"):
        shop = read_shop(items, name)
        assert shop.events == [("ann", "10", "purchase"), ("ann", "12", "purchase"), ("ben", "11", "cart")]
        assert shop.log.value.tolist() == [3.5, 3.5, 3.5]


def test_a_flat_table_of_ga4_is_another_layout_than_its_export(write_file, read_shop):
    shop = read_shop(
        write_file("items.csv", ITEMS),
        write_file(
            "events.csv",
            """
            event_date,event_name,user_pseudo_id,item_id,item_name,search_term
            20231114,view_item,p1,10,Lamp,
            20231115,add_to_cart,p1,10,Lamp,
            20231115,page_view,p1,,,
            """,
        ),
    )
    assert shop.config["interactions"]["layout"] == "ga4-flat"
    assert shop.events == [("p1", "10", "view"), ("p1", "10", "cart")]
    assert shop.log.timestamp.tolist() == [1_699_920_000, 1_700_006_400]


def segment(event, second, properties, **more):
    return {
        "type": "track",
        "event": event,
        "userId": "ann",
        "anonymousId": "a-1",
        "timestamp": f"2023-11-14T22:13:{second:02d}.120Z",
        "properties": properties,
        "context": {"device": {"type": "ios"}, "ip": "127.0.0.1"},
    } | more


def test_segments_calls_become_a_row_a_product(write_file, write_lines, read_shop):
    order = {"order_id": "7", "products": [{"product_id": "10", "price": 4.5}, {"sku": "12"}]}
    rows = [
        {"type": "page", "anonymousId": "a-1", "timestamp": "2023-11-14T22:13:00Z", "properties": {"path": "/"}},
        segment("Product List Viewed", 1, {"products": [{"product_id": "10", "position": 1}, {"product_id": "11"}]}),
        segment("Product Clicked", 2, {"product_id": "10", "position": 1}, userId=None),
        segment("Product Viewed", 3, {"product_id": "10", "price": 5}),
        segment("Product Added", 4, {"product_id": "10"}),
        segment("Order Completed", 5, order),
        segment("Product Reviewed", 6, {"product_id": "10", "rating": "4"}),
        segment("Coupon Applied", 7, {"coupon_id": "c"}),
    ]
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("calls.jsonl", rows))
    assert shop.events == [
        ("a-1", "10", "click"), ("ann", "10", "view"), ("ann", "10", "cart"), ("ann", "10", "purchase"),
        ("ann", "12", "purchase"), ("ann", "10", "rating"),
    ]  # fmt: skip
    assert len(shop.log.impressions) == 2
    assert shop.log.value[-1] == 4.0
    assert shop.log.value[3] == 4.5
    assert shop.log.report.left_out == {"event (none)": 1, "event Coupon Applied": 1}


def test_segments_warehouse_tables_are_read(write_file, read_shop):
    shop = read_shop(
        write_file("items.csv", ITEMS),
        write_file(
            "tracks.csv",
            """
            id,anonymous_id,user_id,event,event_text,product_id,received_at,timestamp
            1,a-1,,product_viewed,Product Viewed,10,2023-11-14 22:13:00,2023-11-14 22:12:59
            2,a-1,ann,order_completed,Order Completed,11,2023-11-14 22:14:00,2023-11-14 22:13:59
            """,
        ),
    )
    assert shop.events == [("a-1", "10", "view"), ("ann", "11", "purchase")]


def test_retailrockets_events_are_read(write_file, read_shop):
    shop = read_shop(
        write_file("items.csv", ITEMS),
        write_file(
            "events.csv",
            """
            timestamp,visitorid,event,itemid,transactionid
            1433221332117,7,view,10,
            1433221333117,7,addtocart,10,
            1433221334117,7,transaction,10,4000
            """,
        ),
    )
    assert shop.events == [("7", "10", "view"), ("7", "10", "cart"), ("7", "10", "purchase")]
    assert shop.log.timestamp[0] == 1_433_221_332


@pytest.mark.parametrize(
    "row",
    [
        {"rating": 5.0, "title": "Great", "text": "…", "asin": "11", "parent_asin": "10", "user_id": "AE",
         "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True},
        {"overall": 5.0, "verified": True, "reviewTime": "05 5, 2020", "reviewerID": "AE", "asin": "10",
         "reviewText": "…", "summary": "Great", "unixReviewTime": 1588687728},
    ],
)  # fmt: skip
def test_amazons_reviews_are_ratings(write_file, write_lines, read_shop, row):
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("reviews.jsonl", [row]))
    assert shop.events == [("AE", "10", "rating")]
    assert shop.log.value.tolist() == [5.0]
    assert shop.log.timestamp.tolist() == [1_588_687_728]


def test_ratings_of_amazon_and_of_movielens_are_told_apart(write_file, read_shop):
    items = write_file("items.csv", ITEMS)
    amazon = read_shop(items, write_file("a.csv", "user_id,parent_asin,rating,timestamp\nAE,10,4.0,1588687728923"))
    movielens = read_shop(items, write_file("m.csv", "userId,movieId,rating,timestamp\n7,10,4.0,1588687728"))
    assert "Amazon's reviews" in amazon.printed
    assert "MovieLens' ratings" in movielens.printed
    assert [event for *_, event in amazon.events + movielens.events] == ["rating", "rating"]


def test_our_columns_with_events_of_ga4_get_names_for_the_events_alone(write_file, write_lines, read_shop):
    names = ["view_item", "add_to_cart", "purchase", "view_item_list", "select_item"]
    rows = [
        {"user_id": f"u{n}", "item_id": "10", "event": name, "timestamp": MICROSECONDS + n * 1_000_000}
        for n, name in enumerate(names)
    ]
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", rows))
    assert [event for *_, event in shop.events] == ["view", "cart", "purchase", "click"]
    assert len(shop.log.impressions) == 1
    assert shop.config["interactions"]["events"]["view_item"] == "view"
    assert shop.config["interactions"].get("columns", {}) == {}


def test_a_first_chunk_without_items_is_no_missing_column(write_file, write_lines, read_shop, tmp_path):
    rows = [*[ga4("session_start", n, []) for n in range(5)], ga4("purchase", 9, ["10"])]
    shop = read_shop(write_file("items.csv", ITEMS), write_lines("events.jsonl", rows))
    mapping = read_mappings(tmp_path / "shop.toml").interactions
    log = read_interactions(tmp_path / "events.jsonl", shop.catalog.item_ids, mapping=mapping, chunk_rows=2)
    assert len(log) == len(shop.log) == 1
    assert log.report.left_out == {"event session_start": 5}


def test_a_field_that_no_item_has_is_an_error(write_lines, tmp_path):
    path = tmp_path / write_lines("events.jsonl", [ga4("purchase", 9, ["10"])])
    columns = {
        "user_id": "user_pseudo_id",
        "item_id": "items.sku",
        "event": "event_name",
        "timestamp": "event_timestamp",
    }
    with pytest.raises(
        InputError, match=r"\[interactions.columns\] item_id = 'items.sku': its first rows have no such field"
    ):
        read_interactions(path, ["10"], mapping=LogMapping(rows="items", columns=columns))
