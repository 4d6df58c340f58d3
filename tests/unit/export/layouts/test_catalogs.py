"""Each known layout of a catalogue is recognised, and its rows become products."""

from __future__ import annotations

import json

import pytest

SHOPIFY = """
Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Barcode,Image Src,Image Position,SEO Title,Status
lamp,Desk lamp,<p>A lamp</p>,Lux,Home > Lighting,Lamps,"desk, brass",TRUE,Color,Black,Size,S,L-BS,900,shopify,0,deny,49.00,0123456789012,https://cdn/lamp-1.jpg,1,,active
chair,Oak chair,,Sit,,Chairs,,TRUE,Title,Default Title,,,C-1,4000,shopify,0,deny,120.00,,https://cdn/chair.jpg,1,,active
lamp,,,,,,,,,Brass,,S,L-GS,900,shopify,3,deny,39.50,,https://cdn/lamp-2.jpg,2,,
lamp,,,,,,,,,Brass,,L,L-GL,950,shopify,0,deny,59.00,,,,,
lamp,,,,,,,,,,,,,,,,,,,https://cdn/lamp-3.jpg,3,,
rug,Draft rug,,Sit,,Rugs,,FALSE,Title,Default Title,,,R-1,100,shopify,5,deny,10.00,,,,,draft
gift,Gift card,,Sit,,Cards,,TRUE,Title,Default Title,,,G-1,0,,0,deny,25.00,,,,,active
"""  # noqa: E501  as the export has it


def test_shopify_variants_of_a_handle_become_one_product_with_options(write_file, read_shop):
    shop = read_shop(write_file("products_export.csv", SHOPIFY))
    assert "Shopify's product export" in shop.printed
    assert set(shop.items) == {"lamp", "chair", "gift"}
    lamp = shop.items["lamp"]
    assert lamp["title"] == "Desk lamp"
    assert lamp["brand"] == "Lux"
    assert lamp["category"] == "Home > Lighting"
    assert lamp["price"] == 39.5
    assert lamp["in_stock"] is True
    assert lamp["Color"] == ["Black", "Brass"]
    assert lamp["Size"] == ["S", "L"]
    assert lamp["sku"] == ["L-BS", "L-GS", "L-GL"]
    assert lamp["barcode"] == ["0123456789012"]
    assert lamp["tags"] == ["desk", "brass"]
    assert lamp["image_url"] == "https://cdn/lamp-1.jpg"
    chair = shop.items["chair"]
    assert (chair["in_stock"], chair["category"], chair["price"]) == (False, "Chairs", 120.0)
    assert "Title" not in chair  # a product without options has the one option "Title"
    assert shop.items["gift"]["in_stock"] is True  # its stock is not counted
    assert not {"Variant Grams", "SEO Title", "Image Position", "Variant Inventory Qty"} & set(lamp)


def test_rows_that_are_joined_or_left_out_are_counted(write_file, read_shop):
    report = read_shop(write_file("products_export.csv", SHOPIFY)).catalog.report
    assert report.read == 7
    assert report.kept == 3
    assert sum(report.left_out.values()) == 4
    assert report.left_out["joined to the product of another row"] == 3
    assert "left out: 3 × joined to the product of another row" in str(report)


def test_a_handle_in_two_chunks_is_one_product(write_file, read_shop):
    shop = read_shop(write_file("products_export.csv", SHOPIFY), chunk_rows=1)
    assert shop.items["lamp"]["sku"] == ["L-BS", "L-GS", "L-GL"]


def test_shopifys_present_names_of_columns_are_known(write_file, read_shop):
    shop = read_shop(
        write_file(
            "products.csv",
            """
            Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,Option1 name,Option1 value,Price,Inventory tracker,Inventory quantity,Continue selling when out of stock,Product image URL
            Cap,cap,A cap,Hats,Apparel > Hats,Cap,,TRUE,Active,C-R,,Color,Red,10,shopify,0,FALSE,https://cdn/cap.jpg
            ,cap,,,,,,,,C-B,,,Blue,12,shopify,0,TRUE,
            """,  # noqa: E501
        )
    )
    assert shop.config["catalog"]["layout"] == "shopify"
    cap = shop.items["cap"]
    assert (cap["price"], cap["in_stock"], cap["Color"], cap["sku"]) == (10.0, True, ["Red", "Blue"], ["C-R", "C-B"])


def test_a_shopify_row_without_handle_or_title_is_refused_not_lost(write_file, read_shop):
    rows = SHOPIFY.strip() + "\n,Nobody's,,,,,,TRUE,,,,,,,,,,5.00,,,,,active\n" + "ghost" + "," * 22 + "\n"
    report = read_shop(write_file("products_export.csv", rows), max_bad_share=0.9).catalog.report
    assert report.reasons == {"item_id: missing": 1, "title: missing": 1}
    assert report.read == report.kept + report.bad + sum(report.left_out.values())


def test_woocommerce_variations_become_part_of_their_parent(write_file, read_shop):
    shop = read_shop(
        write_file(
            "wc-product-export.csv",
            r"""
            ID,Type,SKU,Name,Published,"Visibility in catalog","Short description",Description,"In stock?",Stock,"Sale price","Regular price",Categories,Tags,Images,Parent,"Attribute 1 name","Attribute 1 value(s)","Attribute 1 visible","Meta: _x"
            44,variable,hoodie,Hoodie,1,visible,Short,Warm,1,,,,"Clothing, Clothing > Hoodies, Sale","warm, soft","https://x/1.jpg, https://x/2.jpg",,Color,"Blue, Green\, dark",1,1
            60,"variation, downloadable",hoodie-b,Hoodie - Blue,1,visible,,,0,,42,45,,,,id:44,Color,Blue,,
            61,variation,hoodie-g,Hoodie - Green,1,visible,,,backorder,,,38.5,,,,hoodie,Color,"Green\, dark",,
            70,simple,cap,Cap,1,visible,A cap,,1,5,16,18,Clothing > Accessories,,https://x/c.jpg,,,,,
            71,simple,old,Old cap,0,visible,,,1,5,,18,,,,,,,,
            72,simple,inner,Hidden,1,hidden,,,1,5,,18,,,,,,,,
            """,  # noqa: E501
        )
    )
    assert shop.config["catalog"]["layout"] == "woocommerce"
    assert set(shop.items) == {"44", "70"}
    hoodie = shop.items["44"]
    assert hoodie["title"] == "Hoodie"
    assert hoodie["category"] == "Clothing > Hoodies"
    assert hoodie["Color"] == ["Blue", "Green, dark"]
    assert hoodie["sku"] == ["hoodie", "hoodie-b", "hoodie-g"]
    assert hoodie["in_stock"] is True
    assert hoodie["tags"] == ["warm", "soft"]
    assert hoodie["image_url"] == "https://x/1.jpg"
    assert hoodie["price"] == 38.5
    assert shop.items["70"]["price"] == 16.0
    assert shop.items["70"]["description"] == "A cap"


def test_magento_variations_become_part_of_their_configurable_product(write_file, read_shop):
    shop = read_shop(
        write_file(
            "catalog_product.csv",
            """
            sku,store_view_code,attribute_set_code,product_type,categories,name,description,short_description,price,special_price,visibility,product_online,created_at,additional_attributes,is_in_stock,qty,base_image,configurable_variations
            WS1-S,,Top,simple,,Tee-S,,,22.00,,Not Visible Individually,1,"10/23/23, 1:16 PM","color=Red,size=S",0,0,,
            WS1-M,,Top,simple,,Tee-M,,,24.00,19.00,Not Visible Individually,1,"10/23/23, 1:16 PM","color=Red,size=M",1,9,,
            WS1,,Top,configurable,"Default Category/Women,Default Category/Women/Tops",Tee,Nice tee,,,,"Catalog, Search",1,"10/23/23, 1:16 PM","climate=Hot|Mild,pattern=Plain, with seams",1,0,/w/s/ws1.jpg,"sku=WS1-S,size=S,color=Red|sku=WS1-M,size=M,color=Red"
            WS1,de,Top,configurable,,T-Shirt,,,,,,,,,,,,
            MUG,,Bag,simple,Default Category/Gear,Mug,,Short,8.50,,"Catalog, Search",1,2023-10-23 13:16:00,,1,3,,
            OFF,,Bag,simple,,Off,,,8.50,,"Catalog, Search",2,,,1,3,,
            """,  # noqa: E501
        )
    )
    assert shop.config["catalog"]["layout"] == "magento"
    assert set(shop.items) == {"WS1", "MUG"}
    tee = shop.items["WS1"]
    assert (tee["title"], tee["category"], tee["price"], tee["in_stock"]) == ("Tee", "Women > Tops", 19.0, True)
    assert tee["size"] == ["S", "M"]
    assert tee["color"] == ["Red"]
    assert tee["climate"] == ["Hot", "Mild"]
    assert tee["pattern"] == "Plain, with seams"
    assert tee["variant_sku"] == ["WS1", "WS1-S", "WS1-M"]
    assert tee["created_at"] == 1698066960
    assert shop.items["MUG"]["created_at"] == 1698066960
    assert shop.items["MUG"]["description"] == "Short"


def test_a_google_merchant_feed_is_read_with_its_prices_and_availability(write_file, read_shop):
    shop = read_shop(
        write_file(
            "feed.tsv",
            """
            id,title,description,link,image link,availability,price,sale_price,brand,gtin,product type,item_group_id,color,shipping_weight
            A-1,Red dress,Nice,https://x/a,https://x/a.jpg,in_stock,49.90 EUR,39.90 EUR,Mode,4006381333931,Home > Dresses,A,red,1 kg
            A-2,Blue dress,Nice,https://x/b,https://x/b.jpg,out of stock,EUR 49.90,,Mode,,Home > Dresses,A,blue,1 kg
            """.replace(",", "\t"),  # noqa: E501
        )
    )
    assert shop.config["catalog"]["layout"] == "google-merchant"
    red, blue = shop.items["A-1"], shop.items["A-2"]
    assert (red["price"], red["currency"], red["in_stock"], red["category"]) == (
        39.9,
        "EUR",
        True,
        "Home > Dresses",
    )
    assert (blue["price"], blue["in_stock"], blue["item_group_id"]) == (49.9, False, "A")
    assert red["gtin"] == "4006381333931"
    assert "shipping_weight" not in red


def test_amazons_listings_say_what_is_in_stock(write_file, read_shop):
    shop = read_shop(
        write_file(
            "All+Listings+Report.tsv",
            "item-name\titem-description\tlisting-id\tseller-sku\tprice\tquantity\topen-date\timage-url\tasin1\tstatus\n"
            "Lamp\tNice\t0119\tLMP-1\t19.90\t4\t2024-01-01\thttps://x/l.jpg\tB00000001\tActive\n"
            "Chair\t\t0120\tCHR-1\t99.00\t0\t2024-01-01\t\tB00000002\tActive\n"
            "Old\t\t0121\tOLD-1\t9.00\t0\t2024-01-01\t\tB00000003\tInactive\n",
        )
    )
    assert shop.config["catalog"]["layout"] == "amazon-listings"
    assert {name: item["in_stock"] for name, item in shop.items.items()} == {"LMP-1": True, "CHR-1": False}
    assert shop.items["LMP-1"]["asin"] == "B00000001"


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (
            {"main_category": "All Beauty", "title": "Lotion", "features": ["Soft"], "description": ["One.", "Two."],
             "price": "from 14.99", "images": [{"large": "https://x/l.jpg", "thumb": "t"}], "store": "Howard",
             "categories": ["Beauty", "Skin"], "details": {"Size": "2"}, "parent_asin": "B1", "videos": []},
            {"description": "One. Two.", "price": 14.99, "brand": "Howard", "category": "Beauty > Skin",
             "image_url": "https://x/l.jpg"},
        ),
        (
            {"category": ["Toys", "Games"], "description": [], "title": "Game", "also_buy": ["B2"], "brand": "Play",
             "feature": ["Fun", "Fast"], "rank": [], "main_cat": "Toys", "price": "$1,010.00 - $1,200.00", "asin": "B1",
             "imageURLHighRes": ["https://x/g.jpg"]},
            {"price": 1010.0, "brand": "Play", "category": "Toys > Games", "image_url": "https://x/g.jpg"},
        ),
    ],
)  # fmt: skip
def test_the_products_of_amazons_data_sets_are_read(write_lines, read_shop, record, fields):
    shop = read_shop(write_lines("meta.jsonl", [record]))
    assert shop.config["catalog"]["layout"] == "amazon-products"
    assert {name: shop.items["B1"].get(name) for name in fields} == fields
    assert not {"details", "videos", "also_buy"} & set(shop.items["B1"])


def test_retailrockets_properties_become_items_once_the_title_is_named(write_file, read_shop, tmp_path, run_init):
    name = write_file(
        "item_properties.csv",
        """
        timestamp,itemid,property,value
        1435460400000,10,categoryid,5
        1435460400000,10,790,Lamp
        1435460500000,10,available,0
        1435460400000,10,available,1
        1435460400000,11,790,Chair
        """,
    )
    done = run_init(name, input="")
    assert "not found: title, which is required" in done.output
    toml = (tmp_path / "shop.toml").read_text()
    assert '# title = "…"' in toml
    from fuserank_export.layouts.config import read_mappings
    from fuserank_export.sources import read_catalog

    (tmp_path / "shop.toml").write_text(toml.replace('# title = "…"', 'title = "790"'))
    items = read_catalog(tmp_path / name, mapping=read_mappings(tmp_path / "shop.toml").catalog).items
    assert items["title"].tolist() == ["Lamp", "Chair"]
    assert items["category"].tolist() == ["5", None]
    assert items["in_stock"].tolist()[0] is False  # the last of two values, wherever it stands


def test_movielens_films_have_a_list_of_genres(write_file, read_shop):
    shop = read_shop(
        write_file(
            "movies.csv",
            """
            movieId,title,genres
            1,Toy Story (1995),Adventure|Animation
            2,"American President, The (1995)",(no genres listed)
            """,
        ),
        write_file(
            "ratings.csv", "userId,movieId,rating,timestamp\n7,1,4.5,1112486027\n8,2,4.0,1112486028\n9,2,0.5,1112486029"
        ),
    )
    assert shop.items["1"]["genre"] == ["Adventure", "Animation"]
    assert "genre" not in shop.items["2"]
    assert shop.events == [("7", "1", "rating"), ("8", "2", "rating")]
    assert shop.log.value.tolist() == [4.5, 4.0]
    assert shop.log.negatives.item.tolist() == [1]


@pytest.mark.parametrize("around", ["products", "data"])
def test_shopifys_products_as_json_become_one_product_each(write_file, read_shop, around):
    variants = [
        {"price": "24.00", "sku": "L-R", "option1": "Red", "inventory_quantity": 0, "inventory_management": "shopify"},
        {"price": "19.50", "sku": "L-B", "option1": "Blue", "inventory_quantity": 3, "inventory_management": "shopify"},
    ]
    products = [
        {
            "id": 632910392, "title": "Lamp", "body_html": "<p>Warm</p>", "vendor": "Lumo", "product_type": "Light",
            "handle": "lamp", "tags": "new, sale", "status": "active", "variants": variants,
            "options": [{"name": "Color", "values": ["Red", "Blue"]}], "images": [{"src": "http://x/a.png"}],
            "image": None, "created_at": "2024-01-02T08:59:11-05:00",
        },
        {
            "id": 7, "title": "Rug", "body_html": "", "vendor": "Lumo", "product_type": "Rug", "handle": "rug",
            "tags": [], "status": "active", "options": [{"name": "Title", "values": ["Default Title"]}], "images": [],
            "variants": [{"price": "99.00", "option1": "Default Title", "available": False}],
        },
        {"id": 8, "title": "Draft", "body_html": "", "handle": "draft", "status": "draft", "variants": []},
    ]  # fmt: skip
    shop = read_shop(write_file("products.json", json.dumps({around: products})))
    lamp = shop.items["632910392"]
    assert (lamp["price"], lamp["in_stock"], lamp["image_url"]) == (19.5, True, "http://x/a.png")
    assert (lamp["sku"], lamp["Color"], lamp["tags"]) == (["L-R", "L-B"], ["Red", "Blue"], ["new", "sale"])
    assert (lamp["description"], lamp["category"], lamp["brand"]) == ("Warm", "Light", "Lumo")
    assert shop.items["7"]["in_stock"] is False
    assert "Title" not in shop.items["7"]
    assert shop.items.keys() == {"632910392", "7"}


def test_documents_of_elasticsearch_are_read_from_a_dump_and_from_an_answer(write_file, write_lines, read_shop):
    documents = [
        {"_index": "p", "_id": "1", "_score": 1, "_source": {"name": "Lamp", "price": 10, "sort": "red"}, "sort": [7]},
        {"_index": "p", "_id": "2", "_score": 1, "_source": {"title": "Rug", "price": 20, "stock": 3}},
    ]
    answer = {"took": 3, "hits": {"total": {"value": 2}, "hits": documents}}
    expected = {"1": {"title": "Lamp", "price": 10.0, "sort": "red"}, "2": {"title": "Rug", "price": 20.0, "stock": 3}}
    for file in (
        write_lines("dump.json", documents),
        write_file("answer.json", json.dumps(answer)),
        write_file("printed.json", json.dumps(answer, indent=1)),
    ):
        assert read_shop(file).items == expected
