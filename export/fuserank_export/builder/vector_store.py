"""The vectors of a bundle in Milvus: a collection of its own, which goes where no bundle comes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import MANIFEST
from fuserank_ensemble.catalog.items import Items
from fuserank_export.builder.options import VectorStoreOptions
from fuserank_export.builder.workspace import Workspace
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError

TOKEN = "FUSERANK_MILVUS_TOKEN"  # noqa: S105  a variable's name


def fill_vector_store(
    work: Workspace, options: VectorStoreOptions, bundle_id: str, items: Items, vectors: NDArray[np.float16]
) -> dict[str, Any]:
    """Sends the vectors to Milvus, into a collection named after the bundle; where no bundle comes of it, drops that.

    Args:
        work: The bundle.
        options: Where it is.
        bundle_id: The bundle's id.
        items: The catalogue.
        vectors: Vectors of its texts, fp16 `[texts, dim]`.

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
            drop_collection,
            fill_collection,
        )
    except ImportError:
        raise InputError("--milvus: pymilvus is not installed. Run: pip install 'fuserank[milvus]'") from None
    token = os.environ.get(TOKEN, "")
    name = collection_name(bundle_id)
    try:
        with work.progress.step("filling Milvus", len(items)) as advanced:
            filled = fill_collection(uri, token, name, items, vectors, index=options.milvus_index, advanced=advanced)
    except (MilvusLoadError, MilvusException) as error:
        raise InputError(f"--milvus {uri}: {error}") from None

    def drop() -> None:
        if problem := drop_collection(uri, token, name):
            work.progress.note(problem)

    work.undo.callback(drop)
    return {"milvus": {"uri": uri, **filled}}


def drop_abandoned(partial: Path, options: VectorStoreOptions, progress: Progress) -> None:
    """Drops the collection of an export that was killed behind filling it, and says so.

    Args:
        partial: What is left of the bundle, whose manifest names it.
        options: Where the vectors of the bundle that takes its place are to go; nothing is dropped elsewhere.
        progress: Takes the note.
    """
    manifest = partial / MANIFEST
    if not options.milvus or not manifest.exists():
        return
    try:
        from fuserank_export.milvus.collection import collection_name, drop_collection  # noqa: PLC0415
    except ImportError:
        return  # which filling says
    try:
        left = json.loads(manifest.read_text("utf-8"))
    except ValueError:
        return  # it was killed while it wrote the first manifest: before anything was sent
    # The second manifest, written at the end, may have another id and names the collection.
    name = left.get("milvus", {}).get("collection") or collection_name(str(left["id"]))
    problem = drop_collection(options.milvus, os.environ.get(TOKEN, ""), name)
    progress.note(problem or f"of an export that was killed: the collection {name} at {options.milvus} is gone")
