"""What the lexical channel only guesses is never certain, and codes and forms of words find what they are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.retrieval.channels.lexical import LexicalChannel
from fuserank_ensemble.retrieval.lexical.documents import title_head
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.tiers import CODE_SCORE, GUESS_SCORE, VALUE_SCORE, WORDS_SCORE
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser, UnderstoodQuery
from fuserank_export.index.units import unit_table
from support.lexical import FIELDS, channel_query, rows

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
