"""The shop's pages over a server, and a browser that looks at them and at nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.busy_machine import PATIENCE

PATIENCE_MS = PATIENCE * 1e3
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Visitor:
    """A visitor of the shop in a browser context of its own.

    Attributes:
        page: The tab.
        address: Of the shop.
        complaints: What the browser's console says is wrong, and requests to other hosts.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Visitor:
        self.page.goto(f"{self.address}{path}")
        return self

    def search(self, query: str) -> Visitor:
        self.page.locator("#q").fill(query)
        with self.swap():
            self.page.keyboard.press("Enter")
        return self

    @contextmanager
    def swap(self) -> Iterator[None]:
        """What happens within leads to another page, which is put in place of this one."""
        before = self.page.locator("#page").element_handle()
        yield
        self.page.wait_for_function("before => !before.isConnected", arg=before, timeout=PATIENCE_MS)

    def follow(self, selector: str) -> Visitor:
        with self.swap():
            self.page.locator(selector).first.click()
        return self

    def items(self, within: str = "#main") -> list[str]:
        """The ids of the tiles, in their order."""
        return self.page.locator(f"{within} .tile").evaluate_all("tiles => tiles.map(tile => tile.dataset.item)")

    def texts(self, selector: str) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def total(self) -> int:
        return int("".join(filter(str.isdigit, self.page.locator(".total").inner_text())))

    def mark(self) -> None:
        """Leaves a mark that a page which is loaded anew has not."""
        self.page.evaluate("window.mark = true")

    def is_marked(self) -> bool:
        return bool(self.page.evaluate("window.mark === true"))


@contextmanager
def visiting(browser: Browser, address: str, **options: Any) -> Iterator[Visitor]:
    """Opens the shop in a fresh context; fails at the end where the page complained or looked elsewhere."""
    context: BrowserContext = browser.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(context.new_page(), address)
    page, complaints = visitor.page, visitor.complaints
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda sent: None if sent.url.startswith(address) else complaints.append(sent.url))
    try:
        yield visitor
    finally:
        context.close()
    assert complaints == []
