"""Which columns are searched by their words, and which hold codes: by their names, or as the shop says."""

from __future__ import annotations

import re

import pytest

from fuserank_ensemble.retrieval.lexical.index import LEXICAL_FIELDS
from fuserank_export.index.word_fields import (
    choose_codes,
    choose_lexical_fields,
    is_code_name,
    parse_lexical_fields,
)
from fuserank_export.sources import InputError

COLUMNS = ["item_id", "title", "material", "Variant SKU", "partNumber", "sku_count", "postal code", "EAN13"]


@pytest.mark.parametrize(
    "name",
    ["sku", "Variant SKU", "partNumber", "part_no", "GTIN, UPC, EAN, or ISBN", "manufacturer-part-number", "EAN13"],
)
def test_columns_called_like_codes_are_codes(name):
    assert is_code_name(name)


@pytest.mark.parametrize("name", ["title", "sku_count", "barcode type", "postal code", "number", "", "skus?no"])
def test_other_columns_are_not(name):
    assert not is_code_name(name)


def test_the_id_is_always_a_code_and_a_named_column_replaces_those_that_were_recognised():
    assert choose_codes(COLUMNS, None) == ("item_id", "Variant SKU", "partNumber", "EAN13")
    assert choose_codes(COLUMNS, ["material"]) == ("item_id", "material")
    assert choose_codes(COLUMNS, []) == ("item_id",)


def test_fields_are_read_with_their_weights():
    assert parse_lexical_fields("title=3, brand=1.5,material") == {"title": 3.0, "brand": 1.5, "material": 1.0}
    assert choose_lexical_fields(COLUMNS, {"material": 2.0, "brand": 1.0}) == {"material": 2.0, "brand": 1.0}
    assert choose_lexical_fields(COLUMNS, None) == LEXICAL_FIELDS


@pytest.mark.parametrize("text", ["", ",", "title=", "title=0", "title=-1", "title=nan", "title=x", "=2", "title=inf"])
def test_a_weight_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError, match="--lexical-fields: found"):
        parse_lexical_fields(text)


def test_a_column_that_the_catalogue_has_not_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=re.escape("--lexical-fields: names materiel")) as error:
        choose_lexical_fields(COLUMNS, {"materiel": 1.0})
    assert "material" in str(error.value)
    with pytest.raises(InputError, match="--code: names ean, which the catalogue has not"):
        choose_codes(COLUMNS, ["ean"])
