"""Categories are read in the separators that shops use, and what was taken for what is said."""

from __future__ import annotations

import pytest

from fuserank_export.sources.columns.categories import parse_category, read_categories
from fuserank_export.sources.columns.cells import CellError


def paths(*cells, **options):
    found = read_categories(list(dict.fromkeys(map(parse_category, cells))), **options)
    return [found.paths[parse_category(cell)] for cell in cells]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["Garden>>Tools > Rakes", "Garden › Pots"], [["Garden > Tools > Rakes"], ["Garden > Pots"]]),
        (["Root/Women/Shoes"], [["Root > Women > Shoes"]]),
        (["Women/Shoes", "Women/Bags"], [["Women > Shoes"], ["Women > Bags"]]),
        (["Bed/Bath", "Pots"], [["Bed/Bath"], ["Pots"]]),
        (["Home > Bed/Bath", "Home/Kitchen/Pans"], [["Home > Bed/Bath"], ["Home > Kitchen > Pans"]]),
        (["Toys|Puzzles", "Toys|Kites"], [["Toys > Puzzles"], ["Toys > Kites"]]),
        (["Comedy|Drama", "Drama|War"], [["Comedy", "Drama"], ["Drama", "War"]]),
        (["Mugs|Sale", "Cups|Sale", "Mugs", "Sale"], [["Mugs", "Sale"], ["Cups", "Sale"], ["Mugs"], ["Sale"]]),
        (["Toys -> Kites", "Toys => Puzzles", "Toys → Cars"], [["Toys > Kites"], ["Toys > Puzzles"], ["Toys > Cars"]]),
        (["A > B|C > D"], [["A > B", "C > D"]]),
        (["Men > Shirts, Men > Sale", "Men > Hats, New"], [["Men > Shirts", "Men > Sale"], ["Men > Hats", "New"]]),
        (["Food, Wine & Tobacco > Wine", "Food, Wine & Tobacco > Tea"],
         [["Food, Wine & Tobacco > Wine"], ["Food, Wine & Tobacco > Tea"]]),
        (["Men > Hats, New", "Men > Caps, New"], [["Men > Hats", "New"], ["Men > Caps", "New"]]),
        (["Men > Hats, New", "New"], [["Men > Hats", "New"], ["New"]]),
        (["Men;Men > Hats"], [["Men", "Men > Hats"]]),
        (["Rings, Bands > Gold", "Rings, Bands > Silver"], [["Rings, Bands > Gold"], ["Rings, Bands > Silver"]]),
        (["Mugs, Sale", "Mugs", "Sale"], [["Mugs", "Sale"], ["Mugs"], ["Sale"]]),
        (["phones.smart.5g", "phones.basic"], [["phones > smart > 5g"], ["phones > basic"]]),
        (["Dr. Oetker Mixes", "St. Ives"], [["Dr. Oetker Mixes"], ["St. Ives"]]),
        (['["Garden >> Rakes"]'], [["Garden > Rakes"]]),
        (["['Garden', 'Rakes']"], [["Garden > Rakes"]]),
        (['[["Garden","Rakes"],["Sale"]]'], [["Garden > Rakes", "Sale"]]),
        (['{"name":"Garden","children":[{"name":"Rakes"},{"name":"Pots"}]}'], [["Garden > Rakes", "Garden > Pots"]]),
        (['{"name":"Rakes","parent":{"name":"Garden"}}'], [["Garden > Rakes"]]),
        (['{"Garden":{"Tools":{"Rakes":{}}}}'], [["Garden > Tools > Rakes"]]),
        (['{"lvl0":"Garden","lvl1":"Garden > Tools"}'], [["Garden > Tools"]]),
        (['{"level1":"Garden","level2":"Tools"}'], [["Garden > Tools"]]),
        (["{not json", "[]"], [["{not json"], []]),
    ],
)  # fmt: skip
def test_levels_and_categories_are_found(cells, expected):
    if parse_category(cells[-1]) is None:
        cells, expected = cells[:-1], expected[:-1]
    assert paths(*cells) == expected


def test_values_of_jsonl_and_parquet_are_read_alike():
    assert paths(["Garden", "Rakes"], ["Garden > Pots", "Sale"]) == [["Garden > Rakes"], ["Garden > Pots", "Sale"]]
    assert paths([{"name": "Garden"}, {"name": "Sale"}]) == [["Garden", "Sale"]]


def test_options_decide_what_cannot_be_found():
    assert paths("Bed/Bath", levels="/") == [["Bed > Bath"]]
    assert paths("Root/Women/Shoes", levels=">") == [["Root/Women/Shoes"]]
    assert paths("Men > Hats, New", several=",") == [["Men > Hats", "New"]]
    assert paths("Men > Shirts, Men > Sale", several="none") == [["Men > Shirts, Men > Sale"]]
    assert paths("Salt\\, pepper, Sale", several=",") == [["Salt, pepper", "Sale"]]


def test_what_was_taken_for_what_is_said_with_an_example_and_the_option():
    notes = read_categories(["Men > Hats, New"]).notes
    assert len(notes) == 1
    assert "',' was kept inside names" in notes[0]
    assert "'Men > Hats, New'" in notes[0]
    assert "--category-list ','" in notes[0]
    split, levels = read_categories(["Men > A, Men > B", "Root/Women/Shoes"]).notes
    assert "'Men > A, Men > B' is 'Men > A' and 'Men > B'; --category-list none" in split
    assert "'Root/Women/Shoes' is 'Root > Women > Shoes'; --category-levels" in levels
    assert read_categories(["Garden > Rakes"]).notes == []


def test_a_level_below_itself_is_refused_and_a_guess_never_makes_one():
    with pytest.raises(CellError, match="category cycle"):
        parse_category("Food > Soup > Food")
    assert paths("24/7/24", "A/B/C") == [["24/7/24"], ["A > B > C"]]
