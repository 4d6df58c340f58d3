"""The lexical channel finds what the words say, in tiers, and filters hold before the cut."""

from __future__ import annotations

import itertools
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.channels import lexical
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical import tiers
from fuserank_ensemble.retrieval.lexical.documents import title_head
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.tiers import CODE_SCORE, GUESS_SCORE, VALUE_SCORE, WORDS_SCORE
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser, UnderstoodQuery
from fuserank_export.index.units import unit_table

FIELDS = {"title": 3.0, "category": 1.0, "brand": 2.0, "description": 1.0, "tags": 0.5}
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


def channel_query(query, allowed=None):
    return ChannelQuery(query, np.zeros(2, np.float32), History.empty(), 0.0, allowed)


def rows(channel, query, depth=100, allowed=None):
    return channel.search([channel_query(query, allowed)], depth)[0].rows.tolist()


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


DRINKS = [
    {"title": "Ice cream cones"},
    {"title": "Cola soft drink 12 ct"},
    {"title": "Case for AirPods"},
    {"title": "AirPods"},
    {"title": "Leather case, compatible with AirPods"},
    {"title": "Whole milk 1/2 gallon"},
    {"title": "Whole milk gallon"},
    {"title": "Whole milk", "description": "64 fl oz"},
    {"title": "Strawberry yogurt"},
]


@pytest.fixture(scope="module")
def drinks(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexical") / "drinks"
    LexicalIndex.write(path, DRINKS, FIELDS, unit_table())
    return LexicalChannel(LexicalIndex.open(path), len(DRINKS))


def scores(channel, query, understood=None):
    ranked = channel.search([replace(channel_query(query), understood=understood)], 100)[0]
    return dict(zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True))


def test_what_an_unknown_word_may_mean_is_a_guess_and_never_certain(drinks):
    assert {row: score for row, score in scores(drinks, "coke").items() if score >= WORDS_SCORE} == {}
    guessed = scores(drinks, "con")
    assert set(guessed) == {0}, "a word's beginning is completed"
    assert GUESS_SCORE < guessed[0] < WORDS_SCORE


def test_a_corrected_query_scores_below_the_same_query_spelt_right(drinks):
    exact, typo = scores(drinks, "strawberry yogurt"), scores(drinks, "strawbery yogurt")
    assert set(exact) == set(typo) == {8}
    assert GUESS_SCORE <= typo[8] < WORDS_SCORE <= LexicalChannel.declaration.certain_score < exact[8]


def test_a_word_that_nothing_is_like_excludes_nothing_and_makes_all_a_guess(drinks):
    found = scores(drinks, "xqzxqz airpods")
    assert set(found) == {2, 3, 4}
    assert max(found.values()) < WORDS_SCORE


def test_the_thing_itself_comes_before_what_is_for_it(drinks):
    assert rows(drinks, "airpods")[0] == 3
    assert rows(drinks, "airpods case")[0] in (2, 4)
    by_head = scores(drinks, "case")
    assert by_head[2] > WORDS_SCORE
    assert title_head("Case for AirPods 2") == "Case"
    assert title_head("For sale") == "For sale", "what begins a title is the thing itself"


@pytest.mark.parametrize("spelt", ["1/2 gallon milk", "half gallon milk", "64 fl oz milk", "milk 1/2 GAL"])
def test_a_size_finds_the_same_items_in_the_same_order_however_it_is_written(drinks, spelt):
    parser = QueryParser(Synonyms({}), Quantities(unit_table()))
    found = scores(drinks, "milk, 1/2 gallon", parser.parse(spelt))
    assert found == scores(drinks, "milk, 1/2 gallon", parser.parse("half gallon milk"))
    # Both texts of the size come before the other size.
    assert set(list(found)[:2]) == {5, 7}
    assert found[5] > found[6]


def test_what_matches_a_corrected_word_is_a_guess(drinks):
    typed = UnderstoodQuery("airpods", "airpods")
    assert max(scores(drinks, "airpods", typed).values()) > WORDS_SCORE
    corrected = structs.replace(typed, corrected=(("airpodds", "airpods"),))
    found = scores(drinks, "airpods", corrected)
    assert set(found) == set(scores(drinks, "airpods", typed))
    assert max(found.values()) < WORDS_SCORE


def test_fillers_do_not_count_as_words_of_the_query(drinks):
    assert rows(drinks, "looking for something like airpods") == rows(drinks, "airpods")
    assert rows(drinks, "please") == []


PARTS = [
    {"item_id": "p-100", "title": "Hinge, brass", "part_no": "KLM-9017", "barcode": 36000291452.0},
    {"item_id": "p-101", "title": "Hinge, steel", "part_no": "KLM-9018"},
    {"item_id": "p-102", "title": "Screw 9017 for hinges", "part_no": "QRS-1/4-20, QRS-1/4-28"},
    {"item_id": "1984", "title": "Brave New World"},
    {"item_id": "b-77", "title": "1984"},
    {"item_id": "b-78", "title": "19845 days", "part_no": "19845-001"},
    {"item_id": "b-79", "title": "Galaxy 24 case", "part_no": "GALAXY24-CASE-BLK"},
    {"item_id": "b-80", "title": "Galaxy 24", "part_no": "PHONE-1"},
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexical") / "parts"
    LexicalIndex.write(path, PARTS, {"title": 3}, unit_table(), ["item_id", "part_no", "barcode"])
    return LexicalChannel(LexicalIndex.open(path), len(PARTS))


@pytest.mark.parametrize("query", ["KLM-9017", "klm9017", "klm 9017", "Klm.9017", "p-100", "P100", "036000291452"])
def test_a_code_finds_its_item_above_all_else_with_and_without_separators(parts, query):
    found = scores(parts, query)
    assert next(iter(found)) == 0
    assert found[0] >= CODE_SCORE
    assert [row for row, score in found.items() if score >= CODE_SCORE] == [0]


@pytest.mark.parametrize(
    ("query", "expected"), [("KLM-90", {0, 1}), ("klm 901", {0, 1}), ("QRS-1/4", {2}), ("qrs1420", {2}), ("36000", {0})]
)
def test_the_beginning_of_a_code_finds_what_has_it(parts, query, expected):
    assert {row for row, score in scores(parts, query).items() if score >= CODE_SCORE} == expected


def test_words_that_an_item_has_are_words_though_a_code_begins_so(parts):
    found = scores(parts, "galaxy 24")
    assert next(iter(found)) == 7
    assert max(found.values()) < CODE_SCORE


def test_a_title_that_is_another_items_code_is_meant_too(parts):
    found = scores(parts, "1984")
    assert {row for row, score in found.items() if score > VALUE_SCORE + WORDS_SCORE - 1} == {3, 4}
    assert max(found.values()) < CODE_SCORE


def test_a_code_within_a_query_finds_its_item_before_those_with_the_other_words(parts):
    found = scores(parts, "hinge klm-9018")
    assert next(iter(found)) == 1
    assert WORDS_SCORE < found[1] < CODE_SCORE
    assert set(list(scores(parts, "KLM-9017 KLM-9018"))[:2]) == {0, 1}


def test_a_filter_holds_for_codes(parts):
    allowed = np.arange(len(PARTS)) != 0
    assert 0 not in scores(parts, "KLM-90") or 0 not in rows(parts, "KLM-90", allowed=allowed)
    assert rows(parts, "KLM-90", allowed=allowed)[0] == 1


KITCHEN = [
    {"title": "Chef's knife Vorelo™ 8\""},
    {"title": "Set of 6 knives"},
    {"title": 'Pate mould 3½" deep'},
    {"title": 'Pâté mould 3½" deep, stoneware with a lid'},
    {"title": "Bookshelf with leaves, ® Tarn"},
    {"title": "Shelves"},
    {"title": "Mouse trap for mice"},
    {"title": "Women's apron"},
]


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexical") / "kitchen"
    LexicalIndex.write(path, KITCHEN, FIELDS, unit_table())
    return LexicalChannel(LexicalIndex.open(path), len(KITCHEN))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("knife", {0, 1}),
        ("knives", {0, 1}),
        ("leaf", {4}),
        ("shelf", {5}),
        ("mice", {6}),
        ("mouse", {6}),
        ("apron for women", {7}),
        ("womens apron", {7}),
        ("woman apron", {7}),
        ("vorelo", {0}),
        ("vorelo™ knife", {0}),
        ("vorelotm", set()),
        ("tarn", {4}),
    ],
)
def test_words_are_found_in_all_their_forms_and_without_their_marks(kitchen, query, expected):
    assert {row for row, score in scores(kitchen, query).items() if score >= WORDS_SCORE} == expected


def test_the_spelling_of_the_query_comes_before_its_twin_with_or_without_accents(kitchen):
    assert rows(kitchen, "pâté mould") == [3, 2]
    assert rows(kitchen, "pate mould") == [2, 3]
    accented, plain = scores(kitchen, "pâté"), scores(kitchen, "pate")
    assert accented[3] > accented[2] >= WORDS_SCORE
    assert plain[2] > plain[3] >= WORDS_SCORE


def test_a_pair_of_inch_marks_is_no_phrase_and_a_fraction_is_a_size(kitchen):
    assert rows(kitchen, '8" knife 8" vorelo')[0] == 0
    parser = QueryParser(Synonyms({}), Quantities(unit_table()))
    for size in ('3½"', '3 1/2"', "3-1/2 inch", "3.5 inches"):
        assert parser.parse(f"pate mould {size}").sizes == ("3 1/2 inch",)
        assert set(scores(kitchen, "", parser.parse(f"pate mould {size}"))) == {2, 3}
