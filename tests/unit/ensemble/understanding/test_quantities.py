"""Sizes in one spelling: however a label or a shopper writes an amount, it has the same keys."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuserank_ensemble.understanding.quantities import Quantities, Unit
from fuserank_export.index.units import unit_table

QUANTITIES = Quantities(unit_table())


def found(text):
    return [amount.text for amount in QUANTITIES.find(text)]


def meet(one, other):
    """Whether the only amount of one text is that of the other, as a query's is compared with an item's."""
    (asked,), (held,) = QUANTITIES.find(one), QUANTITIES.find(other)
    return bool(set(asked.near_keys) & set(held.keys))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("half gallon milk", ["1/2 gallon"]),
        ("1/2 GAL milk", ["1/2 gallon"]),
        ("1⁄2 gallon", ["1/2 gallon"]),
        ("half a gallon", ["1/2 gallon"]),
        ("1 1/2 lb beef", ["1 1/2 pound"]),
        ("1-1/2 lbs beef", ["1 1/2 pound"]),
        ("2.5 kg", ["2 1/2 kilogram"]),
        (".5l", ["1/2 liter"]),
        ("1,000 ml water", ["1000 milliliter"]),
        ("16oz sour cream", ["16 ounce"]),
        ("32 fl oz juice", ["32 fluid ounce"]),
        ("1 lb 4 oz", ["1 pound", "4 ounce"]),
        ('9" plate', ["9 inch"]),
        ("9'' plate", ["9 inch"]),
        ('8"x10" frame', ["8 inch", "10 inch"]),
        ("8'x10' rug", ["8 foot", "10 foot"]),
        ("6'2\" board", ["6 foot", "2 inch"]),
        ("10’ ladder", ["10 foot"]),
        ('"galaxy 24" case', []),
        ("'size 9' boots", []),
        ("70's dress, levi's 512's", []),
        ("two dozen eggs", ["2 dozen"]),
        ("12 pk cola", ["12 count"]),
        ("矿泉水 500毫升 12罐", ["500 milliliter", "12 count"]),
        ("500ml矿泉水", ["500 milliliter"]),
        ("2斤装大米", ["2 斤"]),
        ("半斤牛肉,两升可乐", ["1/2 斤", "2 liter"]),
        ("6瓶装啤酒", ["6 count"]),
        ("六瓶装啤酒", ["6 count"]),
        ("12寸披萨 500克", ["12 inch", "500 gram"]),
        ("9 volt battery, 60 watt bulb", ["9 volt", "60 watt"]),
    ],
)
def test_an_amount_is_spelt_alike_however_it_was_written(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("half gallon", "64 fl oz"),
        ("1/2 gal", "0.5 gallons"),
        ("750 ml", "25.4 fl oz"),
        ("1 lb", "16 ounces"),
        ("1 lb", "16oz"),
        ("1 kg", "2.2 lbs"),
        ("2斤", "1kg"),
        ("dozen", "12 ct"),
        ("1 gb", "1000 mb"),
    ],
)
def test_equal_amounts_in_different_units_meet(one, other):
    assert meet(one, other)
    assert meet(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("half gallon", "gallon"), ("16 oz", "12 oz"), ("750 ml", "700 ml"), ("1 lb", "1 ct")]
)
def test_other_amounts_do_not_meet(one, other):
    assert not meet(one, other)


def test_an_ounce_weighs_what_is_dry_and_fills_what_is_wet():
    (ounces,) = QUANTITIES.find("8 oz")
    assert {key.partition(":")[0] for key in ounces.keys} == {"mass", "volume"}
    assert meet("8 oz", "227 g")
    assert meet("8 oz", "237 ml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "milk",
        "5 in 1",
        "3m tape",
        "vitamin b",
        "7 up",
        "0 oz",
        "1/0 oz",
        "12",
        "3.5",
        "gb",
        "½",
        "3个月宝宝奶粉",
        "一瓶水",
        "二十四瓶",
        "5升级版",
        "2包邮",
    ],
)
def test_what_only_looks_like_a_size_is_none(text):
    assert found(text) == []


def test_a_unit_without_a_number_is_one_of_it_but_never_part_of_a_name():
    assert found("gallon of milk") == found("a gallon milk") == found("gallon milk") == ["1 gallon"]
    assert found("pound of butter") == ["1 pound"]
    for name in (
        "pound cake",
        "foot cream",
        "reeses pieces",
        "count chocula",
        "multi pack",
        "pack of gum",
        "l of milk",
    ):
        assert found(name) == [], name


@pytest.mark.parametrize("number", ["9" * 400, "0." + "0" * 320 + "1", "9" * 400 + "/" + "9" * 400, "0.0000000001"])
def test_a_number_beyond_all_sizes_is_no_amount_and_no_error(number):
    assert found(f"{number} oz tea") == []


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["1", "1/2", "half", "a", "oz", "fl", '"', "-", ","])).map(" ".join)
)
def test_any_text_is_read_and_amounts_stand_in_it_in_order(text):
    amounts = QUANTITIES.find(text)
    ends = [0, *(amount.end for amount in amounts)]
    assert all(end <= amount.start < amount.end <= len(text) for end, amount in zip(ends, amounts, strict=False))
    assert all(amount.keys for amount in amounts)


@given(st.floats(0.01, 10_000), st.sampled_from(["gram", "ounce", "gallon", "inch", "count"]))
def test_an_amount_as_it_is_told_is_the_amount_itself(value, unit):
    (amount,) = QUANTITIES.find(f"{value:.2f} {unit}")
    (again,) = QUANTITIES.find(amount.text)
    assert set(again.near_keys) & set(amount.keys)


def test_the_table_is_read_from_a_bundle_as_it_was_written(tmp_path):
    path = tmp_path / "units.json"
    path.write_bytes(msgspec.json.encode({"cup": Unit("cup", (("volume", 236.6),))}))
    opened = Quantities.open(path)
    assert [amount.text for amount in opened.find("2 cup flour, 3 oz tea")] == ["2 cup"]
