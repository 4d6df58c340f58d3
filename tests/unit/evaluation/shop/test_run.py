"""A shop's own files become one page: with a log, and without one in Chinese."""

from __future__ import annotations

import json
from html import unescape

import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("torchmetrics")
from fuserank_evaluation.shop.methods import PRODUCT
from fuserank_evaluation.shop.run import ShopEvaluation, evaluate_shop
from fuserank_export.builder.options import EncoderOptions, InputFiles
from support.exporting import HARDLY, silent
from support.tiny_shop import write_csv


def evaluate(folder, encoder, **files):
    evaluation = ShopEvaluation(
        files=InputFiles(features=(), **files),
        encoder=EncoderOptions(source=str(encoder), text_template="{title} | {category}"),
        out=folder / "out",
        ranker=HARDLY,
        windows=1,
        cases=30,
    )
    page = evaluate_shop(evaluation, silent())
    figures = json.loads((folder / "out" / "figures.json").read_text("utf-8"))
    return page, figures, unescape(page.path.read_text("utf-8"))


@pytest.fixture(scope="module")
def with_log(tiny_shop, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("with-log")
    return evaluate(folder, tiny_encoder, catalog=tiny_shop.catalog, interactions=tiny_shop.interactions)


def test_every_method_is_compared_on_every_kind_of_request(with_log):
    _, figures, _ = with_log
    recommenders = {PRODUCT, "popularity", "item_item", "als"}
    assert set(figures["means"]) == {"search", "recommendation", "discovery"}
    assert set(figures["means"]["search"]) >= {*recommenders, "bm25", "dense", "rrf"}
    assert set(figures["means"]["recommendation"]) >= recommenders
    assert all("lightgbm" in means for means in figures["means"].values())
    assert figures["log"]["windows"] == figures["log"]["wanted"] == 1
    assert [(one["file"], one["bad"]) for one in figures["files"]] == [("items.csv", 0), ("events.csv", 0)]
    # Its users come back for the same four items, which the untrained encoder of a text search cannot know.
    assert figures["means"]["recommendation"][PRODUCT] > 0.3
    assert figures["means"]["search"][PRODUCT] > figures["means"]["search"]["dense"]


def test_the_page_says_what_to_do_and_where_it_was_worst(with_log):
    page, figures, text = with_log
    assert any("judged" in sentence for sentence in page.advice)
    assert all(sentence.split("`")[0] in text for sentence in (*page.verdicts, *page.advice))
    assert all(worst.query in text for worst in page.worst["search"])
    assert {segment["kind"] for segment in figures["segments"]} >= {"query", "item", "category"}


def test_a_bundle_knows_nothing_of_its_window(with_log):
    page, _, _ = with_log
    ((start, _),) = page.windows
    manifest = json.loads((page.path.parent / "bundle-0" / "manifest.json").read_text("utf-8"))
    assert manifest["log_end"] <= start


def test_a_chinese_shop_without_a_log_is_evaluated_on_what_people_judged(tiny_encoder, tmp_path):
    teas, kinds = ("绿茶", "红茶", "乌龙茶", "白茶", "花茶"), ("特级", "家庭装", "有机", "礼盒", "试饮", "散装")
    rows = [
        {
            "item_id": f"茶{number:03}",
            "title": f"{kinds[number % 6]}{teas[number % 5]}{number // 30}号",
            "category": "饮料 > 茶",
        }
        for number in range(300)
    ]
    catalog = write_csv(tmp_path / "items.csv", rows)
    asked = [kind + tea for kind in kinds for tea in teas] + [
        f"{tea}{number}号" for tea in teas for number in range(10)
    ]
    asked += [f"{kind}{number}号" for kind in kinds for number in range(3)]
    queries, judgements = tmp_path / "queries.tsv", tmp_path / "judgements.tsv"
    queries.write_text("".join(f"q{i}\t{text}\n" for i, text in enumerate(asked)), "utf-8")
    graded = [
        f"q{i} 0 {row['item_id']} {1 + (text in row['title'])}\n"
        for i, text in enumerate(asked)
        for row in rows
        if set(text) <= set(row["title"])
    ]
    judgements.write_text("".join(graded), "utf-8")
    page, figures, text = evaluate(tmp_path, tiny_encoder, catalog=catalog, queries=queries, judgements=judgements)
    assert set(figures["means"]) == {"judged"}
    assert "lightgbm" in figures["means"]["judged"]  # what taught the ranker taught it, too
    assert figures["means"]["judged"][PRODUCT] > 0.8
    assert figures["means"]["judged"]["bm25"] > 0.5  # Chinese words are cut for it, too
    assert any("no log" in sentence for sentence in page.advice)
    assert "饮料" in text  # the segment of a category
    assert page.facts.outcomes["judged"].cases < len(asked)  # a third was taught


def test_a_log_too_short_for_a_window_is_said_and_searches_are_made_up(tiny_shop, tiny_encoder, tmp_path):
    rows = [{"user_id": "a", "item_id": item, "event": "view", "timestamp": 1_700_000_000} for item in ("i00", "gone")]
    log = write_csv(tmp_path / "log.csv", rows)
    page, figures, text = evaluate(tmp_path, tiny_encoder, catalog=tiny_shop.catalog, interactions=log)
    assert set(figures["means"]) == {"made_up"}
    (short,) = (sentence for sentence in page.advice if "too short" in sentence)
    assert "1 event of 0.0 days" in short
    assert any("1 of 2 rows of log.csv are left out" in sentence for sentence in page.advice)
    assert short in text
