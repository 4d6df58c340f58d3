"""What shop.js does where answers are late, missing or not the shop's own, in a real browser over a made-up shop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fuserank.storefront.app import ShopSettings, create_app
from support.shop_client import ShopClient

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from fuserank_benchmarks.storefront import find_chromium, open_browser, serve_pages  # noqa: E402
from support.browsing import Visitor, visiting  # noqa: E402

expect = playwright.expect
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
SLOW_SECONDS = 0.6


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def client() -> ShopClient:
    return ShopClient()


@pytest.fixture
def visitor(browser: playwright.Browser, client: ShopClient) -> Iterator[Visitor]:
    with serve_pages(create_app(client, ShopSettings())) as address, visiting(browser, address) as new:
        new.open("/search?q=milk").mark()
        yield new
        # A browser's console names each request that failed.
        new.complaints[:] = [text for text in new.complaints if "Failed to load resource" not in text]


def lost(visitor: Visitor) -> playwright.Locator:
    return visitor.page.locator("#lost")


def test_two_clicks_at_once_both_reach_the_basket(visitor: Visitor, client: ShopClient):
    client.pauses = [SLOW_SECONDS]
    for item in ("2", "3"):
        visitor.page.locator(f'[data-item="{item}"] button[value=cart]').click()
    expect(visitor.page.locator(".count")).to_have_text("2")
    visitor.follow("nav a[href='/basket']")
    lines = visitor.page.locator(".lines li")
    assert [line.get_attribute("data-item") for line in lines.all()] == ["2", "3"]


def test_a_page_that_is_asked_for_while_something_is_sent_shows_what_was_sent(visitor: Visitor, client: ShopClient):
    client.pauses = [SLOW_SECONDS]
    visitor.page.locator('[data-item="2"] button[value=cart]').click()
    visitor.page.locator("nav a[href='/basket']").click()
    expect(visitor.page.locator(".lines li")).to_have_count(1)
    assert visitor.page.url.endswith("/basket")


@pytest.mark.parametrize(
    "fail",
    [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>502</h1>"),
    ],
    ids=["no answer", "another program's answer"],
)
def test_where_the_shop_is_away_the_page_goes_on_by_itself_without_a_load(visitor: Visitor, fail: Callable):
    visitor.page.route("**/search?*", fail)
    visitor.page.locator("#q").fill("lamp")
    visitor.page.keyboard.press("Enter")
    expect(lost(visitor)).to_have_text("No connection to the shop. Trying again.")
    assert visitor.items()
    visitor.page.unroute("**/search?*")
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("lamp")
    expect(lost(visitor)).to_be_hidden()
    assert visitor.is_marked()


def test_who_goes_elsewhere_meanwhile_is_not_taken_back(visitor: Visitor):
    visitor.page.route("**/search?*", lambda route: route.abort())
    visitor.page.locator("#q").fill("lamp")
    visitor.page.keyboard.press("Enter")
    expect(lost(visitor)).to_be_visible()
    visitor.page.unroute("**/search?*")
    visitor.follow("nav a[href='/basket']")
    expect(lost(visitor)).to_be_hidden()
    visitor.page.wait_for_timeout(2_500)  # longer than the pause before the next try
    assert visitor.page.url.endswith("/basket")


def test_what_was_sent_and_is_lost_is_said_after_the_shop_is_back(visitor: Visitor):
    visitor.page.route("**/events", lambda route: route.abort())
    with visitor.swap():
        visitor.page.locator('[data-item="2"] button[value=cart]').click()
    expect(lost(visitor)).to_contain_text("may not have been recorded")
    assert visitor.is_marked()
    visitor.follow("nav a[href='/basket']")
    expect(lost(visitor)).to_be_hidden()
