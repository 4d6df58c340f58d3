"""What names of columns do not say, their values do; where two columns could be meant, none is taken."""

from __future__ import annotations

import pytest

ITEMS = "item_id,title\n2268318,Dress\n2333346,Shoes\n2576651,Case"


def test_a_log_without_names_is_read_by_its_values(write_file, read_shop, run_init, tmp_path):
    log = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,buy,1511561733\n2,2576651,149192,fav,1511572885"
    done = run_init(write_file("items.csv", ITEMS), "--events", write_file("log.csv", log))
    said = " ".join(done.output.split())
    assert "by their values, see whether they are right: timestamp = 'column_5', event = 'column_4'" in said
    assert "item_id = 'column_2'" in said
    assert "not found: user_id, which is required" in said
    toml = (tmp_path / "shop.toml").read_text("utf-8")
    assert 'item_id = "column_2" # by its values: see whether it is right' in toml


def test_of_two_columns_that_hold_such_values_none_is_taken(write_file, run_init):
    log = "who,what,then,when,kind\n10,10,2024-01-02,2024-02-03,view\n11,11,2024-01-03,2024-02-04,buy"
    items = write_file("items.csv", "item_id,title\n10,Lamp\n11,Rug")
    said = " ".join(run_init(items, "--events", write_file("log.csv", log)).output.split())
    assert "by their values, see whether they are right: event = 'kind' not found" in said
    for missing in ("user_id", "item_id", "timestamp"):
        assert f"not found: {missing}, which is required" in said


def test_every_row_of_a_log_of_orders_is_a_purchase_and_that_is_said(write_file, read_shop):
    log = "t_dat,customer_id,article_id,price\n2018-09-20,ann,0108,0.05\n2018-09-21,bea,0110,0.03"
    items = "article_id,prod_name,product_type_name,detail_desc\n0108,Strap top,Vest,Jersey\n0110,OP T-shirt,Bra,Soft"
    shop = read_shop(write_file("articles.csv", items), write_file("orders.csv", log))
    assert shop.events == [("ann", "0108", "purchase"), ("bea", "0110", "purchase")]
    assert shop.items["0108"] == {"title": "Strap top", "category": "Vest", "description": "Jersey"}
    assert "every row is taken for a purchase, as there is a column 'price'" in " ".join(shop.printed.split())
    assert 'event = "purchase" # of every row, as there is a column price: see whether it is right' in shop.toml


def test_orders_of_which_some_came_back_are_asked_for(write_file, run_init):
    log = "Invoice,StockCode,Quantity,InvoiceDate,Customer ID\n1,A,12,2009-12-01 07:45:00,7\nC1,A,-12,2009-12-02,7"
    items = write_file("items.csv", "StockCode,Description\nA,Paper bunting\nB,Lights")
    said = " ".join(run_init(items, "--events", write_file("orders.csv", log)).output.split())
    assert "title = 'Description'" in said, "of a file with one text it is the name"
    assert "item_id = 'StockCode', timestamp = 'InvoiceDate'" in said
    assert "not found: event, which is required" in said


@pytest.mark.parametrize("name", ["售价(元)", "Price (EUR)", "price [incl. VAT]"])
def test_a_remark_in_brackets_is_no_part_of_a_name(write_file, read_shop, name):
    shop = read_shop(write_file("items.csv", f"id,name,{name}\n1,Lamp,9.5"))
    assert shop.items["1"] == {"title": "Lamp", "price": 9.5}


def test_of_two_prices_none_is_taken(write_file, read_shop):
    shop = read_shop(write_file("items.csv", "id,name,Price (net),Price (gross)\n1,Lamp,8,9.5"))
    assert "price" not in shop.items["1"]


def test_a_first_line_with_addresses_is_a_row_also_where_two_cells_are_alike(write_file, run_init, tmp_path):
    news = "N1\tsport\tA match\thttps://x/1\t[]\t[]\nN2\tnews\tAn election\thttps://x/2\t[]\t[]"
    done = run_init(write_file("news.tsv", news))
    assert done.exit_code == 0
    assert '"column_6",\n] # the file has none: its columns in their order' in (tmp_path / "shop.toml").read_text(
        "utf-8"
    )
