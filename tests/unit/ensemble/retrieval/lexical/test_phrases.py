"""Phrases that are one are merged as in a dictionary, and take little more memory than their letters."""

from __future__ import annotations

import math
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuserank_ensemble.catalog.text import collapse
from fuserank_ensemble.retrieval.lexical.phrases import MergedPhrases, phrase_key

FOLDER = Path(tempfile.gettempdir())
WEIGHTS = st.sampled_from([0.0, -0.0, 1.0, 2.5, 0.1, 1e300, -3.0, math.inf, -math.inf, math.nan])
TEXTS = st.lists(st.sampled_from(["Milk", "milk", "MILK ", "tea", "Té", "茶", "!!", "\ud800", ""]), max_size=3)


def merged_in_a_dictionary(phrases):
    """What `MergedPhrases` promises, plainly: by key the heaviest phrase and the sum."""
    heaviest, totals = {}, {}
    for text, weight in phrases:
        phrase = collapse(text.encode("utf-8", "replace").decode("utf-8"))
        if key := phrase_key(phrase):
            totals[key] = totals.get(key, 0.0) + (weight if math.isfinite(weight) and weight > 0 else 0.0)
            heaviest[key] = min(heaviest.get(key, (-weight, phrase)), (-weight, phrase))
    return sorted(((heaviest[key][1], total) for key, total in totals.items()), key=lambda one: (-one[1], one[0]))


@given(st.lists(st.tuples(TEXTS.map(" ".join), WEIGHTS), max_size=12))
@example([("Milk", math.nan), ("milk", 1.0), ("tea", 0.1), ("Tea", 0.1), ("TEA", 0.1)])
@example([])
def test_equal_phrases_are_merged_as_in_a_dictionary(phrases):
    merged = MergedPhrases(phrases, FOLDER)
    assert list(merged) == merged_in_a_dictionary(phrases)
    assert len(merged) == len(list(merged))


@pytest.mark.parametrize("different", [True, False])
def test_a_phrase_takes_little_more_than_its_letters(different):
    """As strings with keys in a dictionary ten thousand took 200 bytes each."""
    count = 10_000
    tracemalloc.start()
    try:
        MergedPhrases(
            ((f"A plain wooden table {number}", 1.0) for number in range(5_000)), FOLDER
        )  # fills the cache of words
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        merged = MergedPhrases(((f"A plain wooden chair {number * different}", 1.0) for number in range(count)), FOLDER)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert len(merged) == (count if different else 1)
    assert peak / count < 100
