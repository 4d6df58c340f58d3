"""Files that have no header, another encoding or delimiter, or lines before their header go through `init` too."""

from __future__ import annotations

import json
import tomllib

import pytest
import typer.main
from typer.testing import CliRunner

from fuserank_export.cli import app
from fuserank_export.layouts.config import read_mappings, read_options
from fuserank_export.sources import read_catalog
from fuserank_export.sources.reading import parse_reading
from fuserank_export.sources.users import read_users

MOVIES = (
    "1::Toy Story (1995)::Animation|Children's|Comedy\n2::Die Hard: 'Stirb' (1988)::Action\n3::Alien (1979)::Horror"
)
RATINGS = "7::1::5::978300760\n7::2::5::978302109\n8::3::5::978301968"


def test_movielens_files_without_a_header_are_recognised(write_file, read_shop):
    shop = read_shop(write_file("movies.dat", MOVIES), write_file("ratings.dat", RATINGS))
    assert "MovieLens' films" in shop.printed
    assert "MovieLens' ratings" in shop.printed
    assert shop.config["catalog"]["header"] == ["movieId", "title", "genres"]
    assert shop.items["2"] == {"title": "Die Hard: 'Stirb' (1988)", "genre": ["Action"]}
    assert shop.items["1"]["genre"] == ["Animation", "Children's", "Comedy"]
    assert sorted(shop.events) == [("7", "1", "rating"), ("7", "2", "rating"), ("8", "3", "rating")]


def test_the_tabs_of_u_data_are_read_too(write_file, read_shop):
    shop = read_shop(write_file("movies.dat", MOVIES), write_file("u.data", RATINGS.replace("::", "\t")))
    assert shop.config["interactions"]["header"] == ["userId", "movieId", "rating", "timestamp"]
    assert len(shop.events) == 3


def test_a_file_of_no_known_layout_without_a_header_gets_names_to_be_said(write_file, run_init, tmp_path):
    name = write_file("stock.csv", "1001,Red mug,4.50\n1002,Blue mug,5.50")
    done = run_init(name)
    assert "not found: item_id, which is required" in done.output
    config = tomllib.loads((tmp_path / "shop.toml").read_text())
    assert config["catalog"]["header"] == ["column_1", "column_2", "column_3"]
    toml = (tmp_path / "shop.toml").read_text().replace("column_1", "item_id").replace("column_2", "title")
    (tmp_path / "shop.toml").write_text(toml)
    catalog = read_catalog(tmp_path / name, mapping=read_mappings(tmp_path / "shop.toml").catalog)
    assert catalog.items["title"].tolist() == ["Red mug", "Blue mug"]


def test_how_a_file_is_written_stands_in_the_toml_file_and_reads_it(run_init, tmp_path):
    content = "Bestand;;\nArtikel Nummer^Name^Preis\n1^Žižka^9,50\n2^Čaj^12,00\n"
    (tmp_path / "items.csv").write_bytes(content.encode("windows-1250"))
    given = ["--encoding", "windows-1250", "--delimiter", "catalog=^", "--skip-lines", "1"]
    done = run_init("items.csv", *given)
    assert done.exit_code == 0, done.output
    written = tomllib.loads((tmp_path / "shop.toml").read_text())
    assert written["inputs"] == {
        "catalog": "items.csv",
        "encoding": "windows-1250",
        "delimiter": ["catalog=^"],
        "skip-lines": ["1"],
    }
    assert written["catalog"]["columns"] == {"title": "Name"}
    command = typer.main.get_command(app).commands["bundle"]
    options = read_options(tmp_path / "shop.toml", command, all_options=True)
    reading = parse_reading(
        encoding=options["encoding"], delimiters=options["delimiter"], skip_lines=options["skip_lines"]
    )
    mapping = read_mappings(tmp_path / "shop.toml").catalog
    mapping = type(mapping)(columns={**mapping.columns, "item_id": "Artikel Nummer", "price": "Preis"})
    catalog = read_catalog(tmp_path / "items.csv", mapping=mapping, reading=reading)
    assert catalog.items["title"].tolist() == ["Žižka", "Čaj"]
    assert catalog.items["price"].tolist() == [9.5, 12]


def test_lines_before_the_header_of_a_mapped_file_are_left_out(write_file, read_shop):
    shop = read_shop(write_file("stock.csv", "Stock of 1 May,,\n\nSKU,Product Name,Brand\n007,Lamp,Lux\n008,Mug,Acme"))
    assert shop.items == {"007": {"title": "Lamp", "brand": "Lux"}, "008": {"title": "Mug", "brand": "Acme"}}


FEED = """<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>A1</g:id><title>Red mug</title><link>https://x/1</link><g:image_link>i</g:image_link>
<g:price>4.50 EUR</g:price><g:availability>in_stock</g:availability><g:product_type>Kitchen &gt; Mugs</g:product_type>
<g:gtin>4006381333931</g:gtin></item>
<item><g:id>A2</g:id><title>Blue mug</title><link>https://x/2</link><g:image_link>i</g:image_link>
<g:price>5.50 EUR</g:price><g:availability>out of stock</g:availability></item></channel></rss>"""


def test_a_merchant_feed_in_xml_is_read_as_its_table_is(write_file, read_shop):
    shop = read_shop(write_file("feed.xml", FEED))
    assert "a Google Merchant feed" in shop.printed
    first = shop.items["A1"]
    assert (first["title"], first["price"], first["in_stock"]) == ("Red mug", 4.5, True)
    assert (first["category"], first["gtin"]) == ("Kitchen > Mugs", "4006381333931")
    assert shop.items["A2"]["in_stock"] is False


def test_a_file_of_users_is_drafted_and_read(write_file, run_init, tmp_path):
    items = write_file("items.csv", "item_id,title\n1,Lamp")
    users = write_file(
        "crm.csv", "Customer ID,Member Since,Tier,City\nann,27/1/2023,gold,Bonn\nbob,1/2/2023,silver,Kiel"
    )
    done = run_init(items, "--users", users)
    assert done.exit_code == 0, done.output
    assert "user_id = 'Customer ID', since = 'Member Since'" in done.output
    toml = (tmp_path / "shop.toml").read_text()
    assert "# Groups of users, by their own names: Tier, City" in toml
    config = tomllib.loads(toml)
    assert config["inputs"]["users"] == "crm.csv"
    segments, _ = read_users(tmp_path / users, mapping=read_mappings(tmp_path / "shop.toml").users)
    assert sorted(segments.columns) == ["City", "Tier"]
    assert segments.users.tolist() == [b"ann", b"bob"]


def test_a_log_given_as_users_is_named(write_file, run_init):
    log = write_file("events.csv", "timestamp,visitorid,event,itemid\n1,2,view,3")
    done = run_init(write_file("items.csv", "item_id,title\n1,Lamp"), "--users", log)
    assert done.exit_code == 2
    assert "found RetailRocket's events, which is no file of users; name it with --events" in " ".join(
        done.output.split()
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--delimiter", "catalogue=;", "Did you mean 'catalog'?"),
        ("--delimiter", '"', "allowed: what stands between cells"),
        ("--skip-lines", "three", "found 'three'; allowed: a whole number from 0 to 10,000"),
        ("--encoding", "windows-99", "found 'windows-99'; allowed: the name of a text encoding"),
    ],
)
def test_an_option_that_says_nothing_is_refused(write_file, run_init, option, value, message):
    done = run_init(write_file("items.csv", "item_id,title\n1,Lamp"), option, value)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_the_remembered_reading_is_used_by_the_command_line(tmp_path):
    done = CliRunner().invoke(app, ["train", "ranker", "--bundle", str(tmp_path), "--out", str(tmp_path / "x")])
    assert done.exit_code == 2
    assert "not readable; a bundle is a folder" in " ".join(done.output.split())


def test_chinese_names_of_columns_and_events_are_taken_for_what_they_are(write_file, read_shop):
    items = write_file("商品.csv", "商品编号,商品名称,价格,类目\n1,矿泉水,￥3.50,饮料\n2,手机壳,19元,数码")
    events = write_file(
        "行为.csv", "用户ID,商品ID,行为,时间\nu1,1,浏览,2024-01-01 10:00:00\nu1,2,购买,2024-01-02 10:00:00"
    )
    shop = read_shop(items, events)
    assert shop.items["1"] == {"title": "矿泉水", "price": 3.5, "category": "饮料"}
    assert shop.items["2"]["price"] == 19.0
    assert sorted(shop.events) == [("u1", "1", "view"), ("u1", "2", "purchase")]


def test_a_price_that_is_an_object_is_read_by_its_amount(write_file, read_shop):
    rows = [{"item_id": str(row), "title": "Lamp", "price": {"amount": row, "currency": "USD"}} for row in (1, 2)]
    assert read_shop(write_file("items.json", json.dumps(rows))).items["2"]["price"] == 2.0
