"""The table of units knows what shelf labels write, and measures it as the world does."""

from __future__ import annotations

import re

import msgspec
import pytest

from fuserank_ensemble.understanding.quantities import Unit
from fuserank_export.index.units import COUNTS, MISLEADING, SPELLINGS, UNITS, unit_table

TABLE = unit_table()


@pytest.mark.parametrize(
    ("spelling", "dimension", "one"),
    [
        ("g", "mass", 1.0),
        ("kg", "mass", 1_000.0),
        ("lbs", "mass", 453.592),
        ("mg", "mass", 0.001),
        ("ml", "volume", 1.0),
        ("gal", "volume", 3_785.41),
        ("fl oz", "volume", 29.5735),
        ("cup", "volume", 236.588),
        ("inches", "length", 25.4),
        ("ft", "length", 304.8),
        ("watt", "power", 1.0),
        ("volts", "voltage", 1.0),
        ("gb", "data", 1e9),
        ("ct", "count", 1.0),
        ("dz", "count", 12.0),
        ("公斤", "mass", 1_000.0),
    ],
)
def test_a_unit_is_measured_in_the_base_unit_of_its_dimension(spelling, dimension, one):
    ((found, value),) = TABLE[spelling].measures
    assert found == dimension
    assert value == pytest.approx(one, rel=1e-5)


def test_an_ounce_may_weigh_or_fill():
    assert dict(TABLE["oz"].measures) == pytest.approx({"mass": 28.3495, "volume": 29.5735}, rel=1e-5)


def test_every_spelling_is_in_lower_case_and_misleads_nobody():
    assert not set(MISLEADING) & set(TABLE)
    for spelling in TABLE:
        assert re.fullmatch(r"\S+( \S+)*", spelling), spelling
        assert spelling == spelling.lower()
    listed = [spelling for spellings in (*SPELLINGS.values(), *COUNTS.values()) for spelling in spellings]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(TABLE)


def test_every_unit_is_named_in_the_singular_and_has_a_measure():
    names = {unit.name for unit in TABLE.values()}
    assert names == {name.replace("_", " ") for name in UNITS} | {"count", "dozen", "斤"}
    assert all(one > 0 for unit in TABLE.values() for _, one in unit.measures)


def test_the_table_is_the_same_every_time_and_travels_as_json():
    assert unit_table() == TABLE
    assert msgspec.json.decode(msgspec.json.encode(TABLE), type=dict[str, Unit]) == TABLE
