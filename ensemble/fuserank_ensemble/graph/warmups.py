"""The requests in a bundle with which Triton warms the graph before it calls itself ready."""

from __future__ import annotations

from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import SEARCH_INPUTS, WARMUPS

LENGTH_BYTES = 4  # before each string, little-endian, as Triton reads tensors of strings
FIRST_STAGE = "preprocess"


def warmup_folder(bundle: Bundle, stage: str) -> Path:
    """Returns the folder with a stage's requests, in files `<kind>.<tensor>`."""
    return bundle.repository / stage / "warmup"


def read_warmups(bundle: Bundle) -> set[tuple[bytes, ...]]:
    """Returns the requests of `search`, each the inputs of one row in their order; those that are there."""
    folder = warmup_folder(bundle, FIRST_STAGE)
    files = [[folder / f"{kind}.{tensor.name}" for tensor in SEARCH_INPUTS] for kind in WARMUPS]
    return {tuple(file.read_bytes()[LENGTH_BYTES:] for file in of_kind) for of_kind in files if of_kind[0].exists()}
