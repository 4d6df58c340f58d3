"""The table of units that queries' and items' sizes are read with, from pint's registry."""

from __future__ import annotations

from functools import cache

import pint

from fuserank_ensemble.understanding.quantities import Unit, Units

# What shops give sizes in, each with the unit that a table's numbers count.
DIMENSIONS = {
    "[mass]": ("mass", "gram"),
    "[length] ** 3": ("volume", "milliliter"),
    "[length]": ("length", "millimeter"),
    "[mass] * [length] ** 2 / [time] ** 3": ("power", "watt"),
    "[mass] * [length] ** 2 / [current] / [time] ** 3": ("voltage", "volt"),
}
UNITS = (
    *("gram", "kilogram", "milligram", "microgram", "pound", "ounce"),
    *("milliliter", "centiliter", "liter", "fluid_ounce", "cup", "pint", "quart", "gallon"),
    *("millimeter", "centimeter", "meter", "inch", "foot", "yard"),
    *("watt", "volt", "byte", "kilobyte", "megabyte", "gigabyte", "terabyte"),
)
# Spellings of shelf labels and of other languages that the registry lacks.
SPELLINGS = {
    "gram": ("gm", "gms", "grs", "克"),
    "kilogram": ("kilo", "kilos", "kgs", "公斤", "千克"),
    "pound": ("lbs",),
    "ounce": ("ozs", "oz."),
    "milliliter": ("mls", "毫升"),
    "liter": ("lt", "ltr", "ltrs", "升"),
    "fluid_ounce": ("fl oz", "fl ozs", "fluid ounces"),
    "gallon": ("gal", "gals", "ga"),
    "quart": ("qt", "qts"),
    "pint": ("pt", "pts"),
    "centimeter": ("厘米",),
    "inch": ("inches", "in.", "寸", "英寸"),
    "watt": ("瓦",),
    "foot": ("feet",),
}
COUNTS = {
    1.0: (
        "count",
        "counts",
        "ct",
        "cnt",
        "pack",
        "packs",
        "pk",
        "pks",
        "pc",
        "pcs",
        "piece",
        "pieces",
        "roll",
        "rolls",
        "sheet",
        "sheets",
        "tablet",
        "tablets",
        "capsule",
        "capsules",
        "片",
        "卷",
        "粒",
        "瓶",
        "盒",
        "袋",
        "支",
        "包",
        "个",
        "罐",
    ),
    12.0: ("dozen", "dz", "doz", "dozens"),
}
COUNTED_AS = {"ounce": ("ounce", "fluid_ounce")}  # a label's "oz" weighs what is dry and fills what is wet
JIN = Unit("斤", (("mass", 500.0),))  # half a kilogram, in which Chinese shops sell what is fresh
MISLEADING = ("in", "m", "b", "c")  # "5 in 1", "3M", "vitamin B": more often something else


@cache
def unit_table() -> Units:
    """Returns each spelling with its unit, see `fuserank_ensemble.understanding.quantities`."""
    registry: pint.UnitRegistry[float] = pint.UnitRegistry()
    table: dict[str, Unit] = {"斤": JIN, "市斤": JIN}
    for name in UNITS:
        measures = tuple(_measure(registry, counted) for counted in COUNTED_AS.get(name, (name,)))
        table |= dict.fromkeys(_spellings(registry, name), Unit(name.replace("_", " "), measures))
    for count, (name, *others) in COUNTS.items():
        table |= dict.fromkeys((name, *others), Unit(name, (("count", count),)))
    return table


def _spellings(registry: pint.UnitRegistry[float], name: str) -> set[str]:
    """Every way to write a unit, in lower case."""
    defined = registry._units.get(name)  # pint tells a unit's other names nowhere else
    symbols = {name, f"{name}s", str(registry.get_symbol(name)), *SPELLINGS.get(name, ())}
    symbols |= set(defined.aliases) if defined else set()
    spellings = {symbol.replace("_", " ").lower() for symbol in symbols}
    return spellings.difference(MISLEADING)


def _measure(registry: pint.UnitRegistry[float], name: str) -> tuple[str, float]:
    """A unit's dimension and how much one unit is there."""
    one = registry.Quantity(1.0, name)
    if one.check("[]"):
        return "data", float(one.to("byte").magnitude)
    dimension, base = next(found for known, found in DIMENSIONS.items() if one.check(known))
    return dimension, float(one.to(base).magnitude)
