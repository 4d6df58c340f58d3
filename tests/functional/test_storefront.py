"""The shop in a real browser over a real Triton: what a visitor does shows on the next page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuserank.storefront.shoppers import Shopper
from fuserank_ensemble.serving.server import Server
from fuserank_export.shoppers.choose import read_shoppers
from support.busy_machine import PATIENCE
from support.small_shops import Shop

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from fuserank_benchmarks.storefront import (  # noqa: E402
    count_violations,
    find_chromium,
    open_browser,
    show_shop,
    weigh,
)
from support.browsing import Visitor, visiting  # noqa: E402
from support.tcp_proxy import TcpProxy  # noqa: E402

expect = playwright.expect
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
MAX_PAGE_BYTES = 150_000
MAX_PICTURE_BYTES = 300_000
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
PATHS = ("/", "/search?q=milk", "/compare?q=milk", "/basket", "/search?q=zzzzqqqq&f.brand=Acme", "/item/none")


@pytest.fixture(scope="module")
def shoppers(bundle_root: Path, shop: Shop) -> list[Shopper]:
    assert shop.interactions is not None
    chosen = read_shoppers(bundle_root, shop.interactions, 3)
    assert len({shopper.habits for shopper in chosen}) == 3
    return [Shopper(shopper.user_id, shopper.events, shopper.habits) for shopper in chosen]


@pytest.fixture(scope="module")
def line(live_server: Server) -> Iterator[TcpProxy]:
    """The connection from the pages to the server, which a test may cut."""
    proxy = TcpProxy(live_server.endpoints.grpc)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def address(line: TcpProxy, shoppers: list[Shopper], request: pytest.FixtureRequest) -> Iterator[str]:
    with show_shop(f"127.0.0.1:{line.port}", shoppers, PATIENCE) as shown:
        yield shown


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(browser: playwright.Browser, address: str) -> Iterator[Visitor]:
    with visiting(browser, address) as new:
        yield new


def become(visitor: Visitor, shopper: Shopper) -> None:
    visitor.follow(f'.people button[value="{shopper.user_id}"]')


def test_suggestions_are_chosen_with_the_keyboard(visitor: Visitor):
    visitor.open("/").mark()
    # The order of results is chosen from options, too.
    box, options = visitor.page.locator("#q"), visitor.page.locator("[role=listbox] [role=option]")
    box.press_sequentially("gr")
    expect(options.first).to_be_visible()
    box.press("Escape")
    expect(options.first).to_be_hidden()
    box.press_sequentially("e")
    expect(options.first).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    chosen = options.first.get_attribute("data-text")
    assert chosen is not None
    assert "gre" in chosen.lower()
    with visitor.swap():
        box.press("Enter")
    assert chosen in visitor.page.get_by_role("heading", level=1).inner_text()
    assert visitor.items()
    assert visitor.is_marked()
    # The box is as it was: whoever searches again is told what there is, at once.
    box.fill("gr")
    box.press_sequentially("e")
    expect(options.first).to_be_visible()


def test_who_goes_on_typing_while_an_answer_is_under_way_keeps_the_words(visitor: Visitor):
    visitor.open("/").mark()
    box = visitor.page.locator("#q")
    visitor.page.route("**/search?*", lambda route: (box.fill("green"), route.continue_())[1])
    box.fill("milk")
    with visitor.swap():
        box.press("Enter")
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("milk")
    expect(box).to_have_value("green")
    expect(box).to_be_focused()


def test_a_facet_leaves_as_many_as_it_said(visitor: Visitor, shop: Shop):
    visitor.open("/search?q=milk")
    everything = visitor.total()
    choice = visitor.page.locator(".facets section:has(h3:text('Brand')) li a").first
    brand, count = choice.locator("span").inner_text(), int(choice.locator("small").inner_text())
    with visitor.swap():
        choice.click()
    assert visitor.total() == count < everything
    assert {shop.items[item].get("brand") for item in visitor.items()} == {brand}
    visitor.follow(".facets a[href*='below.price'], .facets a[href*='from.price']")
    assert 0 < visitor.total() <= count
    visitor.follow(".chosen a:has-text('Clear all')")
    assert visitor.total() == everything
    visitor.page.locator('[name="upto.price"]').fill("2")
    with visitor.swap():
        visitor.page.locator(".range button").click()
    assert all(shop.items[item]["price"] <= 2 for item in visitor.items())


def test_a_sorted_list_goes_on_over_its_pages_and_back(visitor: Visitor, shop: Shop):
    visitor.open("/search?q=")
    with visitor.swap():
        visitor.page.get_by_label("Sort by").select_option("price_asc")
    first = visitor.items()
    visitor.follow(".pages [rel=next]")
    second = visitor.items()
    assert set(first).isdisjoint(second)
    prices = [shop.items[item]["price"] for item in (*first, *second)]
    assert prices == sorted(prices)
    with visitor.swap():
        visitor.page.go_back()
    assert visitor.items() == first


def test_another_shopper_sees_another_order(visitor: Visitor, shoppers: list[Shopper]):
    visitor.open("/search?q=milk").mark()
    orders = [visitor.items()]
    for shopper in shoppers:
        become(visitor, shopper)
        expect(visitor.page.locator('.people [aria-pressed="true"]')).to_contain_text(shopper.user_id)
        orders.append(visitor.items())
    assert len({tuple(order) for order in orders}) > 2
    assert visitor.is_marked()
    feeds = []
    for shopper in shoppers[:2]:
        visitor.open("/")
        become(visitor, shopper)
        assert shopper.habits[0] in visitor.page.locator(".hello").inner_text()
        feeds.append(visitor.items(".rail:first-of-type"))
    assert feeds[0] != feeds[1]


def test_a_purchase_leads_the_next_feed(visitor: Visitor, shop: Shop):
    visitor.open("/search?q=tea&sort=price_desc")
    item = visitor.items()[0]
    visitor.follow(".tile a")
    assert item in visitor.page.url
    rails = visitor.texts(".rail h2")
    assert rails == ["Instead of it", "Goes well with it"]
    kind = shop.items[item]["category"]
    assert kind not in {shop.items[other]["category"] for other in visitor.items(".rail:last-of-type")}
    visitor.follow("button[value=purchase]")
    expect(visitor.page.locator(".note")).to_contain_text("Bought")
    visitor.follow(".logo")
    assert visitor.items()[0] == item
    assert re.search("you bought it|history 1", visitor.page.locator(".tile").first.inner_text())


def test_a_click_makes_the_visitor_known(visitor: Visitor):
    visitor.open("/")
    assert "Nobody knows you yet" in visitor.page.locator(".hello").inner_text()
    visitor.follow(".tile a").follow(".logo")
    assert "already counts" in visitor.page.locator(".hello").inner_text()


def test_a_hidden_item_is_gone_for_good(visitor: Visitor):
    visitor.open("/search?q=milk").mark()
    item = visitor.items()[1]
    visitor.follow(f'[data-item="{item}"] button[value=hide]')
    assert item not in visitor.items()
    assert visitor.is_marked()
    visitor.open("/search?q=milk")
    assert item not in visitor.items()


def test_a_basket_is_completed_and_bought(visitor: Visitor):
    visitor.open("/search?q=coffee")
    items: list[str] = []
    for _ in range(2):
        # What is in the basket counts at once, and may lead the tile of its sizes.
        items.append(next(item for item in visitor.items() if item not in items))
        visitor.follow(f'[data-item="{items[-1]}"] button[value=cart]')
    assert visitor.page.locator(".count").inner_text() == "2"
    visitor.follow("nav a[href='/basket']")
    lines = visitor.page.locator(".lines li")
    assert [line.get_attribute("data-item") for line in lines.all()] == items
    assert set(visitor.items()).isdisjoint(items)
    visitor.follow(f'[data-item="{items[0]}"] button[value=uncart]')
    assert lines.count() == 1
    visitor.follow(".sum button")
    expect(visitor.page.locator(".note")).to_contain_text("Bought 1")
    assert items[1] in visitor.items()[:3]


def test_three_ways_of_asking_stand_side_by_side(visitor: Visitor, shoppers: list[Shopper], shop: Shop):
    visitor.open("/")
    become(visitor, shoppers[0])
    visitor.open("/compare?q=milk")
    columns = visitor.page.locator(".column")
    lists = [
        column.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.item)") for column in columns.all()
    ]
    assert len(lists) == 3
    assert all(lists)
    assert lists[0] != lists[2] != lists[1]
    for row in columns.nth(2).locator(".row").all():
        item = row.get_attribute("data-item")
        for where, place in re.findall(r"(search|recommended) (\d+)", row.inner_text()):
            there = lists[("search", "recommended").index(where)][int(place) - 1]
            assert product_of(shop, there) == product_of(shop, str(item))


def product_of(shop: Shop, item: str) -> tuple[str, str]:
    """What the sizes of a product have in common."""
    return shop.items[item].get("brand", ""), shop.items[item]["title"].removesuffix(shop.items[item]["size"])


def test_the_panel_shows_signals_that_add_up_and_sliders_that_move_the_list(visitor: Visitor):
    visitor.open("/search?q=milk").follow(".open-graph button")
    assert len(visitor.texts(".bars.stage th")) >= 4
    assert {"Meaning", "Words"} <= set(visitor.texts(".bars.channel th"))
    tile = visitor.page.locator(".tile").nth(1)
    tile.hover()
    expect(visitor.page.locator("#signals .name")).to_have_text(tile.locator("a").first.inner_text())
    signals = json.loads(tile.get_attribute("data-signals") or "{}")
    assert sum(part[1] for part in signals["parts"]) == pytest.approx(signals["score"], abs=1e-2)
    shown = [float(text.replace("−", "-")) for text in visitor.texts("#signals .number")]
    assert sum(shown[:-1]) == pytest.approx(shown[-1], abs=0.1)
    before = visitor.items()
    with visitor.swap():
        visitor.page.locator('[name="diversity"]').fill("100")
    assert visitor.page.get_by_label("B · your order").is_checked()
    assert visitor.items() != before
    assert visitor.page.locator(".mark.up").count() > 0
    with visitor.swap():
        visitor.page.get_by_label("A · the shop’s order").check(force=True)
    assert visitor.items() == before


def test_all_of_it_is_there_in_chinese(visitor: Visitor):
    visitor.open("/search?q=milk")
    visitor.page.locator(".looks button[name=language]").click()
    expect(visitor.page.locator("html")).to_have_attribute("lang", "zh-Hans")
    assert "搜索结果" in visitor.page.get_by_role("heading", level=1).inner_text()
    reasons = visitor.texts(".reasons li")
    assert reasons
    assert all(re.search(r"[\u4e00-\u9fff]", reason) for reason in reasons)
    visitor.search("绿茶")
    assert "绿茶" in visitor.page.locator(".tile").first.inner_text()


def test_where_the_server_is_away_the_page_says_so_and_goes_on_by_itself(
    browser: playwright.Browser, address: str, line: TcpProxy
):
    with visiting(browser, address) as visitor:
        visitor.open("/").mark()
        line.hang_up()
        try:
            visitor.search("milk")
            expect(visitor.page.get_by_role("heading", level=1)).to_have_text("The shop is taking a short break")
        finally:
            line.listen()
        expect(visitor.page.locator(".tile").first).to_be_visible()
        assert visitor.is_marked()
        assert "q=milk" in visitor.page.url
        # A browser's console names each answer of 503.
        assert all("503" in complaint for complaint in visitor.complaints)
        visitor.complaints.clear()


def test_everything_fits_on_a_phone(browser: playwright.Browser, address: str):
    with visiting(browser, address, viewport=PHONE) as visitor:
        visitor.open("/").follow(".open-graph button")
        first = visitor.items()[0]
        for path in (*PATHS[:4], f"/item/{first}"):
            visitor.open(path)
            assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_dark_is_dark_by_the_browser_and_by_choice(browser: playwright.Browser, address: str):
    def brightness(visitor: Visitor) -> float:
        color = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    with visiting(browser, address, color_scheme="dark") as visitor:
        assert brightness(visitor.open("/")) < 60
        visitor.page.locator(".looks button[name=theme]").click()
        expect(visitor.page.locator("html")).to_have_attribute("data-theme", "light")
        assert brightness(visitor) > 200


@pytest.mark.parametrize(("scheme", "paths"), [("light", PATHS), ("dark", PATHS[1:3])])
def test_axe_finds_nothing(browser: playwright.Browser, address: str, scheme: str, paths: tuple[str, ...]):
    with visiting(browser, address, color_scheme=scheme) as visitor:
        visitor.open("/").follow(".open-graph button").follow(".tile button[value=cart]")
        for path in (*paths, f"/item/{visitor.items()[0]}"):
            visitor.open(path)
            assert count_violations(visitor.page) == [], path
        # A browser's console names each answer of 404.
        visitor.complaints[:] = [text for text in visitor.complaints if "404" not in text]


def test_without_scripts_the_shop_still_works(browser: playwright.Browser, address: str):
    with visiting(browser, address, java_script_enabled=False) as visitor:
        visitor.open("/")
        visitor.page.locator("#q").fill("milk")
        visitor.page.keyboard.press("Enter")
        visitor.page.locator(".tile button[value=cart]").first.click()
        assert "q=milk" in visitor.page.url
        expect(visitor.page.locator(".count")).to_have_text("1")


def test_a_page_is_light(visitor: Visitor):
    read, sent = weigh(visitor.page, f"{visitor.address}/search?q=milk")
    print(f"a page of results: {read:,} bytes, {sent:,} as sent")
    assert 0 < sent < read <= MAX_PAGE_BYTES


def test_pictures_for_the_docs_are_taken(browser: playwright.Browser, request: pytest.FixtureRequest):
    """With `-k pictures --pictures docs/images --shop-address http://127.0.0.1:8080` while `make shop` runs."""
    if not request.config.getoption("--pictures"):
        pytest.skip("no folder for pictures is named: --pictures")
    folder = Path(request.config.getoption("--pictures"))
    address = request.config.getoption("--shop-address") or request.getfixturevalue("address")
    last = ".people button:last-child"
    with visiting(browser, address, viewport=DESKTOP) as visitor:
        visitor.open("/").follow(last).follow(".open-graph button").search("yogurt")
        visitor.page.locator(".tile").nth(1).hover()
        visitor.page.screenshot(path=folder / "shop-results.png")
    with visiting(browser, address, viewport=DESKTOP, color_scheme="dark") as visitor:
        visitor.open("/").follow(last).open("/compare?q=coffee").page.screenshot(path=folder / "shop-compare.png")
    with visiting(browser, address, viewport=PHONE, locale="zh-CN", device_scale_factor=2) as visitor:
        visitor.open("/").follow(last).page.screenshot(path=folder / "shop-phone.png")
    for name in ("results", "compare", "phone"):
        assert (folder / f"shop-{name}.png").stat().st_size < MAX_PICTURE_BYTES
