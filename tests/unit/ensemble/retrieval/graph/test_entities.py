"""Names of entities are found in free text in any script, the longest first, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.retrieval.graph.entities import LONGEST_NAME, LONGEST_TEXT, Entities, category_levels

NAMED = (
    ("brand", "Acme"),
    ("category", "Grocery"),
    ("category", "Grocery > Cold Cereal"),
    ("category", "Drinks > Green Tea"),
    ("brand", "Green"),
    ("brand", "北山"),
    ("brand", "統一"),
    ("brand", "绿叶"),
    ("category", "Drinks > 茶 > 茉莉花茶"),
    ("category", "Drinks > 茶"),
    ("flavour", "crème brûlée"),
    ("size", "12"),
    ("size", "M"),
    ("product_type", "cold cereal"),
    ("product_type", "waffles/pancakes"),
    ("note", "one two three four five six seven eight nine"),
)
ENTITIES = Entities([kind for kind, _ in NAMED], [name for _, name in NAMED])


def linked(text, entities=ENTITIES):
    return [entities.names[entity] for entity in entities.link(text)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("acme", ["Acme"]),
        ("  ACME's finest", ["Acme"]),
        ("acmes", []),
        ("green tea by acme", ["Drinks > Green Tea", "Acme"]),
        ("green table", ["Green"]),
        ("cold cereal", ["Grocery > Cold Cereal", "cold cereal"]),
        ("cold grocery", ["Grocery"]),
        ("creme brulee", ["crème brûlée"]),
        ("pancakes, waffles", []),
        ("Waffles / Pancakes!", ["waffles/pancakes"]),
        ("北山茉莉花茶礼盒", ["北山", "Drinks > 茶 > 茉莉花茶"]),
        ("北山红茶", ["北山", "Drinks > 茶"]),
        ("统一红茶", ["統一", "Drinks > 茶"]),
        ("綠葉统一", ["绿叶", "統一"]),
        ("Acme绿茶", ["Acme", "Drinks > 茶"]),
        ("ＡＣＭＥ", ["Acme"]),
        ("acme acme ACME", ["Acme"]),
        ("🍵 acme 🍵", ["Acme"]),
        ("ac\x00me", []),
        ("ac\x00me \x07acme\x07", ["Acme"]),
    ],
)
def test_names_are_found_and_nothing_else(text, names):
    assert linked(text) == names


@pytest.mark.parametrize(
    "text", ["", " ", "12", "m", "M 12", ">", "\x00", "🍵", "one two three four five six seven eight nine"]
)
def test_numbers_letters_sentences_and_nothing_name_no_entity(text):
    assert linked(text) == []


def test_a_name_given_by_several_fields_is_one_mention():
    (mention,) = ENTITIES.mentions("cold cereal")
    assert sorted(ENTITIES.kinds[entity] for entity in mention) == ["category", "product_type"]


def test_of_overlapping_names_the_first_to_start_and_then_the_longest_counts():
    entities = Entities(["a"] * 3, ["red wine", "wine vinegar", "red"])
    assert linked("red wine vinegar", entities) == ["red wine"]
    assert linked("old wine vinegar", entities) == ["wine vinegar"]
    assert linked("red vinegar", entities) == ["red"]


def test_no_entities_link_nothing():
    assert Entities([], []).mentions("acme") == []


def test_a_text_of_100_kb_is_searched_at_its_start_only():
    assert linked("acme " * 20_000) == ["Acme"]
    assert linked("x" * LONGEST_TEXT + " acme") == []
    assert linked("one " * LONGEST_NAME + "acme" + " x" * 50_000) == ["Acme"]


@given(st.text())
def test_any_text_is_linked_to_known_entities_once(text):
    found = ENTITIES.link(text)
    assert len(set(found)) == len(found)
    assert all(0 <= entity < len(ENTITIES) for entity in found)


@given(st.lists(st.sampled_from([name for _, name in NAMED[:4]]), max_size=5))
def test_every_name_that_a_text_is_made_of_is_found(names):
    said = [name.rsplit(" > ", 1)[-1] for name in names]
    assert set(names) <= set(linked(" and ".join(said)))


def test_levels_are_the_paths_from_the_top():
    assert category_levels("A > B > C") == ["A", "A > B", "A > B > C"]
    assert category_levels("A") == ["A"]


def test_a_record_names_its_fields_its_category_levels_and_its_title():
    record = {
        "title": "Cold cereal 北山",
        "brand": "Acme",
        "category": "Drinks > 茶",
        "price": 2.5,
        "size": ["M", "XL"],
    }
    names = {ENTITIES.names[entity] for entity in ENTITIES.link_record(record)}
    assert names == {"Acme", "Drinks > 茶", "M", "Grocery > Cold Cereal", "cold cereal", "北山"}


@pytest.mark.parametrize("record", [{}, {"title": None}, {"title": "", "brand": None, "category": "Unknown > Path"}])
def test_a_record_without_anything_known_has_no_entity(record):
    assert ENTITIES.link_record(record) == []


def test_entities_travel_in_a_file(tmp_path):
    ENTITIES.save(tmp_path / "entities.json")
    opened = Entities.open(tmp_path / "entities.json")
    assert opened == ENTITIES
    assert opened.link("北山 acme") == ENTITIES.link("北山 acme")


def test_of_a_categorys_levels_the_deepest_is_left():
    all_of_them = range(len(NAMED))
    left = [ENTITIES.names[entity] for entity in ENTITIES.without_upper_levels(all_of_them)]
    assert [name for name in left if name.startswith(("Grocery", "Drinks"))] == [
        "Grocery > Cold Cereal",
        "Drinks > Green Tea",
        "Drinks > 茶 > 茉莉花茶",
    ]
    assert len(left) == len(NAMED) - 2
    assert ENTITIES.without_upper_levels([1]) == [1]
