"""The page loads nothing, runs nothing, and shows a shop's texts as texts."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.metrics.significance import Comparison
from fuserank_evaluation.shop.advice import Facts
from fuserank_evaluation.shop.exposure import exposures
from fuserank_evaluation.shop.health import CatalogHealth
from fuserank_evaluation.shop.inputs import FileRows, MeasuredLog
from fuserank_evaluation.shop.methods import METHODS, PRODUCT
from fuserank_evaluation.shop.page import Page, write_page
from fuserank_evaluation.shop.requests import SHOWN_MEASURES, RequestSet
from fuserank_evaluation.shop.segments import Segment
from fuserank_evaluation.shop.worst import lost_shares, worst_requests

HOSTILE = """<script>alert(1)</script><img src="//evil" onerror='x()'>"""


class Elements(HTMLParser):
    """Collects a page's elements, the addresses that it would load, and its text."""

    def __init__(self, html):
        super().__init__()
        self.names, self.loaded, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]

    def handle_data(self, data):
        self.text += data


def request_set():
    rows = [np.asarray([1, 0], np.int32), np.asarray([2], np.int32)] * 2
    values = {name: np.asarray([0.0, 0.4, 0.2, 1.0]) for name in SHOWN_MEASURES}
    better = {name: own + 0.1 for name, own in values.items()}
    return RequestSet(
        "search",
        queries=[HOSTILE, "tea", "milk", "tea"],
        known=[True, False, True, True],
        relevant=[np.asarray([2], np.int32)] * 4,
        head=[np.ones(3, np.bool_)] * 4,
        windows=[0, 0, 1, 1],
        retrieved=rows,
        ranked={PRODUCT: rows, "bm25": rows},
        values={PRODUCT: values, "bm25": better},
    )


@pytest.fixture
def page(tmp_path):
    requests = request_set()
    health = CatalogHealth(3, {"price": 0.5}, 0.6, ((HOSTILE, 2),), 4, ((HOSTILE, 1),), 0.3)
    segment = Segment("search", "category", HOSTILE, 4, 0.1, "bm25", 0.2, Comparison(-0.1, -0.2, 0.0, 0.01, 0.01, 0.01))
    exposed = exposures(requests, np.asarray([5, 1, 1], np.float32))
    facts = Facts(
        outcomes={},
        segments=[segment],
        exposures=exposed,
        health=health,
        log=MeasuredLog(events=10, days=2.0, windows=2, wanted=2),
        files=[FileRows(HOSTILE, read=1_234, bad=5, unknown_item=6)],
        has_queries=True,
        judged=0,
        taught=0,
        unread_scripts=(),
        unranked="",
        quality="quick",
    )
    return Page(
        path=tmp_path / "index.html",
        bundle="b-1",
        folder=HOSTILE,
        windows=[(86_400.0, 172_800.0), (0.0, 86_400.0)],
        sets={"search": requests},
        facts=facts,
        verdicts=[HOSTILE],
        advice=[HOSTILE],
        worst={"search": worst_requests(requests, [HOSTILE, "b", "c"])},
        users=2,
    )


def test_texts_of_a_shop_are_shown_and_never_run(page):
    write_page(page)
    html = page.path.read_text("utf-8")
    elements = Elements(html)
    # Twice in a sentence, in the command, as query, title, category, repeated title, dead category and file.
    assert elements.text.count(HOSTILE) >= 9
    assert {"script", "img", "link", "iframe"}.isdisjoint(elements.names)
    assert elements.loaded == []
    assert "default-src 'none'" in html
    assert elements.names.count("svg") == 2
    assert "1970-01-01 to 1970-01-02" in elements.text
    assert "1,234" in elements.text  # rows that were read


def test_a_method_has_one_colour_in_all_plots_and_one_legend_names_it(page):
    write_page(page)
    html = page.path.read_text("utf-8")
    for method in (PRODUCT, "bm25"):
        colour = METHODS[method].colour
        assert html.count(f"background: {colour}") == 1
        assert all(f"fill: {colour}" in plot or f"stroke: {colour}" in plot for plot in plots(html))
    assert METHODS["als"].colour not in html  # it did not take part
    assert len({one.colour for one in METHODS.values()}) == len(METHODS)


def test_plots_take_their_ink_from_the_page_and_are_as_narrow_as_a_phone(page):
    write_page(page)
    drawn = plots(page.path.read_text("utf-8"))
    assert len(drawn) == 2
    for plot in drawn:
        width = float(re.search(r'width="([0-9.]+)pt"', plot)[1])
        assert width <= 360 * 0.75  # points of as many CSS pixels
        assert "currentColor" in plot
        assert not {"#000000", "fill: #ffffff"} & set(re.findall(r"#000000|fill: #ffffff", plot))
        assert all("fill: currentColor" in text for text in re.findall(r"<text[^>]*>", plot))


@pytest.mark.parametrize("paper", ["#ffffff", "#14171d"])
def test_the_colours_stand_out_on_light_and_dark_paper(paper):
    # WCAG 2.2, 1.4.11: graphics have a contrast of 3 to what they stand on.
    for one in METHODS.values():
        light, dark = sorted((luminance(one.colour), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, one


def plots(html):
    return re.findall(r"<svg.*?</svg>", html, re.DOTALL)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_shop_without_requests_has_a_page_of_its_catalogue(page):
    bare = replace(
        page,
        sets={},
        worst={},
        windows=[],
        verdicts=[],
        advice=[],
        facts=replace(page.facts, segments=[], exposures=[]),
    )
    write_page(bare)
    elements = Elements(page.path.read_text("utf-8"))
    assert "Nothing that these figures show" in elements.text
    assert "svg" not in elements.names


def test_each_bad_query_is_named_once_and_says_where_it_was_lost():
    requests = request_set()
    titles = ["a", "b", "c"]
    worst = worst_requests(requests, titles)
    assert [one.query for one in worst] == [HOSTILE, "milk", "tea"]
    assert [one.lost for one in worst] == ["not found", "not found", "ranked low"]
    below = replace(requests, retrieved=[np.asarray([0, 1, 2], np.int32)] * 4)
    assert worst_requests(below, titles)[0].lost == "ranked below ten"
    nothing = replace(below, ranked={PRODUCT: [np.empty(0, np.int32)] * 4, "bm25": below.retrieved})
    assert worst_requests(nothing, titles)[0].lost == "no answer"
    assert lost_shares(requests) == {"no answer": 0.0, "not found": 0.5, "ranked below ten": 0.0}
