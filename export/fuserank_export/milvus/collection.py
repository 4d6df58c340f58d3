"""Fills a Milvus collection with a catalogue: one entity an item, its vector, its filterable fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.filters import Column
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.milvus.dense import VECTOR, connect
from fuserank_ensemble.retrieval.milvus.filters import ROW, field_names
from fuserank_export.sources import InputError

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

MAX_WORD_BYTES = 65_535  # of a VARCHAR
MAX_WORDS = 4_096  # of an ARRAY
TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 3_600.0


class MilvusLoadError(RuntimeError):
    """A collection that does not hold what was sent; it has been dropped again."""


def fill_collection(
    uri: str,
    token: str,
    name: str,
    items: Items,
    vectors: NDArray[np.float16],
    *,
    index: str | None = None,
    index_params: Mapping[str, Any] | None = None,
    batch: int = 2_048,
    advanced: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Writes a new collection and loads it.

    Args:
        uri: Where Milvus is: `http(s)://…`, or a file ending in `.db`.
        token: `user:password` or an API key; empty for none.
        name: The collection's name: the bundle's, with `_` for what Milvus does not allow (`collection_name`).
        items: The catalogue; the primary key is the item's row.
        vectors: Vector of each distinct text, L2-normalised, fp16 `[texts, dim]`; that of item i is `items.text[i]`.
        index: Milvus' name of the index: AUTOINDEX, HNSW, IVF_SQ8, DISKANN, GPU_CAGRA, …; by default AUTOINDEX, and
            FLAT in a file, since the embedded Milvus finds too few under a filter with any other.
        index_params: What the index is built with, such as `{"M": 16, "efConstruction": 200}`.
        batch: How many items travel at once.
        advanced: Called with the number of items done after every batch.

    Returns:
        `collection`, `entities`, `index` and `vector_type`, for the manifest.

    Raises:
        InputError: Where the collection exists, or a value does not fit Milvus.
        MilvusLoadError: Where fewer or more items arrived than were sent.
        pymilvus.exceptions.MilvusException: Where Milvus refuses or does not answer.
    """
    if not len(items):
        raise InputError("--milvus: the catalogue is empty; allowed: one item or more")
    index = index or ("FLAT" if uri.endswith(".db") else "AUTOINDEX")
    client = connect(uri, token, TIMEOUT_S)
    try:
        if client.has_collection(name, timeout=TIMEOUT_S):
            raise InputError(
                f"--milvus {uri}: collection {name} exists already; collections are never changed: export anew "
                "under another name, or drop it first"
            )
        # Milvus' GPU indexes and the embedded Milvus take float32 only.
        half = not index.startswith("GPU_") and not uri.endswith(".db")
        vector_type: type[np.floating[Any]] = np.float16 if half else np.float32
        schema = _schema(items, vectors.shape[1], half)
        client.create_collection(name, schema=schema, timeout=TIMEOUT_S)
        whole = False
        try:
            _insert(client, name, items, vectors, vector_type, batch, advanced)
            _index(client, name, index, index_params or {})
            _verify(client, name, len(items))
            whole = True
        finally:
            if not whole:
                client.drop_collection(name, timeout=TIMEOUT_S)
    finally:
        client.close()
    return {"collection": name, "entities": len(items), "index": index, "vector_type": vector_type.__name__}


def collection_name(bundle: str) -> str:
    """A bundle's id as a collection's name, which has only letters, digits and `_`."""
    return "fuserank_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in bundle)


def _schema(items: Items, dim: int, half: bool) -> CollectionSchema:
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  an optional extra

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT16_VECTOR if half else DataType.FLOAT_VECTOR, dim=dim)
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


def _insert(
    client: MilvusClient,
    name: str,
    items: Items,
    vectors: NDArray[np.float16],
    vector_type: type[np.floating[Any]],
    batch: int,
    advanced: Callable[[int], None],
) -> None:
    fields = field_names(items.columns.kinds)
    sorted_values = {field: _by_owner(items.columns.by_name[column]) for column, field in fields.items()}
    for start in range(0, len(items), batch):
        rows = np.arange(start, min(start + batch, len(items)))
        columns = {
            field: _values(items.columns.by_name[column], rows, sorted_values[field])
            for column, field in fields.items()
        }
        dense = vectors[items.text[rows]].astype(vector_type, copy=False)
        entities = [
            {ROW: int(row), VECTOR: dense[i], **{field: values[i] for field, values in columns.items()}}
            for i, row in enumerate(rows)
        ]
        client.insert(name, entities, timeout=TIMEOUT_S)
        advanced(len(rows))


def _by_owner(column: Column) -> NDArray[np.int64]:
    """For `keywords`, the order that brings the values of each item together; empty for others."""
    return np.empty(0, np.int64) if column.owners is None else np.argsort(column.owners, kind="stable")


def _values(column: Column, rows: NDArray[np.int64], order: NDArray[np.int64]) -> list[Any]:
    """The values of consecutive items as Milvus takes them; None where missing."""
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


def _index(client: MilvusClient, name: str, index: str, params: Mapping[str, Any]) -> None:
    client.flush(name, timeout=LOAD_TIMEOUT_S)
    wanted = client.prepare_index_params()
    wanted.add_index(VECTOR, index_type=index, metric_type="IP", params=dict(params))
    client.create_index(name, wanted, timeout=LOAD_TIMEOUT_S)
    client.load_collection(name, timeout=LOAD_TIMEOUT_S)


def _verify(client: MilvusClient, name: str, expected: int) -> None:
    """Counts what can be searched, by the strictest reading: the statistics may be behind."""
    found = client.query(name, filter="", output_fields=["count(*)"], timeout=TIMEOUT_S, consistency_level="Strong")
    count = int(found[0]["count(*)"])
    if count != expected:
        raise MilvusLoadError(f"collection {name}: holds {count} items, {expected} were sent; export again")
