"""Proves from whole columns how a file writes its numbers and dates, before the first row is parsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from fuserank_export.sources.columns.cells import CellError
from fuserank_export.sources.columns.dates import DATE_ORDERS, DateOrderProof, split_numeric_date
from fuserank_export.sources.columns.numbers import DECIMAL_MARKS, DecimalMarkProof, parse_number
from fuserank_export.sources.reading import Reading
from fuserank_export.sources.report import RowReport

Chunks = Iterator[pd.DataFrame]


def prove_reading(
    chunks: Chunks,
    scan: Callable[[Collection[str]], Chunks],
    reading: Reading,
    report: RowReport,
    *,
    numbers: Iterable[str],
    times: Iterable[str],
) -> tuple[Chunks, Reading]:
    """Returns the chunks of a file, and the reading with what its columns prove.

    Only columns whose first chunk has a cell that cannot be read without are looked at as a whole, which reads the
    file once more. What is proven is noted in the report.

    Args:
        chunks: The file's chunks.
        scan: Returns chunks of the file anew, some of its columns.
        reading: What the shop declares; what it names is not looked for.
        report: Gets the notes.
        numbers: Columns of numbers.
        times: Columns of moments.
    """
    first = next(chunks, None)
    if first is None:
        return iter(()), reading
    undecided: dict[str, DecimalMarkProof | DateOrderProof] = {
        **{name: DecimalMarkProof() for name in numbers if _needs_mark(first, name, reading)},
        **{name: DateOrderProof() for name in times if _needs_order(first, name, reading)},
    }
    if undecided:
        for chunk in scan(list(undecided)):
            for name, proof in undecided.items():
                for text in _texts(chunk, name, reading):
                    proof.add(text)
        reading = _with_proofs(reading, undecided, report)
    return _joined(first, chunks), reading


def _with_proofs(
    reading: Reading, proofs: Mapping[str, DecimalMarkProof | DateOrderProof], report: RowReport
) -> Reading:
    """Returns the reading with what was proven, and notes it."""
    decimals, dates = dict(reading.decimals), dict(reading.dates)
    for name, proof in proofs.items():
        if isinstance(proof, DecimalMarkProof) and proof.mark is not None:
            decimals[name] = proof.mark
            other = next(mark for mark in DECIMAL_MARKS if mark != proof.mark)
            found = "whole numbers with a currency" if proof.is_whole else f"numbers with a decimal {proof.mark}"
            option = f"--decimal {name}={other}"
        elif isinstance(proof, DateOrderProof) and proof.order is not None:
            dates[name] = proof.order
            other_order = next(order for order in DATE_ORDERS if order != proof.order)
            found, option = f"dates with the {proof.order.partition('-')[0]} first", f"--dates {name}={other_order}"
        else:
            continue
        report.notes.append(f"{name} has {found}, as {proof.example!r} shows; {option} says otherwise")
    return replace(reading, decimals=decimals, dates=dates)


def _needs_mark(chunk: pd.DataFrame, name: str, reading: Reading) -> bool:
    return reading.decimal(name) is None and any(map(_is_no_plain_number, _texts(chunk, name, reading)))


def _needs_order(chunk: pd.DataFrame, name: str, reading: Reading) -> bool:
    texts = _texts(chunk, name, reading)
    return reading.date_order(name) is None and any(split_numeric_date(text) is not None for text in texts)


def _is_no_plain_number(text: str) -> bool:
    try:
        return math.isnan(parse_number(text))
    except CellError:
        return True


def _texts(chunk: pd.DataFrame, name: str, reading: Reading) -> list[str]:
    """Returns the distinct texts of a column that stand for no missing value."""
    if name not in chunk.columns or chunk[name].dtype != object:
        return []
    distinct: dict[Any, None] = dict.fromkeys(value for value in chunk[name] if isinstance(value, str))
    nulls = reading.nulls(name)
    return [text for text in distinct if text.strip() and text.strip() not in nulls]


def _joined(first: pd.DataFrame, rest: Chunks) -> Chunks:
    yield first
    yield from rest
