"""Fills the vector store that a bundle names, where one is asked for."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.catalog.items import Items
from fuserank_export.builder.options import VectorStoreOptions
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError


def fill_vector_store(
    options: VectorStoreOptions, bundle_id: str, items: Items, vectors: NDArray[np.float16], progress: Progress
) -> dict[str, Any]:
    """Sends the vectors to Milvus, into a collection named after the bundle.

    Returns:
        Where they are, the manifest's `milvus`; nothing where no store is asked for.

    Raises:
        InputError: Where pymilvus is not installed, or Milvus does not take all of them.
    """
    uri = options.milvus
    if not uri:
        return {}
    try:
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  an extra

        from fuserank_export.milvus.collection import (  # noqa: PLC0415
            MilvusLoadError,
            collection_name,
            fill_collection,
        )
    except ImportError:
        raise InputError("--milvus: pymilvus is not installed. Run: pip install 'fuserank[milvus]'") from None
    token = os.environ.get("FUSERANK_MILVUS_TOKEN", "")
    name = collection_name(bundle_id)
    try:
        with progress.step("filling Milvus", len(items)) as advanced:
            filled = fill_collection(uri, token, name, items, vectors, index=options.milvus_index, advanced=advanced)
    except (MilvusLoadError, MilvusException) as error:
        raise InputError(f"--milvus {uri}: {error}") from None
    return {"milvus": {"uri": uri, **filled}}
