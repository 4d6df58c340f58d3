"""Packages and sizes of one thing are one product; other flavours, makers and models are others."""

from __future__ import annotations

import pytest

from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_export.index.products import product_codes, product_title
from fuserank_export.index.units import unit_table

QUANTITIES = Quantities(unit_table())


def same(first, second):
    records = [{"item_id": str(number), **record} for number, record in enumerate((first, second))]
    codes = product_codes(records, QUANTITIES)
    return codes[0] == codes[1]


def titled(title, **fields):
    return {"title": title, **fields}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Oat drink 1 l", "Oat drink 250 ml"),
        ("Oat Drink, 1 Liter", "oat drink 6 x 250 ml"),
        ("Cat food 85g", "Cat food (12-pack) 85 g"),
        ("Cat food, pack of 6", "Cat food, box of 24"),
        ("Dish soap 24.5 fl oz", "Dish soap 1/2 gallon"),
        ("Hiking boots size 42", "Hiking boots size 9.5"),
        ("Rain jacket XL", "Rain jacket, medium"),
        ("橄榄油 500 毫升", "橄榄油 1 升"),
        ("Light bulb 60 W", "Light bulb 40 W 2 pack"),
    ],
)
def test_sizes_and_quantities_make_no_other_product(first, second):
    assert same(titled(first, brand="Acme"), titled(second, brand="ACME"))
    assert same(titled(first), titled(second)), "a shop without brands"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (titled("Cat food beef 85 g"), titled("Cat food chicken 85 g")),
        (titled("Cat food 85 g", brand="Acme"), titled("Cat food 85 g", brand="Zenith")),
        (titled("Cat food 85 g", brand="Acme"), titled("Cat food 85 g")),
        (titled("Desk lamp model 20"), titled("Desk lamp model 21")),
        (titled("Saw blade TRX-20"), titled("Saw blade TRX-21")),
        (titled("500 g"), titled("1 kg")),
        (titled("!!!"), titled("???")),
    ],
)
def test_all_else_does(first, second):
    assert not same(first, second)


def test_codes_count_products_in_the_order_of_their_first_item():
    titles = ("Tea 20 bags", "Tea 40 pieces", "Coffee 1 kg", "Tea 2 pack", "")
    records = [{"item_id": str(number), "title": title} for number, title in enumerate(titles)]
    assert product_codes(records, QUANTITIES).tolist() == [0, 1, 2, 1, 3]
    assert product_codes([], QUANTITIES).tolist() == []


def test_a_title_keeps_its_words_in_order_and_lower_case():
    assert product_title("ＯＡＴ Drink – 1 L (Organic)", QUANTITIES) == "oat drink organic"
