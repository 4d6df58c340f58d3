"""The vector store of a bundle that was made from another one: a collection of its own in the same Milvus."""

from __future__ import annotations

import os

from fuserank_ensemble.bundle import Bundle
from fuserank_export.builder.options import VectorStoreOptions


def store_of(bundle: Bundle) -> VectorStoreOptions | None:
    """Returns where a bundle's vectors were sent, and with which index; the environment may say where that is now."""
    filled = bundle.manifest.get("milvus")
    if filled is None:
        return None
    uri = os.environ.get("FUSERANK_MILVUS_URI", filled["uri"])
    return VectorStoreOptions(milvus=uri, milvus_index=filled["index"])
