"""Ids that differ only in how a program wrote them meet; a log of another catalogue is refused with examples."""

from __future__ import annotations

import pytest

from fuserank_ensemble.catalog import filters
from fuserank_export.index.catalog import index_catalog
from fuserank_export.sources import InputError, read_catalog, read_interactions
from fuserank_export.sources.users import read_users

NOW = 1_700_000_000


def events(*pairs):
    return [{"user_id": user, "item_id": item, "event": "view", "timestamp": NOW - 9} for user, item in pairs]


def test_ids_that_pandas_made_floats_meet_their_item_and_their_user(write_csv):
    log = read_interactions(write_csv(events(("41.0", "5.0"), ("42.0", "6.0"), ("41", "x"))), ["5", "6", "x"], now=NOW)
    assert log.item.tolist() == [0, 1, 2]
    assert log.user_ids == ["41", "42"]
    assert log.user.tolist() == [0, 1, 0]
    assert "item_id: 2 ids are written as decimal numbers: 5.0 is item 5" in str(log.report)
    assert "user_id: 2 ids such as 7.0 are taken for whole numbers" in str(log.report)


def test_a_catalogue_of_floats_is_met_by_whole_numbers(write_csv):
    assert read_interactions(write_csv(events(("u", "5"))), ["5.0", "6.0"], now=NOW).item.tolist() == [0]


def test_ids_with_a_fraction_stay_where_they_have_another_reading(write_csv):
    rows = events(("v1.0", "5.0"), ("v2", "5"), ("7.0", "6.00"))
    log = read_interactions(write_csv(rows), ["5", "5.0", "6.0", "6.000"], now=NOW)
    assert log.item.tolist() == [1, 0]  # 6.00 may be 6.0 and 6.000
    assert log.user_ids == ["v1.0", "v2"]
    assert log.report.unknown_item_ids == {"6.00"}


def test_users_of_both_files_meet(write_csv):
    segments, report = read_users(write_csv([{"user_id": f"{n}.0", "tier": f"t{n % 2}"} for n in range(4)]))
    assert segments.users.tolist() == [b"0", b"1", b"2", b"3"]
    assert "4 ids such as 7.0 are taken for whole numbers" in str(report)
    both = [{"user_id": "7", "tier": "a"}, {"user_id": "7.0", "tier": "b"}]
    assert read_users(write_csv(both))[0].users.tolist() == [b"7", b"7.0"]


@pytest.mark.parametrize(
    ("of_log", "of_catalogue", "reason"),
    [
        ("8812", "008812", "8812 would be 008812 but for leading zeros"),
        ("sku-1", "SKU-1", "sku-1 would be SKU-1 but for capital letters"),
        ("AB 12", "AB-12", "AB 12 would be AB-12 but for marks and spaces"),
        ("4711", "gid://shop/Product/4711", "4711 would be gid://shop/Product/4711 but for what stands before"),
        ("1.08775E+08", "108775015", "1.08775E+08 is a number that a spreadsheet rounded: its digits are lost"),
        ("q", "z", ""),
    ],
)
def test_a_log_of_unknown_items_is_an_error_with_examples_and_the_likely_cause(write_csv, of_log, of_catalogue, reason):
    path = write_csv(events(("u", of_log), ("u", "gone"), ("v", "z9")))
    with pytest.raises(InputError) as caught:
        read_interactions(path, [of_catalogue, "z8", "z9"], now=NOW)
    message = str(caught.value)
    assert "2 of 3 rows (66.7%) name items that the catalogue has not; allowed: 50.0%" in message
    assert f"the log has {', '.join(sorted([of_log, 'gone']))}" in message
    assert "the catalogue has" in message
    assert "--max-unknown-items" in message
    assert reason in message
    log = read_interactions(path, [of_catalogue, "z8", "z9"], now=NOW, max_unknown_share=0.7)
    assert len(log) == 1
    assert reason in str(log.report)


def test_a_brand_and_an_id_have_one_spelling_in_files_filters_and_look_ups(write_csv):
    rows = [
        {"item_id": "\ufeffa\u0301", "title": "T", "brand": "Cafe\u0301\u200b", "category": "Pa\u0302te > Neuf"},
        {"item_id": "b", "title": "T", "brand": "Caf\u00e9", "category": "P\u00e2te > Vieux"},
    ]
    catalog = read_catalog(write_csv(rows))
    assert catalog.item_ids == ["b", "\u00e1"]
    indexed = index_catalog(catalog, "{title}")
    for spelling in ("Caf\u00e9", "Cafe\u0301", " Caf\u00e9 "):
        assert filters.parse({"brand": spelling}, indexed.items.columns.kinds)(indexed.items.columns).all()
    assert filters.parse({"category": "Pa\u0302te"}, indexed.items.columns.kinds)(indexed.items.columns).all()
    assert indexed.items.row("a\u0301") == indexed.items.row("\u00e1") == 1
    log = read_interactions(write_csv(events(("e\u0301", "a\u0301\u200b"))), catalog.item_ids, now=NOW)
    assert (log.user_ids, log.item.tolist()) == (["\u00e9"], [1])


def test_a_filter_on_a_category_finds_every_category_of_an_item(write_csv):
    rows = [
        {"item_id": "a", "title": "T", "category": "Men > Hats, Men > Sale"},
        {"item_id": "b", "title": "T", "category": "Men > Hats"},
        {"item_id": "c", "title": "T", "category": ""},
    ]
    indexed = index_catalog(read_catalog(write_csv(rows)), "{title}")
    columns = indexed.items.columns
    assert indexed.records[0]["category"] == "Men > Hats"
    assert indexed.records[0]["categories"] == ["Men > Hats", "Men > Sale"]
    for wanted, found in (("Men > Sale", "a"), ("Men > Hats", "ab"), ("Men", "ab"), ("Sale", "")):
        mask = filters.parse({"category": wanted}, columns.kinds)(columns)
        assert "".join(name for name, hit in zip("abc", mask, strict=True) if hit) == found
    assert filters.parse({"category": "Men > Sale"}, columns.kinds)(columns.take(indexed.items.text[:0])).tolist() == []
