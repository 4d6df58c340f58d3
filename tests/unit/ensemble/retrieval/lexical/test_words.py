"""Documents and queries fall into the same words, whatever their script and their spelling."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.lexical.words import (
    MAX_CHARACTERS,
    clean,
    content_words,
    han_runs,
    has_han,
    match_key,
    simplify,
    split_characters,
    words,
)


def stems(text):
    return [word.stem for word in words(text)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("500ml", "500 ML"),
        ("A-1234", "a1234"),
        ("7-up", "7 UP"),
        ("Men's Shoes", "mens shoe"),
        ("Café", "cafe"),
        ("ＡＢＣ　牛奶", "abc牛奶"),
        ("soft\u00adware", "software"),
        ("Binders & Portfolios", "binder portfolio"),
        ("a\x00b", "a b"),
        ("無糖可樂", "无糖可乐"),
        ("ACME 有機純牛奶 500ML", "acme 有机纯牛奶 500ml"),
        ("頭髮乾燥", "头发干燥"),
    ],
)
def test_spellings_of_the_same_thing_are_the_same_words(one, other):
    assert stems(one) == stems(other)
    assert stems(one)
    assert match_key(one) == match_key(other)


def test_chinese_is_cut_into_words_and_mixes_with_other_scripts():
    assert stems("Coca-Cola无糖可乐500ml") == ["coca", "cola", "无", "糖", "可乐", "500", "ml"]
    assert {"北海", "北海道", "牛奶"} <= set(stems("北海道牛奶"))
    assert split_characters("无糖Coca 可乐") == ["无", "糖", "coca", "可", "乐"]


def test_a_character_that_both_scripts_have_is_simplified_by_what_stands_beside_it():
    assert simplify("皇后 後天") == "皇后 后天"
    assert split_characters("乾隆 乾燥") == ["乾", "隆", "干", "燥"]
    assert han_runs("milk 鮮奶") == ["鲜奶"]
    assert simplify("milk 🍕\x00") == "milk 🍕\x00"


def test_emoji_are_words_and_lone_surrogates_and_nothing_else_are_survived():
    assert stems("pizza 🍕") == ["pizza", "🍕"]
    assert stems("a\ud800b") == ["a", "b"]
    assert words("") == words(" \t\x00 -- !!") == []


def test_a_text_of_100_kb_is_cut_and_still_has_its_first_words():
    assert len(clean("milk " * 20_000)) <= MAX_CHARACTERS
    assert stems("milk " * 20_000)[0] == "milk"
    assert len(clean("奶" * 100_000)) == MAX_CHARACTERS


def test_stop_words_are_left_out_unless_there_are_no_others():
    assert [w.written for w in content_words(words("the lord of the rings"))] == ["lord", "rings"]
    assert [w.written for w in content_words(words("to be"))] == ["to", "be"]
    assert content_words([]) == []


def test_the_chinese_dictionary_is_loaded_for_chinese_only_and_writes_nothing(tmp_path):
    script = (
        "import sys; from fuserank_ensemble.retrieval.lexical.words import words; words('milk');"
        "assert not {'jieba', 'opencc'} & set(sys.modules);"
        "words('牛奶'); assert {'jieba', 'opencc'} <= set(sys.modules)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_any_text_has_as_many_words_as_stems_none_empty_none_with_a_space(text):
    for word in words(text):
        assert word.written
        assert word.stem
        assert not any(c.isspace() for c in word.stem)
    assert isinstance(has_han(text), bool)
