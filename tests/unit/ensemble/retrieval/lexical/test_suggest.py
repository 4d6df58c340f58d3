"""Completions begin as typed, then hold the words, then forgive a slip; the popular come first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.lexical.cuts import cut_phrase
from fuserank_ensemble.retrieval.lexical.phrases import collect_phrases, phrase_key
from fuserank_ensemble.retrieval.lexical.shorthand import Spoken
from fuserank_ensemble.retrieval.lexical.suggest import Suggester

PHRASES = [
    ("Milk", 50.0),
    ("milk", 5.0),
    ("whole milk", 80.0),
    ("milk chocolate", 30.0),
    ("Chocolate Milk", 20.0),
    ("Café crème", 10.0),
    ("无糖可乐", 40.0),
    ("可乐 500ml", 35.0),
    ("牛奶", 3.0),
    ("strawberry yogurt", 7.0),
    ("a very long phrase about extraordinary strawberries", 1.0),
    ("pizza 🍕", 2.0),
    ("", 1000.0),
    ("\x00 !!", 1000.0),
    ("x" * 100_000, 1000.0),
    ("broken", float("nan")),
]


@pytest.fixture(scope="module")
def suggester(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest") / "phrases"
    assert Suggester.write(folder, PHRASES) == 13
    for file in folder.iterdir():
        file.chmod(0o400)
    folder.chmod(0o500)
    before = sorted(folder.iterdir())
    opened = Suggester.open(folder)
    assert sorted(folder.iterdir()) == before
    folder.chmod(0o700)
    return opened


def texts(suggester, prefix, count=10):
    return [text for text, _ in suggester.complete(prefix, count)]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("mil", ["Milk", "milk chocolate", "whole milk", "Chocolate Milk"]),
        ("MILK", ["Milk", "milk chocolate", "whole milk", "Chocolate Milk"]),
        ("milk ", ["milk chocolate", "whole milk", "Milk", "Chocolate Milk"]),
        ("milk ch", ["milk chocolate", "Chocolate Milk"]),
        ("milk who", ["whole milk"]),
        ("chocolate mil", ["Chocolate Milk", "milk chocolate"]),
        ("cafe cr", ["Café crème"]),
        ("无糖", ["无糖可乐"]),
        ("無糖", ["无糖可乐"]),
        ("无", ["无糖可乐"]),
        ("可乐", ["可乐 500ml", "无糖可乐"]),
        ("strawbery yo", ["strawberry yogurt"]),
        ("stawberi", ["strawberry yogurt", "a very long phrase about extraordinary strawberries"]),
        ("chocolaet", ["milk chocolate", "Chocolate Milk"]),
        ("a very long phrase ab", ["a very long phrase about extraordinary strawberries"]),
        ("extraordinary str", ["a very long phrase about extraordinary strawberries"]),
        ("extraordinar", ["a very long phrase about extraordinary strawberries"]),
        ("🍕", ["pizza 🍕"]),
        ("mlk", []),
        ("zzzz", []),
        (".*", ["x" * 99 + "…", "whole milk"]),
        ("(", ["x" * 99 + "…", "whole milk"]),
    ],
)
def test_a_prefix_is_completed(suggester, prefix, expected):
    assert texts(suggester, prefix)[: max(len(expected), 1)] == expected


def test_equal_phrases_are_merged_and_shown_as_their_most_popular_spelling(suggester):
    assert suggester.complete("milk", 1) == [("Milk", 55.0)]


@pytest.mark.parametrize("prefix", ["", "mil", "milk", "mikl", "chocolate mil"])
def test_a_hidden_phrase_is_not_shown_and_the_next_takes_its_place(suggester, prefix):
    everything = texts(suggester, prefix, 1000)
    hidden = frozenset({phrase_key("MILK"), phrase_key("milk chocolate")})
    for count in (1, 2, 1000):
        completions = [text for text, _ in suggester.complete(prefix, count, hidden)]
        assert completions == [text for text in everything if phrase_key(text) not in hidden][:count]


def test_an_empty_prefix_gives_the_most_popular_and_counts_are_kept(suggester):
    assert suggester.complete("", 3)[1:] == [("whole milk", 80.0), ("Milk", 55.0)]
    assert suggester.complete("  ", 2)[1:] == [("whole milk", 80.0)]
    assert len(texts(suggester, "", 1000)) == 13
    assert suggester.complete("milk", 0) == []


def test_a_prefix_of_100_kb_is_answered(suggester):
    assert texts(suggester, "milk " * 20_000)[0] == "whole milk"
    assert texts(suggester, "x" * 50) == ["x" * 99 + "…"]
    assert len(texts(suggester, "x" * 100_000)) <= 1
    assert texts(suggester, "xy" * 50_000) == []


@given(st.text(max_size=30), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_any_prefix_gives_at_most_the_count_without_repeats(suggester, prefix, count):
    found = texts(suggester, prefix, count)
    assert len(found) == len(set(found)) <= count


def test_no_phrases_at_all_complete_nothing(tmp_path):
    assert Suggester.write(tmp_path / "none", []) == 0
    assert Suggester.open(tmp_path / "none").complete("", 5) == []


def test_phrases_are_gathered_from_titles_and_queries(tmp_path):
    gathered = collect_phrases(
        ["Milk", "milk", "Tea", "!!"], np.array([1.0, 2.0, 2.5, 9.0], np.float32), {"tea": 4, "  ": 8}
    )
    assert Suggester.write(tmp_path / "gathered", gathered) == 2
    assert Suggester.open(tmp_path / "gathered").complete("", 5) == [("tea", 6.5), ("milk", 3.0)]
    with pytest.raises(ValueError, match="found 1 and 2"):
        collect_phrases(["Milk"], np.zeros(2, np.float32), {})


ENDS = ("Vorelo™", "Tarnø®", "Quell 2½ l")
LONG = [
    f"Extra mild washing-up liquid for glasses, plates, pots, pans and all other dishes, with balm, bottle by {end}"
    for end in ENDS
]


@pytest.fixture(scope="module")
def long_titles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest") / "long"
    titles = [*LONG, "Full-width ＡＢＣ ２５０ｍｌ", "Rack 3½″, 2×"]
    Suggester.write(folder, collect_phrases(titles, np.ones(len(titles), np.float32), {"q " * 60: 5, "mild soap": 1}))
    return Suggester.open(folder)


def test_a_title_of_any_length_is_completed_and_a_cut_is_said(long_titles):
    assert min(map(len, LONG)) > 100
    found = texts(long_titles, "extra mi")
    assert len(found) == len(LONG)
    assert found[0].endswith("…")
    assert found[0].removesuffix("…") in LONG[0]
    assert all("…" in text and len(text) <= 100 and text.startswith("Extra mild") for text in found)


@pytest.mark.parametrize(("typed", "end"), zip(("vorelo", "tarno", "mild quell 2"), ENDS, strict=True))
def test_a_cut_leaves_in_what_was_typed(long_titles, typed, end):
    (found,) = texts(long_titles, typed)
    assert found.startswith("Extra mild washing-up liquid")
    assert " … " in found
    assert found.endswith(end)
    assert len(found) <= 100


def test_a_title_is_shown_as_it_is_written_never_as_it_is_compared(long_titles):
    assert texts(long_titles, "full width abc 250") == ["Full-width ＡＢＣ ２５０ｍｌ"]
    assert texts(long_titles, "rack") == ["Rack 3½″, 2×"]


def test_a_long_query_of_the_log_is_not_suggested(long_titles):
    assert texts(long_titles, "q q") == []
    assert texts(long_titles, "mild s") == ["mild soap"]


@given(
    st.text(alphabet="ab 中文,", min_size=101, max_size=300), st.lists(st.sampled_from(["a", "b", "文"]), max_size=3)
)
def test_a_cut_phrase_is_short_and_made_of_the_phrase(text, typed):
    text = " ".join(text.split())
    shown = cut_phrase(text, typed)
    assert len(shown) <= 100
    assert shown == text if len(text) <= 100 else "…" in shown
    assert all(part in text for part in shown.replace(" … ", "…").split("…"))


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Traditional, HLF GAL", "Traditional"),
        ("Cream Cheese, L      8 OZ", "Cream Cheese"),
        ("Formula, 209 REC OZ", "Formula"),
        ("Chocolate Milk, 1 gallon", "Chocolate Milk, 1 gallon"),
        ("Sauce, BBQ", "Sauce, BBQ"),
        ("Cable, USB", "Cable, USB"),
        ("Non-Crbntd Water", ""),
        ("SFT DRNK, 12 OZ", ""),
        ("Gym rhythm, sky", "Gym rhythm, sky"),
        ("绿茶, 200克", "绿茶, 200克"),
        ("Milk", "Milk"),
        ("", ""),
    ],
)
def test_the_shops_abbreviations_are_never_said(title, said):
    assert Spoken({"bbq"})(title) == said


def test_habits_come_first_among_what_begins_so_and_nothing_is_made_up(tmp_path):
    phrases = [("milk", 9.0), ("milk chocolate", 5.0), ("mild soap", 4.0), ("oat milk", 3.0)]
    Suggester.write(tmp_path / "habits", phrases)
    suggester = Suggester.open(tmp_path / "habits")
    habits = ["Oat Milk", "mild soap", "milk of the moon"]
    assert [text for text, _ in suggester.complete("mil", 9, habits=habits)] == [
        "mild soap",
        "milk",
        "milk chocolate",
        "oat milk",
    ]
    assert suggester.complete("", 2, habits=habits) == [("oat milk", 3.0), ("mild soap", 4.0)]
    assert suggester.complete("mil", 1, {"mild soap"}, habits) == [("milk", 9.0)]
