"""The lexical channel finds what the words say, in tiers, and filters hold before the cut."""

from __future__ import annotations

import itertools
import shutil
import stat

import numpy as np
import pytest

from fuserank_ensemble.retrieval.channels import lexical
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical import tiers
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.tiers import VALUE_SCORE, WORDS_SCORE
from fuserank_export.index.units import unit_table
from support.lexical import FIELDS, channel_query, rows

SHOP = [
    {"title": "Chocolate Milk 500ml", "category": "Grocery > Dairy > Milk", "brand": "Acme"},
    {"title": "Milk Chocolate", "category": "Grocery > Candy", "brand": "Zenith"},
    {"title": "Milk", "category": "Grocery > Dairy > Milk", "brand": "Acme", "tags": ["fresh", "whole"]},
    {"title": "Strawberry Yogurt", "category": "Grocery > Dairy > Yogurt", "description": "with milk"},
    {"title": "Bolt A-1234", "category": "Hardware", "brand": "7-Up Tools"},
    {"title": "Coca-Cola 无糖可乐 500ml", "category": "饮料 > 碳酸饮料", "brand": "可口可乐"},
    {"title": "有机纯牛奶", "category": "乳品", "brand": "Acme"},
    {"title": "pizza 🍕 \x00\x01", "category": None, "brand": float("nan")},
    {"title": ""},
    {},
    {"title": "walnut " * 20_000},
    {"title": "the milky way of chocolate cars", "description": "carrot"},
    {"title": "純棉洗臉巾 乾濕兩用", "category": "個人護理"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexical") / "shop"
    assert LexicalIndex.write(path, SHOP, FIELDS, unit_table()) == len(SHOP) - 2
    return path


@pytest.fixture(scope="module")
def shop(folder):
    return LexicalChannel(LexicalIndex.open(folder), len(SHOP))


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("chocolate milk", 0),
        ("milk chocolate", 1),
        ("MILK", 2),
        ("yogurts", 3),
        ("a1234", 4),
        ("A-1234", 4),
        ("7up", 4),
        ("无糖可乐", 5),
        ("可乐 coca", 5),
        ("牛奶", 6),
        ("🍕", 7),
        ("walnuts", 10),
        ("strawbery yogurt", 3),
        ("yogrut", 3),
        ("straw", 3),
        ("pizz", 7),
        ("奶牛", 6),
        ("無糖可樂", 5),
        ("有機純牛奶", 6),
        ("飲料", 5),
        ('"純牛奶"', 6),
        ("whole fresh", 2),
        ("纯棉洗脸巾", 12),
        ("個人护理", 12),
        ("洗臉巾", 12),
    ],
)
def test_the_item_meant_comes_first(shop, query, first):
    assert rows(shop, query)[0] == first


def test_scores_stand_in_tiers_of_whole_values_then_all_words_then_the_rest(shop):
    ranked = shop.search([channel_query("chocolate milk")], 100)[0]
    scores = dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))
    assert WORDS_SCORE < scores[1] < scores[0] < 2 * WORDS_SCORE
    assert 0 < scores[3] < WORDS_SCORE
    whole = shop.search([channel_query("dairy")], 100)[0]
    assert set(whole.rows.tolist()) == {0, 2, 3}
    assert (whole.scores > VALUE_SCORE + WORDS_SCORE).all()
    assert (np.diff(ranked.scores) <= 0).all()
    assert ranked.rows.dtype == np.int32
    assert ranked.scores.dtype == np.float32


@pytest.mark.parametrize(("query", "searches", "found"), [("strawberry yogurt", 2, {3}), ("milk chocolate", 3, {0, 1})])
def test_words_are_searched_once_more_where_others_have_them_than_as_a_value(shop, query, searches, found, monkeypatch):
    collected, collect = [], LexicalChannel._collect
    monkeypatch.setattr(LexicalChannel, "_collect", lambda self, *args: collected.append(args) or collect(self, *args))
    assert found <= set(rows(shop, query))
    assert len(collected) == searches


def test_a_full_word_is_not_hurt_by_longer_ones_that_begin_with_it(shop):
    found = rows(shop, "car")
    assert found == [11], "car is a word: cars has its stem"
    assert rows(shop, "milk")[0] == 2
    assert rows(shop, "carr") == [11]


def test_a_known_word_is_never_corrected(shop):
    assert 3 not in rows(shop, "bolt")
    assert rows(shop, "bxyz") == []


def test_quoted_text_has_to_occur_as_a_phrase(shop):
    assert rows(shop, '"milk chocolate"') == [1]
    assert set(rows(shop, "milk chocolate")) > {0, 1}
    assert rows(shop, '"牛奶"') == [6]
    assert rows(shop, '"奶牛"') == []
    assert rows(shop, '"milk yogurt"') == []
    assert rows(shop, '"') == rows(shop, '""') == []


@pytest.mark.parametrize(
    "query", ["", "   ", "!!! --", "\x00", "zzzzqqqq", 'a"b"c', "(", "title:x AND *", "\ud800", "龘"]
)
def test_what_cannot_be_found_finds_nothing_or_something_but_never_fails(shop, query):
    assert len(shop.search([channel_query(query)], 5)[0]) <= 5


def test_a_query_of_100_kb_is_answered(shop):
    assert 2 in rows(shop, "milk " * 20_000)
    assert 6 in rows(shop, "牛奶" * 50_000)


def test_a_batch_is_answered_as_its_queries_are_alone(shop):
    queries = ["milk", "", "可乐"]
    together = shop.search([channel_query(q) for q in queries], 3)
    assert [ranked.rows.tolist() for ranked in together] == [rows(shop, q, 3) for q in queries]


def test_equal_scores_are_ordered_by_popularity_even_across_the_cut(tmp_path):
    items = 500
    LexicalIndex.write(tmp_path / "same", [{"title": "milk"}] * items, {"title": 1}, {})
    place = np.random.default_rng(3).permutation(items).astype(np.int64)
    channel = LexicalChannel(LexicalIndex.open(tmp_path / "same"), items, place)
    assert rows(channel, "milk", 10) == np.argsort(place)[:10].tolist()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    draw = np.random.default_rng(1)
    names = [f"{a}{b}" for a, b in itertools.product(["ba", "ko", "mi", "ru", "se"], ["lan", "tor", "vex", "zim"])]
    records = [
        {"title": " ".join(draw.choice(names, draw.integers(1, 5))), "category": f"X > {draw.choice(names)}"}
        for _ in range(6_000)
    ]
    path = tmp_path_factory.mktemp("lexical") / "large"
    LexicalIndex.write(path, records, {"title": 3, "category": 1}, {})
    return LexicalChannel(LexicalIndex.open(path), len(records), draw.permutation(len(records)).astype(np.int64))


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("query", ["balan", "balan kotor", "mivex ruzim selan", "balann kotr", "sel"])
def test_a_filter_finds_what_searching_everything_and_filtering_finds(large, query, share, monkeypatch):
    monkeypatch.setattr(tiers, "LOOSE", 10**6)  # everything, also what has few of the words
    allowed = np.random.default_rng(9).random(6_000) < share
    everything = large.search([channel_query(query)], 6_000)[0]
    assert len(everything) > 100
    for depth in (1, 7, 100):
        ranked = large.search([channel_query(query, allowed)], depth)[0]
        kept = allowed[everything.rows]
        assert ranked.rows.tolist() == everything.rows[kept][:depth].tolist()
        np.testing.assert_allclose(ranked.scores, everything.scores[kept][:depth], rtol=1e-5)


def test_many_allowed_are_searched_wider_until_enough_are_left(large, monkeypatch):
    allowed = np.random.default_rng(2).random(6_000) < 0.05
    told = large.search([channel_query("balan kotor", allowed)], 40)[0]
    monkeypatch.setattr(lexical, "_FEW_ALLOWED", 0)
    widened = large.search([channel_query("balan kotor", allowed)], 40)[0]
    assert widened.rows.tolist() == told.rows.tolist()
    assert len(widened) == 40


@pytest.fixture(scope="module")
def ounces(tmp_path_factory):
    """Every item but ten is measured in ounces; thirty are teas."""
    titles = [f"{'tea' if n % 10 == 0 else 'ham'} {'ounce' if n % 30 else 'bag'} {n}x" for n in range(300)]
    path = tmp_path_factory.mktemp("lexical") / "ounces"
    LexicalIndex.write(path, [{"title": title} for title in titles], {"title": 1}, {})
    return LexicalChannel(LexicalIndex.open(path), len(titles))


def test_a_word_of_half_the_shop_alone_finds_nothing_where_a_rarer_one_finds_enough(ounces, monkeypatch):
    teas = set(range(0, 300, 10))
    assert set(rows(ounces, "tea ounce")) > teas, "in a small shop every word counts"
    monkeypatch.setattr(tiers, "_COMMON", 40)
    monkeypatch.setattr(tiers, "LOOSE", 30)
    found = rows(ounces, "tea ounce")
    assert set(found) == teas
    assert set(found[:20]) == {row for row in teas if row % 30}, "those with both words stay before the others"
    assert len(rows(ounces, "ounce", 300)) == 290, "alone it is all there is"
    assert len(rows(ounces, "tea bag ounce", allowed=np.arange(300) % 2 == 1)) == 30, (
        "no tea is allowed: ounces are left"
    )
    assert 1 in rows(ounces, '"ounce" tea'), "in quotation marks it is what every hit has to hold"


def test_an_index_opens_from_a_read_only_folder_and_leaves_it_as_it_was(folder, tmp_path):
    copy = tmp_path / "read-only"
    shutil.copytree(folder, copy)
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    assert not [file for file in before if file.suffix == ".lock"]
    folders = [copy, copy / "items", copy / "vocabulary"]
    for path in folders:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    channel = LexicalChannel(LexicalIndex.open(copy), len(SHOP))
    assert rows(channel, "yogrut") == [3]
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before
    for path in folders:
        path.chmod(stat.S_IRWXU)


def test_documents_are_in_one_segment_and_an_english_index_has_no_chinese(folder, tmp_path):
    index = LexicalIndex.open(folder)
    assert (index.searcher.num_segments, index.vocabulary.num_segments, index.han) == (1, 1, True)
    LexicalIndex.write(tmp_path / "english", SHOP[:3], FIELDS, unit_table())
    assert LexicalIndex.open(tmp_path / "english").han is False


@pytest.mark.parametrize("records", [[], [{}], [{"title": "milk"}]])
def test_a_shop_of_nothing_or_one_is_a_shop(tmp_path, records):
    LexicalIndex.write(tmp_path / "small", records, {"title": 1}, {})
    channel = LexicalChannel(LexicalIndex.open(tmp_path / "small"), len(records))
    assert rows(channel, "milk") == ([0] if records and records[0] else [])
    assert rows(channel, "mlik") == ([0] if records and records[0] else [])


@pytest.mark.parametrize("fields", [{}, {"title": 0}, {"title": -1}, {"title": float("nan")}])
def test_fields_that_make_no_sense_are_refused(tmp_path, fields):
    with pytest.raises(ValueError, match="lexical fields"):
        LexicalIndex.write(tmp_path / "bad", SHOP, fields, {})


def test_an_index_of_another_catalogue_is_refused(folder):
    with pytest.raises(ValueError, match="13 items, catalogue of 14"):
        LexicalChannel(LexicalIndex.open(folder), 14)
