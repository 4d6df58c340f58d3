"""Proves the types of a text file's columns, and names the type that each column of a catalogue has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fuserank_export.sources.columns.numbers import DecimalMark, DecimalMarkProof, is_written_number

_INTEGER = re.compile(r"-?[1-9]\d{0,17}|0")
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)\.\d+")
_COMMA_NUMBER = re.compile(r"-?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?")
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_CODE_TOKENS = frozenset(
    {"sku", "mpn", "gtin", "ean", "upc", "isbn", "issn", "asin", "barcode", "code", "codes", "model", "version", "size"}
    | {"sizes", "ref", "reference", "serial", "zip", "zipcode", "postcode", "phone", "partnumber", "partno"}
)
_CODED = frozenset({"part", "article", "item", "model", "serial", "style", "catalog", "catalogue", "order", "product"})
_NUMBER_TOKENS = frozenset({"no", "nr", "num", "number"})


def prove_type(
    name: str, values: npt.NDArray[np.object_], mark: DecimalMark | None = None
) -> tuple[pd.Series[Any], str]:
    """Returns a column of texts in the type that its values prove, and why it is none of numbers where it looks so.

    A column holds numbers only if each value is written as the number itself is written: 12 and 0.5, but not 007 or
    10.10; or if all are numbers with a decimal comma, and one can be read in no other way: 0,10 beside 1,5. Codes and
    sizes stay text: their name says so, or every value is a barcode with its check digit.

    Args:
        name: The column.
        values: Texts, None where missing, `[rows]`; one is present.
        mark: The decimal mark of all columns; None proves it.

    Returns:
        Int64, numbers as objects (int or float as written) or texts, `[rows]`; and a note, empty if there is none.
    """
    codes, factors = pd.factorize(values)
    distinct: list[str] = list(factors)
    column = pd.Series(values, dtype=object)
    gaps = bool((codes < 0).any())
    if gaps and all(text.endswith(".0") and _INTEGER.fullmatch(text[:-2]) for text in distinct):
        # pandas writes integers beside missing values so.
        distinct = [text[:-2] for text in distinct]
        column = pd.Series(_by_code(distinct, codes), dtype="object")
    has_comma = _has_decimal_comma(distinct, mark)
    numbers = [_read_comma_number(text) if has_comma else _read_number(text) for text in distinct]
    reason, note = "", ""
    if any(number is None for number in numbers):
        reason = _explain_text(name, distinct)
        if not reason:
            return column, ""
    elif _is_code_name(name):
        reason = f"its name says a code or size; --types {name}=number reads numbers"
    elif has_comma and mark is None:
        example = next(text for text in distinct if "," in text)
        note = f"{name} has numbers with a decimal comma, as {example!r} shows; --types {name}=text says otherwise"
    elif not has_comma and len(set(numbers)) < len(numbers):
        reason = f"it writes one number in two ways; --types {name}=number reads numbers"
    elif all(_is_barcode(text) for text in distinct):
        reason = f"its values are barcodes; --types {name}=integer reads numbers"
    if reason:
        return column, f"{name} is text: {reason}"
    proven = _by_code(numbers, codes)
    if all(isinstance(number, int) for number in numbers):
        return pd.Series(proven, dtype="Int64" if gaps else "int64"), note
    return pd.Series(proven, dtype="object"), note


def _has_decimal_comma(distinct: Sequence[str], mark: DecimalMark | None) -> bool:
    """Returns whether all texts are numbers with a decimal comma, and one of them has it."""
    if mark == "point" or not all(_COMMA_NUMBER.fullmatch(text) for text in distinct):
        return False
    if mark == "comma":
        return any("," in text for text in distinct)
    proof = DecimalMarkProof()
    for text in distinct:
        proof.add(text)
    return proof.mark == "comma"


def _read_comma_number(text: str) -> int | float:
    plain = text.replace(".", "").replace(",", ".")
    return float(plain) if "." in plain else int(plain)


def name_type(column: pd.Series[Any]) -> str:
    """Returns the type of a column as `--types` names it."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "flag"
    if pd.api.types.is_integer_dtype(column.dtype):
        return "integer"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    kinds = {type(value) for value in column if value is not None}
    if kinds <= {int, float} and kinds:
        return "number"
    return "list" if list in kinds else "object" if dict in kinds else "text"


def restore_integers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Returns a column of floats with gaps as integers if all its values are whole: pandas made them floats."""
    present = column.dropna()
    if len(present) == len(column) or not len(present) or not (present.abs() < 2.0**53).all() or (present % 1).any():
        return column
    return column.astype("Int64")


def _by_code(distinct: Sequence[Any], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Returns the value of each code `[rows]`, None for -1."""
    values = np.empty(len(distinct) + 1, dtype=object)
    values[: len(distinct)] = distinct
    return values[codes]


def split_list(value: str) -> list[str]:
    """Returns the values of a cell that lists them: separated by | or ; or else by commas."""
    separator = next((mark for mark in ("|", ";") if mark in value), ",")
    return [part.strip() for part in value.split(separator) if part.strip()]


def _read_number(text: str) -> int | float | None:
    """Returns the number that is written as this text; None where writing it again would change it."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and repr(number := float(text)) == text:
        return number
    return None


def _explain_text(name: str, distinct: Sequence[str]) -> str:
    """Returns why a column whose values all look like numbers stays text; empty where they do not."""
    forms: Mapping[str, tuple[Callable[[str], bool], str]] = {
        "would not stay as it is written": (_looks_numeric, f"--types {name}=number"),
        "has a decimal comma": (lambda text: is_written_number(text, "comma"), f"--decimal {name}=comma"),
        "has thousands": (lambda text: is_written_number(text, "point"), f"--decimal {name}=point"),
    }
    for form, (fits, option) in forms.items():
        if all(map(fits, distinct)):
            example = next(text for text in distinct if _read_number(text) is None)
            return f"{example!r} {form}; {option} reads numbers"
    return ""


def _looks_numeric(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", text) is not None


def _is_code_name(name: str) -> bool:
    tokens = [token.casefold() for token in _TOKEN.findall(name)]
    last, before = tokens[-1:], tokens[-2:-1]
    return bool(_CODE_TOKENS.intersection(last) or (_NUMBER_TOKENS.intersection(last) and _CODED.intersection(before)))


def _is_barcode(text: str) -> bool:
    """Returns whether a text is a GTIN of 12 to 14 digits whose check digit is right (GS1)."""
    if not text.isdigit() or len(text) not in (12, 13, 14):
        return False
    weighted: Iterable[int] = (int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(text)))
    return sum(weighted) % 10 == 0
