"""`export init` says what it found and asks for the rest; messages about missing columns and odd events offer it."""

from __future__ import annotations

import tomllib

import pytest

from fuserank_export.layouts.known import LAYOUTS
from fuserank_export.layouts.recognise import recognise
from fuserank_export.sources import InputError, read_catalog, read_interactions

ODD = "artikel_nr,bezeichnung,marke,preis\n1,Lampe,Lux,9.50"


def test_an_unknown_layout_gets_what_is_found_and_what_is_missing(write_file, run_init, tmp_path):
    done = run_init(write_file("artikel.csv", ODD))
    assert done.exit_code == 0
    assert "artikel.csv: no known layout" in done.output
    assert "not found: item_id, which is required" in done.output
    assert "not found: title, which is required" in done.output
    assert "say in it what is missing" in done.output
    toml = (tmp_path / "shop.toml").read_text()
    assert '# item_id = "…"  # required: say which column it is. Found: artikel_nr, bezeichnung, marke, preis' in toml
    assert tomllib.loads(toml)["inputs"]["catalog"] == "artikel.csv"


def test_columns_of_an_unknown_layout_are_taken_by_common_names_and_said_so(write_file, read_shop):
    shop = read_shop(
        write_file("stock.csv", "SKU,Product Name,Manufacturer,List Price,Shelf\n007,Lamp,Lux,9.50,A3"),
        write_file("log.csv", "customer_id,sku,action,event_time\nann,007,Add_To_Cart,2024-01-01T00:00:00Z"),
    )
    assert "taken by their names, see whether they are right: item_id = 'SKU', title = 'Product Name'" in shop.printed
    assert 'title = "Product Name" # by its name: see whether it is right' in shop.toml
    assert shop.items == {"007": {"title": "Lamp", "brand": "Lux", "price": 9.5, "Shelf": "A3"}}
    assert shop.events == [("ann", "007", "cart")]


def test_events_of_unknown_meaning_are_commented_lines(write_file, run_init, tmp_path):
    items = write_file("items.csv", "item_id,title\n1,Lamp")
    rows = "\n".join(["user_id,item_id,event,timestamp", *["a,1,peek,1700000000"] * 3, "a,1,view,1700000000"])
    done = run_init(items, "--events", write_file("log.csv", rows), "--force")
    assert "events of unknown meaning, which are bad rows unless the commented lines of " in done.output
    toml = (tmp_path / "shop.toml").read_text()
    assert '# peek = "…"  # 3 of the first 4 rows, bad rows until it has a name' in toml


def test_what_is_not_known_is_asked_at_a_terminal(write_file, run_init, tmp_path, monkeypatch):
    monkeypatch.setattr("fuserank_export.layouts.cli._at_terminal", lambda: True)
    answers = iter(["nonsense", "Artikel Nr", "bezeichnung", "", "click"])  # the fourth leaves user_id open
    monkeypatch.setattr("fuserank_export.layouts.ask.typer.prompt", lambda *_, **__: next(answers))
    log = write_file("log.csv", "wer,item_id,event,timestamp\na,1,peek,1700000000")
    done = run_init(write_file("artikel.csv", ODD), "--events", log, "--force")
    assert done.exit_code == 0, done.output
    config = tomllib.loads((tmp_path / "shop.toml").read_text())
    assert config["catalog"]["columns"] == {"item_id": "artikel_nr", "title": "bezeichnung"}
    assert config["interactions"]["events"] == {"peek": "click"}
    assert "not found: user_id" in done.output  # the empty answer leaves it open


def test_the_event_of_every_row_is_an_answer_too(write_file, run_init, tmp_path, monkeypatch):
    monkeypatch.setattr("fuserank_export.layouts.cli._at_terminal", lambda: True)
    monkeypatch.setattr("fuserank_export.layouts.ask.typer.prompt", lambda *_, **__: "Purchase")
    log = write_file("log.csv", "user_id,item_id,timestamp\na,1,1700000000")
    assert run_init(write_file("items.csv", "item_id,title\n1,Lamp"), "--events", log).exit_code == 0
    assert tomllib.loads((tmp_path / "shop.toml").read_text())["interactions"]["event"] == "purchase"


def test_an_existing_file_is_not_replaced_without_force(write_file, run_init, tmp_path):
    (tmp_path / "shop.toml").write_text("# mine\n")
    done = run_init(write_file("items.csv", "item_id,title\n1,Lamp"))
    assert done.exit_code == 2
    assert "--force" in done.output
    assert (tmp_path / "shop.toml").read_text() == "# mine\n"


def test_a_log_in_place_of_the_catalogue_is_named(write_file, run_init):
    log = write_file("events.csv", "timestamp,visitorid,event,itemid\n1,2,view,3")
    done = run_init(log)
    assert done.exit_code == 2
    message = "found RetailRocket's events, which is no catalogue; name it with --events"
    assert message in " ".join(done.output.split())


def test_a_missing_column_offers_the_command_and_names_the_layout(write_file, tmp_path):
    path = tmp_path / write_file("my shop.csv", "Handle,Title,Vendor,Variant Price\nx,Lamp,Lux,9")
    with pytest.raises(
        InputError, match=r"It looks like Shopify's product export: `fuserank export init '.*my shop.csv'`"
    ):
        read_catalog(path)
    with pytest.raises(InputError, match=r"`fuserank export init .*odd.csv` writes a file that maps its columns"):
        read_catalog(tmp_path / write_file("odd.csv", ODD))
    path = tmp_path / write_file("log.csv", "timestamp,visitorid,event,itemid\n1,2,view,3")
    with pytest.raises(InputError, match=r"RetailRocket's events: `fuserank export init CATALOG --events .*log.csv`"):
        read_interactions(path, ["3"])


@pytest.mark.parametrize(
    ("event", "title"),
    [
        ("view_item", "GA4's BigQuery export"),
        ("addtocart", "RetailRocket's events"),
        ("Product Added", "Segment's calls"),
    ],
)
def test_events_of_another_layout_offer_the_command_and_name_it(write_file, tmp_path, event, title):
    path = tmp_path / write_file("log.csv", f"user_id,item_id,event,timestamp\na,1,{event},1700000000")
    with pytest.raises(InputError, match=f"named as in {title}: `fuserank export init CATALOG --events "):
        read_interactions(path, ["1"])


def test_every_layout_is_recognised_by_each_of_its_signatures():
    for layout in LAYOUTS:
        for signature in layout.signatures:
            assert recognise(signature) is layout, (layout.name, signature)
            shouted = [name.upper().replace("_", " ") for name in signature]
            assert recognise(shouted) is layout, (layout.name, shouted)


def test_a_feed_and_a_shops_export_with_common_columns_are_told_apart():
    feed = ["id", "title", "description", "link", "image_link", "availability", "price", "brand", "product_type"]
    magento = ["sku", "attribute_set_code", "product_type", "name", "description", "price", "categories"]
    woo = ["ID", "Type", "SKU", "Name", "Description", "Regular price", "Categories", "Tags", "Published"]
    shopify = ["Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Variant Price", "Variant SKU"]
    names = [recognise(columns).name for columns in (feed, magento, woo, shopify)]
    assert names == ["google-merchant", "magento", "woocommerce", "shopify"]
    assert recognise(["item_id", "title", "price"]) is None


def test_what_is_written_comes_back_as_it_was_drafted(write_file, run_init, tmp_path):
    name = write_file('it\'s "odd".csv', 'id,name,"a, ""b"" [c]"\n1,Lamp,x')
    assert run_init(name).exit_code == 0
    config = tomllib.loads((tmp_path / "shop.toml").read_text())
    assert config["inputs"]["catalog"] == name
    assert config["catalog"]["columns"] == {"item_id": "id", "title": "name"}
