"""A catalogue is read validated, sorted and the same from every format."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuserank_export.sources import InputError, read_catalog
from fuserank_export.sources.reading import Reading

NOW = 1_700_000_000


def item(item_id="sku-1", title="Milk", **more):
    return {"item_id": item_id, "title": title, **more}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("item_id", "", "missing"),
        ("item_id", "   ", "missing"),
        ("item_id", "a\tb", "holds control characters"),
        ("item_id", "é" * 129, "too long"),
        ("title", "", "missing"),
        ("title", "\x01\x02", "missing"),
        ("price", "-0.01", "negative"),
        ("price", "3 kg", "not a number"),
        ("price", "1_000", "not a number"),
        ("price", "inf", "not finite"),
        ("in_stock", "maybe", "not a truth value"),
        ("created_at", "yesterday", "unreadable timestamp"),
        ("created_at", "20170131", "ambiguous timestamp"),
        ("category", "Food > Soup > Food", "category cycle"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_each_bad_value_makes_one_bad_row_with_its_line(request, kind, column, value, reason):
    bad = item("sku-2", "Bread") | {column: value}
    rows = [item("sku-0", **({column: None} if column not in ("item_id", "title") else {})), bad, item("sku-3")]
    path = request.getfixturevalue(f"write_{kind}")(rows)
    report = read_catalog(path, max_bad_share=1, now=NOW).report
    assert (report.read, report.kept, report.bad) == (3, 2, 1)
    assert dict(report.reasons) == {f"{column}: {reason}": 1}
    assert report.examples[0].line == {"csv": 3, "jsonl": 2, "parquet": 2}[kind]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("item_id", True, "not an id"),
        ("item_id", 1.5, "not an id"),
        ("item_id", ["a"], "not an id"),
        ("title", {"en": "Milk"}, "not text"),
        ("title", False, "not text"),
        ("price", True, "not a number"),
        ("price", [1], "not a number"),
        ("price", 1e999, "not finite"),
        ("in_stock", 5, "not a truth value"),
        ("created_at", True, "unreadable timestamp"),
        ("created_at", 10**30, "unreadable timestamp"),
        ("category", [[True]], "not text"),
        ("category", json.loads("[" * 40 + "]" * 40), "nested too deeply"),
        ("category", ["A", "B", "A"], "category cycle"),
        ("tags", json.loads("[" * 40 + "]" * 40), "nested too deeply"),
    ],
)
def test_json_values_of_the_wrong_kind_are_bad_rows(write_jsonl, column, value, reason):
    path = write_jsonl([item("sku-0"), item("sku-2") | {column: value}])
    report = read_catalog(path, max_bad_share=1).report
    assert (report.read, report.kept, dict(report.reasons)) == (2, 1, {f"{column}: {reason}": 1})


def test_a_row_with_two_faults_is_counted_once(write_csv):
    report = read_catalog(write_csv([item(price="1"), item("", price="-1")]), max_bad_share=1).report
    assert (report.read, report.kept, report.bad) == (2, 1, 1)


def test_the_first_valid_row_of_an_id_stays_and_later_ones_name_its_line(write_csv):
    rows = [item("a", "First", price="x"), item("a", "Second", price="1"), item("b", price="1")]
    rows += [item("a", "Third", price="2"), item("a", "Fourth", price="2")]
    catalog = read_catalog(write_csv(rows), max_bad_share=1, chunk_rows=2)
    assert catalog.items["title"].tolist() == ["Second", "Milk"]
    assert dict(catalog.report.reasons) == {"price: not a number": 1, "item_id: duplicate": 2}
    assert catalog.report.examples[1].reason == "duplicate; first in line 3"


def test_text_is_cleaned_and_counted_and_emoji_stay(write_jsonl):
    rows = [item("a", "Oat\x00 milk\u0085now", description=" line\nbreak "), item("b", "👩‍🌾 Farm 🥛")]
    catalog = read_catalog(write_jsonl(rows))
    assert catalog.items["title"].tolist() == ["Oat  milk now", "👩‍🌾 Farm 🥛"]
    assert catalog.items["description"].tolist() == ["line break", None]
    assert catalog.report.cleaned == 2


def test_zero_and_missing_prices_are_kept(write_csv):
    rows = [item("a", price="0"), item("b", price=""), item("c", price="-0.0"), item("d", price=" 2.5 ")]
    prices = read_catalog(write_csv(rows)).items["price"].to_numpy()
    assert prices[[0, 2, 3]].tolist() == [0.0, 0.0, 2.5]
    assert math.isnan(prices[1])
    assert not np.signbit(prices[2])


def test_truth_values_are_read_in_any_spelling(write_jsonl):
    values = [True, "FALSE", 1, 0, "Yes", "no", "1", 0.0, None, ""]
    rows = [item(f"{number}", in_stock=value) for number, value in enumerate(values)]
    stock = read_catalog(write_jsonl(rows)).items["in_stock"]
    assert stock.dtype == "boolean"
    assert stock[:8].tolist() == [True, False, True, False, True, False, True, False]
    assert stock[8:].isna().all()


def test_timestamps_in_every_form_are_the_same_second(write_jsonl):
    second = 1_483_271_606
    forms = [
        second, str(second), second * 1000, second + 0.7, "2017-01-01T11:53:26Z", "2017-01-01 11:53:26",
        "2017-01-01T13:53:26.9+02:00", f"{second * 1000}",
    ]  # fmt: skip
    rows = [item(f"{number}", created_at=value) for number, value in enumerate(forms)]
    created = read_catalog(write_jsonl(rows)).items["created_at"]
    assert created.tolist() == [second] * len(forms)


@pytest.mark.parametrize("unit", ["datetime64[s]", "datetime64[ns]"])
def test_parquet_timestamps_are_read_with_and_without_a_time_zone(write_parquet, unit):
    naive = pd.Series(np.array(["2017-01-01T11:53:26", "NaT"], unit))
    for moments in (naive, naive.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")):
        frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "created_at": moments})
        created = read_catalog(write_parquet(frame)).items["created_at"]
        assert created[0] == 1_483_271_606
        assert created.isna().tolist() == [False, True]
    dates = pd.DataFrame({"item_id": ["a"], "title": ["A"], "created_at": [dt.date(2017, 1, 1)]})
    assert read_catalog(write_parquet(dates)).items["created_at"].tolist() == [1_483_228_800]


def test_an_item_from_the_future_is_kept_with_a_warning(write_csv):
    rows = [item("a", created_at=str(NOW + 90_000)), item("b", created_at=str(NOW + 80_000))]
    report = read_catalog(write_csv(rows), now=NOW).report
    assert (report.kept, report.bad, dict(report.warnings)) == (2, 0, {"created_at in the future": 1})


def test_categories_become_clean_paths(write_jsonl):
    values = [" Food>  Soup >", ["Food", "", " Dry  Soup"], "Soup > Soup", ">", None, "食品 > 汤"]
    rows = [item(f"{number}", category=value) for number, value in enumerate(values)]
    categories = read_catalog(write_jsonl(rows)).items["category"].tolist()
    assert categories == ["Food > Soup", "Food > Dry Soup", "Soup", None, None, "食品 > 汤"]


def test_a_category_may_be_a_list_of_levels_in_parquet(write_parquet):
    catalog = read_catalog(write_parquet([item("a", category=["Food", "Soup"]), item("b", category=None)]))
    assert catalog.items["category"].tolist() == ["Food > Soup", None]


def test_whole_number_ids_become_their_digits(write_jsonl, write_parquet):
    for write in (write_jsonl, write_parquet):
        catalog = read_catalog(write([item(9), item(123), item(2**53 + 1)]))
        assert catalog.item_ids == ["123", "9", str(2**53 + 1)]
    floats = pd.DataFrame({"item_id": [123.0, np.nan, 9.0], "title": "Milk"})
    assert read_catalog(write_parquet(floats), max_bad_share=0.5).item_ids == ["123", "9"]


def test_items_are_sorted_by_the_bytes_of_their_ids(write_jsonl):
    ids = ["b", "B", "10", "9", "é", "z", "汤", "😀", "\uffee", "a b", "a"]
    catalog = read_catalog(write_jsonl([item(item_id) for item_id in ids]))
    as_bytes = np.array([item_id.encode() for item_id in ids], dtype="S")
    assert [item_id.encode() for item_id in catalog.item_ids] == np.sort(as_bytes).tolist()
    assert catalog.items.index.equals(pd.RangeIndex(len(ids)))


def test_all_formats_give_the_same_catalogue(write_csv, write_jsonl, write_parquet):
    rows = [
        item("b", "牛奶 半加仑", description="Line one", category="食品 > 乳制品", brand="光明", price=3.5,
             in_stock=True, created_at="2017-01-01T00:00:00Z", image_url="http://x/b.png", code="007", fat="low"),
        item("a", 'Bread, "sliced"', description=None, category=None, brand=None, price=None,
             in_stock=None, created_at=None, image_url=None, code="42", fat=None),
    ]  # fmt: skip
    catalogs = [read_catalog(write(rows)) for write in (write_csv, write_jsonl, write_parquet)]
    for other in catalogs[1:]:
        pd.testing.assert_frame_equal(catalogs[0].items, other.items)
    assert catalogs[0].items["code"].tolist() == ["42", "007"]
    assert catalogs[0].extra_columns == ("code", "fat")


def test_extra_columns_keep_their_types(write_jsonl, write_parquet):
    rows = [
        item("a", year=1999, score=1.5, organic=True, tags=["x", "y"], size={"cm": 3}, ean=10**25, mix=1, none=None),
        item("b", year=None, score=2, organic=False, tags=[], size=None, ean=1, mix="one", none=""),
    ]
    catalog = read_catalog(write_jsonl(rows))
    items = catalog.items
    assert items["year"].dtype == "Int64"
    assert items["score"].dtype == "float64"
    assert items["organic"].dtype == "bool"
    assert items["tags"].tolist() == [["x", "y"], []]
    assert items["size"].tolist() == [{"cm": 3}, None]
    assert items["ean"].tolist() == [str(10**25), "1"]
    assert items["mix"].tolist() == ["1", "one"]
    assert "none" not in items
    assert catalog.report.dropped_columns == ["none"]
    typed = read_catalog(write_parquet(pd.DataFrame({"item_id": [1, 2], "title": "x", "n": [3, 4], "s": ["5", "6"]})))
    assert typed.items["n"].dtype == "int64"
    assert typed.items["s"].tolist() == ["5", "6"]


def test_a_csv_column_is_numeric_when_asked_for(write_csv):
    path = write_csv([item("a", year="1999"), item("b", year=""), item("c", year="soon")])
    catalog = read_catalog(path, reading=Reading(types={"year": "number"}), max_bad_share=0.5)
    assert catalog.items["year"].tolist()[0] == 1999.0
    assert dict(catalog.report.reasons) == {"year: not a number": 1}
    with pytest.raises(InputError, match=r"--types names 'yaer'.*Did you mean 'year'"):
        read_catalog(path, reading=Reading(types={"yaer": "number"}))


def test_a_title_of_100_kb_is_kept(write_csv):
    catalog = read_catalog(write_csv([item(title="word " * 40_000)]))
    assert len(catalog.items["title"][0]) == 199_999


def test_an_empty_catalogue_is_an_error_and_one_item_is_enough(write_text):
    for content in ("item_id,title\n", "item_id,title\n,\n"):
        with pytest.raises(InputError, match="found no valid item"):
            read_catalog(write_text(content), max_bad_share=1)
    assert len(read_catalog(write_text("item_id,title\n1,Milk\n"))) == 1


def test_too_many_bad_rows_are_an_error_with_examples(write_csv, tmp_path):
    rows = [item(f"{number}", price="1") for number in range(18)] + [item("x", price="?"), item("y", price="?")]
    with pytest.raises(InputError, match=r"2 of 20 rows \(10\.0%\)[^\0]*rows\.csv:20: price: found '\?'"):
        read_catalog(write_csv(rows), bad_rows_path=tmp_path / "bad.jsonl")
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2
    assert len(read_catalog(write_csv(rows), max_bad_share=0.1)) == 18


CELLS = st.one_of(st.text(max_size=12), st.sampled_from(["a", "b", "1", "-1", "true", "A > B > A", '"', ",", "\n"]))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["item_id", "title", "price", "category", "in_stock", "created_at", "tags"])


def check_counts(report):
    assert report.read == report.kept + report.bad + report.unknown_item
    assert report.bad == sum(report.reasons.values())
    json.dumps(report.summary()).encode()
    str(report).encode()


QUICK = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@QUICK
@given(
    body=st.one_of(
        st.binary(max_size=200), st.lists(CELLS, max_size=40).map(lambda c: ",".join(c).encode("utf-8", "ignore"))
    )
)
def test_counts_add_up_for_random_csv(write_text, body):
    path = write_text(b"item_id,title,price,category\nsku-ok,Milk,1,\n" + body)
    check_counts(read_catalog(path, max_bad_share=1).report)


@QUICK
@given(rows=st.lists(st.dictionaries(NAMES, JSON_VALUES, max_size=7), max_size=8), noise=st.binary(max_size=20))
def test_counts_add_up_for_random_jsonl(write_text, rows, noise):
    lines = [json.dumps(row).encode() for row in [item("sku-ok"), *rows]] + [noise]
    catalog = read_catalog(write_text(b"\n".join(lines), "x.jsonl"), max_bad_share=1, chunk_rows=3)
    check_counts(catalog.report)
    assert catalog.report.read >= 1 + len(rows)


@pytest.mark.parametrize(("word", "flag"), [("In Stock", 1), ("y", 1), ("有货", 1), ("缺货", 0), ("sold out", 0)])
def test_stock_is_read_in_the_words_that_shops_write(write_csv, word, flag):
    assert read_catalog(write_csv([item(in_stock=word)]), now=NOW).items["in_stock"].tolist() == [flag]


def test_a_word_without_a_meaning_is_refused_with_where_to_give_it_one(write_csv):
    report = read_catalog(write_csv([item("sku-0"), item(in_stock="ja")]), max_bad_share=1, now=NOW).report
    assert "[catalog.values]" in report.examples[0].reason
