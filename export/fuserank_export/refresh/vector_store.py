"""The vector store of a bundle that was made from another one: a collection of its own in the same Milvus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fuserank_ensemble.bundle import Bundle
from fuserank_export.builder.options import VectorStoreOptions


def store_of(bundle: Bundle) -> VectorStoreOptions | None:
    """Returns where a bundle's vectors were sent, and with which index; the environment may say where that is now."""
    filled = bundle.manifest.get("milvus")
    if filled is None:
        return None
    uri = os.environ.get("FUSERANK_MILVUS_URI", filled["uri"])
    return VectorStoreOptions(milvus=uri, milvus_index=filled["index"])


def drop_vectors(manifest: Mapping[str, Any]) -> None:
    """Drops the collection of a bundle that is not kept; one without a collection has nothing to drop.

    Raises:
        pymilvus.exceptions.MilvusException: Where Milvus refuses or does not answer.
    """
    filled = manifest.get("milvus")
    if filled is None:
        return
    from fuserank_ensemble.retrieval.milvus.dense import connect  # noqa: PLC0415  an extra
    from fuserank_export.milvus.collection import TIMEOUT_S  # noqa: PLC0415

    client = connect(filled["uri"], os.environ.get("FUSERANK_MILVUS_TOKEN", ""), TIMEOUT_S)
    try:
        client.drop_collection(filled["collection"], timeout=TIMEOUT_S)
    finally:
        client.close()
