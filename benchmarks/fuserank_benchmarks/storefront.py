"""What a page of the shop weighs, how soon its results are there, and who can read it: the report `people`."""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, sync_playwright
from rich.console import Console
from starlette.applications import Starlette

from fuserank.aio import AsyncClient
from fuserank.client import Client
from fuserank.storefront.app import DEFAULT_TIMEOUT, RETRIES, ShopSettings, create_app
from fuserank.storefront.shoppers import Shopper, read_shoppers
from fuserank_benchmarks.demo import free_ports, served
from fuserank_evaluation.reports.report import merge_report

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
QUERIES = ("milk", "coffee", "potato chips", "shampoo", "frozen pizza", "dog food", "yogurt", "paper towels")
FACETS = ("category", "brand", "price")
FACET_ROUNDS = 20
PATHS = ("/", "/search?q=milk", "/compare?q=milk", "/basket")
IMPORTS = 7
START_SECONDS = 30.0

MEANINGS = {
    "page_bytes": "bytes of the first page of results with all that it loads, not compressed, the panel of the graph "
    "closed: the largest of the queries",
    "page_bytes_sent": "bytes of the same as they are sent, compressed",
    "first_results_ms": "ms from the start of the navigation until the results are in the page, in a browser that has "
    "seen nothing of the shop yet: median of the queries, one after the other",
    "first_results_max_ms": "ms, the same: the slowest query",
    "facets_p50_ms": "ms over gRPC that three facets (category, brand, price) add to a page of a search, one request "
    "at a time: median of the differences, each query asked with and without them by turns, when it was asked before",
    "axe_violations": f"violations that axe-core names on {len(PATHS)} pages with the graph open, in light and in dark",
    "client_import_ms": "ms of CPU of `from fuserank import AsyncClient` beyond those of an empty Python: least of "
    f"{IMPORTS} processes",
    "package_import_ms": "ms of CPU of `import fuserank`, the same: its names load on first use",
}


def find_chromium() -> str | None:
    """Returns the path of the browser that is installed; None where there is none."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Runs the installed Chromium with a profile of its own.

    Raises:
        SystemExit: Where there is none.
    """
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(f"no Chromium: none of {', '.join(CHROMIUM_NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def show_shop(url: str, shoppers: Sequence[Shopper], timeout: float = DEFAULT_TIMEOUT) -> Iterator[str]:
    """Serves the pages over a server from a thread of this process; yields their address."""
    client = AsyncClient(url, timeout=timeout, retries=RETRIES)
    with serve_pages(create_app(client, ShopSettings(shoppers=shoppers))) as address:
        yield address


@contextmanager
def serve_pages(app: Starlette) -> Iterator[str]:
    """Serves an application from a thread of this process; yields its address."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the shop's pages did not start")
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)


def weigh(page: Page, address: str) -> tuple[int, int]:
    """Opens an address; returns the bytes of all that it loads, as they are read and as they are sent."""
    bodies: list[int] = []

    def add(response: Response) -> None:
        bodies.append(len(response.body()))

    page.on("response", add)
    page.goto(address, wait_until="networkidle")
    sent = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    return sum(bodies), int(sent)


def time_first_results(page: Page, address: str) -> float:
    """Opens an address; returns milliseconds from the start of the navigation to the first tile."""
    page.add_init_script(
        "new MutationObserver((_, observer) => { if (document.querySelector('.tile')) {"
        "window.firstResults = performance.now(); observer.disconnect(); } })"
        ".observe(document, {childList: true, subtree: true})"
    )
    page.goto(address)
    page.wait_for_function("window.firstResults")
    return float(page.evaluate("window.firstResults"))


def count_violations(page: Page) -> list[str]:
    """Returns what axe-core finds on a page, each with the element."""
    found = Axe().run(page).response["violations"]
    return [f"{violation['id']}: {node['target']}" for violation in found for node in violation["nodes"]]


def time_import(statement: str) -> float:
    """Returns milliseconds of CPU that an import takes beyond an empty Python, least of several processes.

    CPU, because on a machine that does other things the clock says more of these.
    """

    def run(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

    return round(min(run(statement) for _ in range(IMPORTS)) - min(run("pass") for _ in range(IMPORTS)), 1)


def time_facets(url: str) -> float:
    """Returns milliseconds that facets add to a page of a search, median of the differences."""
    added = []
    with Client(url, timeout=DEFAULT_TIMEOUT) as client:

        def milliseconds(query: str, **options: Any) -> float:
            started = time.perf_counter()
            client.search(query, offset=0, **options)
            return (time.perf_counter() - started) * 1e3

        for number in range(1 + FACET_ROUNDS):
            for query in QUERIES:
                # By turns, so that neither is always the first.
                first, second = ({"facets": list(FACETS)}, {}) if number % 2 else ({}, {"facets": list(FACETS)})
                times = milliseconds(query, **first), milliseconds(query, **second)
                if number:  # the first round finds what matches, which is kept
                    added.append(times[0] - times[1] if number % 2 else times[1] - times[0])
    return round(statistics.median(added), 2)


def measure_pages(address: str, browser: Browser, console: Console) -> dict[str, float]:
    """Returns the figures of the pages at an address."""
    with browser.new_context() as first:
        first.new_page().goto(f"{address}/search?q=warm", wait_until="networkidle")
    weights, times = [], []
    for query in QUERIES:
        with browser.new_context() as fresh:
            weights.append(weigh(fresh.new_page(), f"{address}/search?q={query}"))
        with browser.new_context() as fresh:
            times.append(time_first_results(fresh.new_page(), f"{address}/search?q={query}"))
    violations = []
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(address)
            page.locator(".open-graph button").click()
            page.locator(".panel").wait_for()
            for path in PATHS:
                page.goto(f"{address}{path}")
                violations += count_violations(page)
    for violation in violations:
        console.print(violation, markup=False)
    return {
        "page_bytes": max(read for read, _ in weights),
        "page_bytes_sent": max(sent for _, sent in weights),
        "first_results_ms": round(statistics.median(times), 1),
        "first_results_max_ms": round(max(times), 1),
        "axe_violations": len(violations),
    }


def measure_storefront(bundle: Path, shoppers: Path, console: Console) -> Path:
    """Serves a bundle and its shop, measures its pages, and writes its part of the report.

    Args:
        bundle: The bundle's folder.
        shoppers: What `fuserank export shoppers` wrote of it.
        console: Where it says what it does.

    Returns:
        The report's JSON file.
    """
    http, grpc, metrics = free_ports(3)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    with (
        tempfile.TemporaryDirectory() as folder,
        served(bundle, (http, grpc, metrics), console, state=f"sqlite:{folder}/log.sqlite"),
        show_shop(f"127.0.0.1:{grpc}", read_shoppers(shoppers)) as address,
        open_browser() as browser,
    ):
        figures = measure_pages(address, browser, console)
        figures["facets_p50_ms"] = time_facets(f"127.0.0.1:{grpc}")
    figures["client_import_ms"] = time_import("from fuserank import AsyncClient")
    figures["package_import_ms"] = time_import("import fuserank")
    return merge_report("people", "storefront", manifest["id"], figures, MEANINGS, {})
