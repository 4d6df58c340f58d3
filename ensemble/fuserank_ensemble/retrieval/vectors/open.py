"""Opens the index of a set of vectors for the device that a server runs on."""

from __future__ import annotations

from pathlib import Path

import faiss

from fuserank_ensemble.retrieval.vectors.cpu import FaissSearch
from fuserank_ensemble.retrieval.vectors.gpu import TorchSearch
from fuserank_ensemble.retrieval.vectors.search import Vectors, VectorSearch


def open_search(vectors: Vectors, path: Path, device: str = "cpu", threads: int = 1) -> VectorSearch:
    """Opens what `build_index` wrote.

    Args:
        vectors: The same vectors, fp16 `[vectors, dim]`; mapped is enough on a CPU.
        path: The index file; a GPU needs none, it searches the vectors themselves.
        device: `cpu`, or a torch device such as `cuda:0`.
        threads: Threads of one search on a CPU.

    Raises:
        ValueError: Where the file was made from other vectors.
    """
    if device != "cpu":
        return TorchSearch(vectors, device)
    # Mapped where the kind allows it (flat ones do): every process of a server shares one copy.
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if (index.ntotal, index.d) != vectors.shape:
        raise ValueError(
            f"{path}: holds vectors of shape {(index.ntotal, index.d)}, the catalogue has {vectors.shape}; "
            "both must come from one export: export the bundle again"
        )
    return FaissSearch(vectors, index, threads)
