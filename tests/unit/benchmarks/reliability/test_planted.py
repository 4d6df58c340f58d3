"""A planted title has what people ask for most, and lists are counted up to a place."""

from __future__ import annotations

from fuserank_benchmarks.reliability.planted import share_of_lists, stuffed_title


def test_a_title_is_stuffed_with_the_most_frequent_words():
    assert stuffed_title(["Milk", "oat milk", "oat bread"], 2) == "milk oat"


def test_an_item_counts_up_to_a_place():
    lists = [["a", "b", "x"], ["x", "a", "b"], ["a", "b", "c"], []]
    assert share_of_lists(lists, "x", 1) == 0.25
    assert share_of_lists(lists, "x", 3) == 0.5
