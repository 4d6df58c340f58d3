"""What templates are given: words in both languages, pictures, reasons, facets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Formatter
from urllib.parse import parse_qsl, urlsplit

import pytest

import fuserank.storefront
from fuserank.storefront.render.facets import make_facets
from fuserank.storefront.render.graph import make_panel
from fuserank.storefront.render.pictures import ANY_ITEM, TINTS, draw_picture
from fuserank.storefront.render.tiles import make_tiles
from fuserank.storefront.render.words import Words, choose_language, read_words
from fuserank.storefront.view import View, read_view
from fuserank.types import FacetValue, Item, SearchResult, Signal, Status, Variant

STOREFRONT = Path(fuserank.storefront.__file__).parent
TEMPLATES = sorted((STOREFRONT / "templates").iterdir())
SYMBOLS = set(re.findall(r'<symbol id="([\w-]+)"', (STOREFRONT / "static" / "symbols.svg").read_text("utf-8")))
ENGLISH = Words("en")


def open_slots(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_each_text_is_there_in_both_languages_with_the_same_slots():
    for key, texts in read_words().items():
        assert set(texts) == {"en", "zh"}, key
        assert open_slots(texts["en"]) == open_slots(texts["zh"]), key
        assert re.search(r"[\u4e00-\u9fff]", texts["zh"]), key


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_name_texts_and_symbols_that_there_are(template):
    text = template.read_text("utf-8")
    # A key that ends in a dot or an underscore is put together.
    keys = re.findall(r't\(\s*"([a-z_.]+)"', text) + re.findall(r"t\(\s*'([a-z_.]+)'", text)
    assert {key for key in keys if not key.endswith((".", "_"))} <= set(read_words())
    assert set(re.findall(r'symbol\("([\w-]+)"\)', text)) <= SYMBOLS
    assert " style=" not in text, "the page's policy allows no style of an element"
    assert not re.search(r"""(?:src|href|action)=["']https?:""", text), "another host"


@pytest.mark.parametrize(
    ("category", "title", "symbol"),
    [
        ("Grocery > Fluid Milk Products > Chocolate Milk", "", "milk"),
        ("Grocery > Ice Cream/Milk/Sherbts > Premium", "", "ice-cream-cone"),
        ("Produce > Tropical Fruit > Bananas", "", "banana"),
        ("Drinks > 茶", "绿茶 250 g", "coffee"),
        ("", "Wireless headphones, black", "headphones"),
        ("", "XR500 Bluetooth Headphones, Best Earbuds for Running, Water Resistant", "headphones"),
        ("Qwerty", "Asdfgh", ANY_ITEM),
        ("", "", ANY_ITEM),
    ],
)
def test_a_category_or_a_title_draws_a_picture(category, title, symbol):
    picture = draw_picture(category, title)
    assert picture.symbol == symbol
    assert 0 <= picture.tint < TINTS


def test_every_picture_is_a_symbol_of_the_sprite():
    from fuserank.storefront.render.pictures import _phrases

    assert {symbol for _, symbol in _phrases()} | {ANY_ITEM} <= SYMBOLS


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,en;q=0.9", "en"), ("fr,zh;q=0.4,en;q=0.6", "en"), ("", "en"),
     ("de", "en"), ("zh;q=x,en;q=0.1", "en"), ("zh-TW", "zh")],
)  # fmt: skip
def test_the_browsers_language_is_taken(accepted, language):
    assert choose_language(accepted) == language


def result(*items, **status):
    return SearchResult(tuple(items), Status(**status))


MILK = Item(
    "1",
    1.75,
    {"title": "Milk <b>", "brand": ["Acme", "Zenith"], "category": "Food > Dairy", "price": 2.5},
    (
        Signal("text", 0.7, 1.5, 0.5, "70% like “milk”"),
        Signal("fusion", 1, 0.9, 0.3, "place by channel"),
        Signal("history", 3, 0.4, 0.14, "you bought it"),
        Signal("new", 1, 0.01, 0.01, "new"),
        Signal("price", 1, -0.06, 0.05, "costs much"),
        Signal("sequence"),
        Signal("base", 0, -1.0, 0, "the mean"),
    ),
    {"click": 0.25},
)


def test_reasons_are_what_adds_most_and_says_something_of_the_item():
    (tile,) = make_tiles(result(MILK), ENGLISH)
    assert [reason.signal for reason in tile.reasons] == ["text", "history"]
    placed = Item("2", 0.0, signals=(*MILK.signals, Signal("placement", reason="before nearer items")))
    assert [r.signal for r in make_tiles(result(placed), ENGLISH)[0].reasons] == ["placement", "text"]
    voted = Item(
        "3", 0.1, signals=(Signal("fusion", 1, 0.1, 1.0, "place by channel: history 1"), Signal("base", 0, 0.5))
    )
    assert [r.text for r in make_tiles(result(voted), ENGLISH)[0].reasons] == ["place by channel: history 1"]
    assert (tile.brand, tile.kind, tile.name, tile.signals) == ("Acme", "Dairy", "Milk <b>", "")


def test_signals_of_the_panel_add_up_and_begin_with_the_base():
    (tile,) = make_tiles(result(MILK), ENGLISH, signals=True)
    held = json.loads(tile.signals)
    assert [name for name, _, _ in held["parts"]][:2] == ["Start", "Meaning"]
    assert sum(amount for _, amount, _ in held["parts"]) == pytest.approx(held["score"])
    assert held["heads"] == {"clicked": 0.25}


def test_places_are_compared_with_the_other_list():
    others = [Item(str(number), 0.0) for number in range(3)]
    tiles = make_tiles(result(others[2], Item("9", 0.0), others[0]), ENGLISH, 25, result(*others))
    assert [(tile.place, tile.moved, tile.compared) for tile in tiles] == [
        (25, 2, True),
        (26, None, True),
        (27, -2, True),
    ]
    assert [tile.moved for tile in make_tiles(result(*others), ENGLISH)] == [None] * 3


def test_variants_and_marked_words_are_kept_in_parts():
    item = Item(
        "1", 0.0, fields={"title": "Oat milk"}, highlights={"title": ["Oat ", "milk", ""]},
        variants=(Variant("2", {"title": "Oat milk 1 l", "price": 2.0}), Variant("3")), variant_count=5,
    )  # fmt: skip
    (tile,) = make_tiles(result(item), ENGLISH)
    assert tile.title == ("Oat ", "milk", "")
    assert tile.variants == (("2", "Oat milk 1 l", 2.0), ("3", "3", None))
    assert tile.more_variants == 3


CATEGORIES = (
    FacetValue(9, "Food", children=(FacetValue(5, "Food > Dairy"), FacetValue(4, "Food > Bread"))),
    FacetValue(2, "Home", children=(FacetValue(2, "Home > Lamps"),)),
)
PRICES = (FacetValue(3, low=None, high=1.0), FacetValue(4, low=1.0, high=2.5), FacetValue(1, low=2.5, high=None))


def view_of(url):
    return read_view(parse_qsl(urlsplit(url).query), ("category", "brand", "price"))


def test_a_tree_shows_what_lies_below_the_chosen_branch():
    (closed,) = make_facets({"category": CATEGORIES}, View("milk"), ENGLISH)
    assert [(c.name, c.level) for c in closed.choices] == [("Food", 0), ("Home", 0)]
    view = view_of(closed.choices[0].url)
    (opened,) = make_facets({"category": CATEGORIES}, view, ENGLISH)
    assert [(c.name, c.level, c.chosen) for c in opened.choices] == [
        ("Food", 0, True), ("Dairy", 1, False), ("Bread", 1, False), ("Home", 0, False),
    ]  # fmt: skip
    assert view_of(opened.choices[1].url).values == {"category": ("Food > Dairy",)}
    assert view_of(opened.choices[0].url) == View("milk")
    (single,) = make_facets({"category": CATEGORIES[:1]}, View("milk"), ENGLISH)
    assert [c.name for c in single.choices] == ["Food", "Dairy", "Bread"]


def test_values_are_chosen_beside_each_other_and_many_are_folded():
    brands = [FacetValue(20 - number, f"B{number}") for number in range(12)]
    view = View("milk", {"brand": ("B11",)})
    (facet,) = make_facets({"brand": brands}, view, ENGLISH)
    assert [c.name for c in facet.choices] == [*(f"B{number}" for number in range(8)), "B11"]
    assert [c.name for c in facet.further] == ["B8", "B9", "B10"]
    assert view_of(facet.choices[0].url).values == {"brand": ("B11", "B0")}
    assert view_of(facet.clear) == View("milk")


def test_ranges_lead_to_their_bounds():
    (facet,) = make_facets({"price": PRICES}, View("milk"), ENGLISH)
    assert [c.name for c in facet.choices] == ["Under 1.00", "1.00 to 2.50", "2.50 and more"]
    assert [view_of(c.url).to_filter() for c in facet.choices] == [
        {"price": {"lt": 1}}, {"price": {"gte": 1, "lt": 2.5}}, {"price": {"gte": 2.5}},
    ]  # fmt: skip
    (chosen,) = make_facets({"price": PRICES}, view_of(facet.choices[1].url), ENGLISH)
    assert [c.chosen for c in chosen.choices] == [False, True, False]
    assert make_facets({"brand": ()}, View(), ENGLISH) == []


def test_the_panel_names_stages_channels_and_what_was_understood():
    status = Status(
        microseconds={"encoder": 2_000, "ranker": 500, "total": 2_600},
        candidates={"dense": 8, "lexical": 2, "fused": 9},
        understood={"corrected": {"mlik": "milk"}, "sizes": ["1 l"], "cheap": True}, user_known=True,
    )  # fmt: skip
    panel = make_panel(status, ENGLISH)
    assert panel.milliseconds == 2.6
    assert [(bar.name, bar.value, bar.length) for bar in panel.stages] == [
        ("Encoder", 2.0, 100.0),
        ("Ranker", 0.5, 25.0),
    ]
    assert [(bar.name, bar.length) for bar in panel.channels] == [("Meaning", 100.0), ("Words", 25.0)]
    assert panel.understood == [("corrected", "mlik → milk"), ("size", "1 l"), ("cheap", "Yes")]
    assert panel.fused == 9
