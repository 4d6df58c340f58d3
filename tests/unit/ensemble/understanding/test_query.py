"""A query taken apart: its words, its sizes, its prices and what it rules out; no text at all makes it fail."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.options import UNDERSTOOD_PARTS
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser, UnderstoodQuery
from fuserank_ensemble.understanding.spelling import Spelling
from fuserank_export.index.units import unit_table

PARSER = QueryParser(Synonyms({"coke": "cola", "soda pop": "soft drink"}), Quantities(unit_table()))


def parse(query):
    return PARSER.parse(query)


@pytest.mark.parametrize(
    ("query", "text", "low", "high"),
    [
        ("beer under $10", "beer", None, 10),
        ("beer under 10", "beer", None, 10),
        ("wine less than 8 dollars", "wine", None, 8),
        ("tea <5", "tea", None, 5),
        ("wine over $20", "wine", 20, None),
        ("at least 5 dollars cheese", "cheese", 5, None),
        ("chocolate between 1 and 3 dollars", "chocolate", 1, 3),
        ("chocolate between 3 and 1 dollars", "chocolate", 1, 3),
        ("toys from $5 to $10", "toys", 5, 10),
        ("wine 10-15 dollars", "wine", 10, 15),
        ("wine $10 to $15", "wine", 10, 15),
        ("toys over $5 under $10.50", "toys", 5, 10.5),
        ("10元以下的茶", "茶", None, 10),
        ("茶 不超过20元", "茶", None, 20),
        ("100到200元的鞋", "鞋", 100, 200),
        ("价格在30到50之间的书", "书", 30, 50),
        ("100元以上的茶", "茶", 100, None),
        ("茶 不低于20元", "茶", 20, None),
        ("200块左右的耳机", "耳机", 160, 240),
        ("wine around $20", "wine", 16, 24),
    ],
)
def test_a_price_is_a_limit_and_no_word_of_the_search(query, text, low, high):
    understood = parse(query)
    assert (understood.text, understood.price_from, understood.price_to) == (text, low, high)
    assert understood.has_price_limit
    assert understood.has_conditions


@pytest.mark.parametrize(
    "query",
    [
        "turkey under 10 lb",
        "over 10 kinds of beer",
        "7 up",
        "no 7 serum",
        "wine $10",
        "jeans 10-12",
        "5-10 lb turkey",
        "about 10 eggs",
        "身高100到120之间的衣服",
    ],
)
def test_a_number_that_is_no_price_limits_nothing(query):
    assert not parse(query).has_price_limit


def test_limits_that_contradict_each_other_say_nothing_and_the_words_are_searched():
    understood = parse("toys over $10 under $5")
    assert (understood.price_from, understood.price_to, understood.words) == (None, None, "toys")


@pytest.mark.parametrize("query", ["cheap wine", "cheapest wine", "budget wine", "affordable wine"])
def test_a_wish_for_low_prices_is_told_from_the_words(query):
    understood = parse(query)
    assert (understood.text, understood.cheap, understood.has_conditions) == ("wine", True, True)


@pytest.mark.parametrize(
    ("query", "text", "out"),
    [
        ("binder without rings", "binder", ("rings",)),
        ("tea without any sweetener", "tea", ("sweetener",)),
        ("bread w/o nuts or seeds", "bread", ("nuts", "seeds")),
        ("no sugar no salt cereal", "cereal", ("sugar", "salt")),
        ("grapes not red", "grapes", ("red",)),
        ("wine not too sweet", "wine", ("sweet",)),
        ("i don't want onions on my pizza", "pizza", ("onions",)),
        ("peanut butter no sugar added", "peanut butter", ("sugar",)),
        ("juice with no added sugar", "juice", ("sugar",)),
        ("cereal without artificial colors or sweeteners", "cereal", ("artificial colors", "sweeteners")),
        ("不加糖的豆浆", "豆浆", ("糖",)),
        ("除了苹果以外的水果", "水果", ("苹果",)),
        ("不含糖的饮料", "饮料", ("糖",)),
        # What catalogues spell out too stays in the search.
        ("sugar free gum", "sugar free gum", ("sugar",)),
        ("non-dairy cheese", "non-dairy cheese", ("dairy",)),
    ],
)
def test_what_is_ruled_out_counts_against_items_and_is_not_looked_for(query, text, out):
    understood = parse(query)
    assert (understood.text, understood.ruled_out) == (text, out)


def test_a_size_is_an_amount_and_is_told_in_one_spelling():
    one, other = parse("1/2 gallon milk"), parse("half gallon milk")
    assert one == other
    assert (one.words, one.text, one.sizes) == ("milk", "milk, 1/2 gallon", ("1/2 gallon",))
    assert len(one.amounts) == 1
    assert parse("5 lb bag of sugar").words == "sugar"


@pytest.mark.parametrize("filler", ["looking for {}", "i need some {} please", "{} for me", "do you have any {}"])
def test_words_around_a_query_that_say_nothing_leave_it_as_it_is(filler):
    assert parse(filler.format("whole milk")) == parse("whole milk")


@pytest.mark.parametrize("query", ["想买一双跑鞋", "请问有没有跑鞋", "推荐一款跑鞋", "我要买跑鞋"])
def test_a_wish_in_chinese_is_no_word_of_the_search_though_no_space_parts_them(query):
    assert parse(query).text == "跑鞋"


def test_chinese_words_that_begin_like_a_wish_stand():
    for query in ("有机牛奶", "推荐", "给我", "推荐信模板", "除草剂户外用"):
        assert parse(query).text == query
    assert parse("想买条纹衬衫").text == "条纹衬衫"
    assert parse("想买个性手机壳").text == "个性手机壳"
    assert parse("想买个手机").text == "手机"


def test_a_size_in_chinese_needs_no_space_around_it():
    assert parse("500ml矿泉水") == parse("矿泉水 500 毫升") == parse("500毫升装的矿泉水")
    assert parse("最便宜的纸巾").text == "纸巾"


def test_fillers_within_a_query_stay_as_an_encoder_reads_them():
    assert parse("food for dogs").text == "food for dogs"


def test_synonyms_are_replaced_before_anything_else():
    assert parse("Coke under $3").text == "cola"
    assert parse("no soda pop, juice").ruled_out == ("soft drink",)
    assert parse("no soda pop, juice").text == "juice"


def test_a_synonym_that_is_ruled_out_is_ruled_out_whole_or_not_where_it_is_what_is_wanted():
    for query in ("cold soft drink but not soda pop", "cold drink but not soda pop"):
        understood = parse(query)
        assert (understood.text, understood.ruled_out) == (query.partition(" but")[0], ())


def test_what_compares_a_size_is_no_word_of_the_search():
    assert parse("chicken more than 2 lbs").words == parse("at least 2 lb chicken").words == "chicken"
    assert parse("at least 12 rolls toilet paper").text == "toilet paper, 12 count"
    assert parse("water 24 x 16.9 oz").words == "water 24"
    assert parse("paint over 10 colours").words == "paint over 10 colours"


@pytest.mark.parametrize("query", ["please", "something for me", "想买", "123", "3.5", "12 oz", "cheap", "under $5"])
def test_where_nothing_else_would_be_left_the_words_are_searched_as_they_are(query):
    assert parse(query).text == normalise(query)


@pytest.mark.parametrize("query", ["without rings", "no milk", "not", "no", "不要糖"])
def test_a_negation_alone_is_searched_as_it_stands(query):
    assert parse(query) == UnderstoodQuery.plain(query)


WORDY = "please cheap coke 12 oz no ice under $4"


@pytest.mark.parametrize(
    ("left_out", "changed"),
    [
        ("sizes", {"text": "cola 12 oz", "words": "cola 12 oz", "sizes": (), "amounts": ()}),
        (
            "prices",
            {
                "text": "cheap cola under $4, 12 ounce",
                "words": "cheap cola under $4",
                "price_to": None,
                "cheap": False,
            },
        ),
        ("negation", {"text": "cola no ice, 12 ounce", "words": "cola no ice", "ruled_out": ()}),
        ("fillers", {"text": "please cola, 12 ounce", "words": "please cola"}),
        ("synonyms", {"text": "coke, 12 ounce", "words": "coke"}),
    ],
)
def test_a_part_that_is_left_out_is_words_like_any_other_and_the_rest_stays(left_out, changed):
    whole = PARSER.parse(WORDY)
    assert (whole.text, whole.words, whole.price_to, whole.cheap) == ("cola, 12 ounce", "cola", 4.0, True)
    rest = PARSER.parse(WORDY, [part for part in UNDERSTOOD_PARTS if part != left_out])
    assert rest == msgspec.structs.replace(whole, **changed)


SPELLED = replace(PARSER, spelling=Spelling(("milk", "cola").__contains__, (), lambda word, errors: [], ["coke"]))


def test_a_misspelt_word_is_corrected_before_synonyms_are_replaced_and_is_said():
    understood = SPELLED.parse("cooke 12 oz")
    assert (understood.words, understood.corrected) == ("cola", (("cooke", "coke"),))
    assert understood.describe("cooke 12 oz")["corrected"] == {"cooke": "coke"}
    others = [part for part in UNDERSTOOD_PARTS if part != "spelling"]
    assert SPELLED.parse("cooke 12 oz", others).words == "cooke"


def test_a_query_that_is_a_whole_value_is_not_corrected():
    by_value = replace(SPELLED, is_value=lambda text: text == "cooke")
    assert by_value.parse("cooke") == UnderstoodQuery("cooke", "cooke")


@given(st.text(max_size=40))
def test_without_any_part_a_query_stands_as_it_is(query):
    assert PARSER.parse(query, ()) == UnderstoodQuery.plain(query)


def test_a_reply_tells_what_was_understood_and_nothing_of_a_plain_query():
    assert parse("whole milk").describe("whole milk") == {}
    assert UnderstoodQuery.plain(" Whole  milk").describe(" Whole  milk") == {}
    query = "cheap half gallon milk no sugar under $4"
    assert parse(query).describe(query) == {
        "text": "milk, 1/2 gallon",
        "price_to": 4.0,
        "cheap": True,
        "ruled_out": ["sugar"],
        "sizes": ["1/2 gallon"],
    }


HARD = {
    "one letter four thousand times": "a" * 4_000,
    "four thousand digits": "9" * 4_000,
    "a number beyond floats": "9" * 400 + " oz milk",
    "a price beyond floats": "milk under " + "9" * 400 + " dollars",
    "dashes": "a" + "-" * 3_998 + "a",
    "negations": "no " * 1_300,
    "fractions": "1/" * 2_000,
    "right to left": "חלב ללא סוכר",
    "overridden direction": "\u202eklim under $5",
    "mixed scripts": "молоко 牛奶 milk حليب",
    "surrogate": "milk \ud800",
    "nothing": "",
    "control": "\x00\x01",
}


@pytest.mark.parametrize("name", HARD)
def test_odd_queries_are_taken_apart_like_any_other(name):
    understood = parse(HARD[name])
    assert understood.text == understood.text.strip()
    assert bool(understood.text) == bool(normalise(HARD[name]))


PIECES = st.sampled_from(
    ["milk", "no", "without", "under", "$", "5", "10", "between", "and", "half", "gallon", "free", "non", "-", "<",
     "以下", "元", "不含", "糖", "的", "for", "cheap", "1/2", '"', "or", "coke", "9" * 400]
)  # fmt: skip


@given(st.text(max_size=80) | st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=12).map("".join))
def test_any_query_keeps_something_to_search_for_and_travels_unchanged(query):
    understood = parse(query)
    assert bool(understood.text) == bool(normalise(query))
    assert bool(understood.words) == bool(understood.text)
    assert len(understood.amounts) == len(understood.sizes)
    limits = [understood.price_from or 0.0, understood.price_to or math.inf]
    assert limits == sorted(limits)
    assert understood == parse(query)
    sent = msgspec.msgpack.encode(understood)
    assert msgspec.msgpack.decode(sent, type=UnderstoodQuery) == understood


@pytest.mark.parametrize("query", ["no milk please", "without sugar for me", "no way"])
def test_a_negation_with_nothing_else_to_search_for_is_words(query):
    assert parse(query) == UnderstoodQuery.plain(query)


@pytest.mark.parametrize("query", ["no more tears shampoo", "no name chips"])
def test_names_that_begin_with_no_rule_nothing_out(query):
    assert parse(query).ruled_out == ()


@pytest.mark.parametrize("size", ["1oz ", "about 1 oz ", '1" ', "1 oz of ", "12 x 2 oz "])
def test_a_query_full_of_sizes_takes_as_much_longer_as_it_is_longer(size):
    def seconds(length):
        query = (size * length)[:length]
        started = time.process_time()
        parse(query)
        return time.process_time() - started

    # Four times the length; before, each size looked through all that stood before it, and took sixteen times as long.
    assert min(seconds(4_096) for _ in range(3)) < 9 * min(seconds(1_024) for _ in range(5))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("24 x 16.9 oz water", "24 water"),
        ("soda under 1 oz of lime and about 2 lb of ice", "soda lime and ice"),
        ("more than 5 lb bag of sugar", "sugar"),
        ("milk 1 oz about 2 oz", "milk"),
    ],
)
def test_what_stands_around_a_size_goes_with_it(query, words):
    assert parse(query).words == words
