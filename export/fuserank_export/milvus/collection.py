"""Fills a Milvus collection with a catalogue: an entity for each item, with its vector and filterable fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.retrieval.milvus.dense import VECTOR, connect
from fuserank_ensemble.retrieval.milvus.filters import ROW, field_names
from fuserank_export.milvus.entities import collection_schema, field_values, order_by_item
from fuserank_export.sources import InputError

if TYPE_CHECKING:
    from pymilvus import MilvusClient

TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 3_600.0


class MilvusLoadError(RuntimeError):
    """A collection does not hold all items that were sent; it has been dropped again."""


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
        half_precision = not index.startswith("GPU_") and not uri.endswith(".db")
        vector_type: type[np.floating[Any]] = np.float16 if half_precision else np.float32
        schema = collection_schema(items, vectors.shape[1], half_precision)
        with ExitStack() as undo:
            undo.callback(_try_to_drop, client, name)
            client.create_collection(name, schema=schema, timeout=TIMEOUT_S)
            _insert(client, name, items, vectors, vector_type, batch, advanced)
            _build_index(client, name, index, index_params or {})
            _verify_count(client, name, len(items))
            undo.pop_all()
    finally:
        client.close()
    return {"collection": name, "entities": len(items), "index": index, "vector_type": vector_type.__name__}


def drop_collection(uri: str, token: str, name: str) -> str:
    """Drops the collection of a bundle that is not kept.

    Returns:
        Why it could not be dropped; nothing where it was.
    """
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an extra

    try:
        client = connect(uri, token, TIMEOUT_S)
        try:
            client.drop_collection(name, timeout=TIMEOUT_S)
        finally:
            client.close()
    except MilvusException as error:
        return f"the collection {name} at {uri} could not be dropped: {error}; drop it yourself"
    return ""


def collection_name(bundle: str) -> str:
    """Returns the collection's name of a bundle's id: only letters, digits and `_`."""
    return "fuserank_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in bundle)


def _try_to_drop(client: MilvusClient, name: str) -> None:
    """Drops a collection that could not be filled; where that fails too, the first failure is what is told."""
    from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an extra

    with suppress(MilvusException):
        client.drop_collection(name, timeout=TIMEOUT_S)


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
    orders = {field: order_by_item(items.columns.by_name[column]) for column, field in fields.items()}
    for start in range(0, len(items), batch):
        rows = np.arange(start, min(start + batch, len(items)))
        columns = {
            field: field_values(items.columns.by_name[column], rows, orders[field]) for column, field in fields.items()
        }
        dense = vectors[items.text[rows]].astype(vector_type, copy=False)
        entities = [
            {ROW: int(row), VECTOR: dense[i], **{field: values[i] for field, values in columns.items()}}
            for i, row in enumerate(rows)
        ]
        client.insert(name, entities, timeout=TIMEOUT_S)
        advanced(len(rows))


def _build_index(client: MilvusClient, name: str, index: str, params: Mapping[str, Any]) -> None:
    client.flush(name, timeout=LOAD_TIMEOUT_S)
    index_params = client.prepare_index_params()
    index_params.add_index(VECTOR, index_type=index, metric_type="IP", params=dict(params))
    client.create_index(name, index_params, timeout=LOAD_TIMEOUT_S)
    client.load_collection(name, timeout=LOAD_TIMEOUT_S)


def _verify_count(client: MilvusClient, name: str, expected: int) -> None:
    """Raises `MilvusLoadError` where another number of items can be searched than was sent."""
    # A query and not the collection's statistics, which may be behind.
    rows = client.query(name, filter="", output_fields=["count(*)"], timeout=TIMEOUT_S, consistency_level="Strong")
    count = int(rows[0]["count(*)"])
    if count != expected:
        raise MilvusLoadError(f"collection {name}: holds {count} items, {expected} were sent; export again")
