"""Fillers are words that no shop sells: the list is well formed, and nothing that is searched for is in it."""

from __future__ import annotations

from fuserank_ensemble.understanding.fillers import FILE, fillers


def test_every_line_is_one_word_in_lower_case_once():
    lines = [line for line in FILE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(set(lines)) == len(fillers()) > 50
    assert all(line == line.lower().strip() and len(line.split()) == 1 for line in lines)


def test_words_that_say_nothing_are_in_it_and_what_one_searches_for_is_not():
    assert {"looking", "for", "something", "please", "the", "想买"} <= fillers()
    for wanted in ("milk", "no", "without", "free", "baby", "new", "cheap", "not", "black", "茶", "large", "organic"):
        assert wanted not in fillers(), wanted
