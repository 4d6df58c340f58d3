"""The schema of a collection, and a catalogue's values as Milvus takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.milvus.dense import VECTOR
from fuserank_ensemble.retrieval.milvus.filters import ROW, field_names
from fuserank_export.sources import InputError

if TYPE_CHECKING:
    from pymilvus import CollectionSchema

MAX_WORD_BYTES = 65_535  # of a VARCHAR
MAX_WORDS = 4_096  # of an ARRAY


def collection_schema(items: Items, dim: int, half_precision: bool) -> CollectionSchema:
    """Returns the schema of a catalogue's collection.

    Args:
        items: The catalogue; each of its columns becomes a field.
        dim: Width of the vectors.
        half_precision: Whether vectors are float16 instead of float32.

    Raises:
        InputError: Where a value is longer, or an item has more values, than Milvus allows.
    """
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  an optional extra

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT16_VECTOR if half_precision else DataType.FLOAT_VECTOR, dim=dim)
    fields = field_names(items.columns.kinds)
    for name, column in items.columns.by_name.items():
        if column.kind == "number":
            schema.add_field(fields[name], DataType.DOUBLE, nullable=True, description=name)
        elif column.kind == "bool":
            schema.add_field(fields[name], DataType.BOOL, nullable=True, description=name)
        else:
            length = _longest_word(name, column)
            if column.kind == "keywords":
                schema.add_field(
                    fields[name], DataType.ARRAY, element_type=DataType.VARCHAR, description=name,
                    max_length=length, max_capacity=_most_words(name, column),
                )  # fmt: skip
            else:
                schema.add_field(fields[name], DataType.VARCHAR, nullable=True, max_length=length, description=name)
    return schema


def _longest_word(name: str, column: Column) -> int:
    longest = max((len(word.encode()) for word in column.words), default=1)
    if longest > MAX_WORD_BYTES:
        raise InputError(
            f"catalogue: {name}: found a value of {longest} bytes; Milvus allows {MAX_WORD_BYTES}; shorten it"
        )
    return max(longest, 1)


def _most_words(name: str, column: Column) -> int:
    assert column.owners is not None
    most = int(np.bincount(column.owners).max(initial=1)) if len(column.owners) else 1
    if most > MAX_WORDS:
        raise InputError(f"catalogue: {name}: found {most} values in one item; Milvus allows {MAX_WORDS}; keep fewer")
    return most


def order_by_item(column: Column) -> NDArray[np.int64]:
    """Returns the order that brings the values of each item together, `[values]`; empty but for `keywords`."""
    return np.empty(0, np.int64) if column.owners is None else np.argsort(column.owners, kind="stable")


def field_values(column: Column, rows: NDArray[np.int64], order: NDArray[np.int64]) -> list[Any]:
    """Returns one column's values of consecutive items.

    Args:
        column: The column.
        rows: Rows of the items, ascending without a gap.
        order: What `order_by_item` returns of the column.

    Returns:
        For each item a number, a truth value or a text, None where missing; a list of texts for `keywords`.
    """
    if column.owners is not None:
        owners = column.owners[order]
        starts, ends = np.searchsorted(owners, rows, "left"), np.searchsorted(owners, rows, "right")
        codes = column.values[order]
        return [[column.words[code] for code in codes[a:b]] for a, b in zip(starts, ends, strict=True)]
    values = column.values[rows]
    if column.kind == "number":
        return [None if np.isnan(value) else float(value) + 0.0 for value in values]  # -0.0 becomes 0.0
    if column.kind == "bool":
        return [None if code < 0 else bool(code) for code in values]
    return [None if code < 0 else column.words[code] for code in values]
