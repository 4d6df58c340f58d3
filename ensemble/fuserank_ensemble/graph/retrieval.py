"""What finds a bundle's items, on the device that a step runs on."""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.retrieval.channel import Channel


def open_retriever(bundle: Bundle, device: str) -> Retriever:
    """Opens a bundle's index on a device: `cpu`, or a torch device such as `cuda:0`."""
    # For good: requests are answered one batch after the other, and the engines want the other cores.
    threadpool_limits(1, "blas")
    return Retriever(bundle.catalog(device), bundle.learned(device), bundle.spec, _milvus(bundle))


def _milvus(bundle: Bundle) -> Channel | None:
    """Returns the dense channel of a bundle whose vectors were sent to Milvus; the environment may say where it is."""
    filled = bundle.manifest.get("milvus")
    if filled is None:
        return None
    from fuserank_ensemble.retrieval.milvus.dense import MilvusDenseChannel  # noqa: PLC0415  an extra

    uri = os.environ.get("FUSERANK_MILVUS_URI", filled["uri"])
    token = os.environ.get("FUSERANK_MILVUS_TOKEN", "")
    return MilvusDenseChannel(uri, token, filled["collection"], bundle.items.columns.kinds)
