"""Chooses which columns of a catalogue are searched by their words, and which hold codes."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

from fuserank_ensemble.contract.errors import nearest
from fuserank_ensemble.retrieval.lexical.index import LEXICAL_FIELDS
from fuserank_export.sources.report import InputError

ITEM_ID = "item_id"
# How a column of codes is called; the last words of a longer name count, as in "Variant SKU".
CODE_NAMES = (
    *("sku", "mpn", "gtin", "gtin8", "gtin12", "gtin13", "gtin14", "ean", "ean8", "ean13", "upc", "upca", "barcode"),
    *("isbn", "isbn10", "isbn13", "asin", "part number", "part no", "partnumber", "article number", "article no"),
    *("item number", "model number", "product code", "item code", "article code", "manufacturer code"),
)
_WORD = re.compile(r"[A-Za-z]+[0-9]*|[0-9]+")
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def parse_lexical_fields(text: str) -> dict[str, float]:
    """Reads `title=3,brand=1.5,material`: columns with what a match in each counts, 1 where nothing is said.

    Raises:
        InputError: Where a weight is no number above 0, or no column is named.
    """
    fields: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, written = part.rpartition("=") if "=" in part else (part, "", "1")
        try:
            weight = float(written)
        except ValueError:
            weight = math.nan
        if not name.strip() or not (math.isfinite(weight) and weight > 0):
            raise InputError(f"--lexical-fields: found {part!r}; allowed: column=weight with a weight above 0")
        fields[name.strip()] = weight
    if not fields:
        raise InputError("--lexical-fields: found no column; allowed: columns with weights, as in title=3,material=1")
    return fields


def choose_lexical_fields(columns: Collection[str], wanted: Mapping[str, float] | None) -> dict[str, float]:
    """Returns the columns that are searched by their words, each with what a match in it counts.

    Args:
        columns: The catalogue's columns.
        wanted: What the shop wants; None takes `LEXICAL_FIELDS`.

    Raises:
        InputError: Where it names a column that the catalogue has not.
    """
    if wanted is None:
        return dict(LEXICAL_FIELDS)
    _check_known("--lexical-fields", wanted, {*columns, *LEXICAL_FIELDS})
    return dict(wanted)


def choose_codes(columns: Collection[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the columns whose values find their item exactly and by their beginning, the item's id first.

    Args:
        columns: The catalogue's columns.
        wanted: Those that the shop names; None takes those that are called like codes.

    Raises:
        InputError: Where it names a column that the catalogue has not.
    """
    if wanted is None:
        wanted = [name for name in columns if is_code_name(name)]
    _check_known("--code", wanted, set(columns))
    return tuple(dict.fromkeys((ITEM_ID, *wanted)))


def is_code_name(column: str) -> bool:
    """Whether a column is called like one of codes: "sku", "Variant Barcode", "partNumber"."""
    words = [word.lower() for word in _WORD.findall(_CASE.sub(" ", column))]
    return any(" ".join(words[-length:]) in CODE_NAMES for length in (1, 2))


def _check_known(option: str, wanted: Collection[str], known: Collection[str]) -> None:
    for name in wanted:
        if name not in known:
            raise InputError(f"{option}: names {name}, which the catalogue has not; known: {nearest(name, known)}")
