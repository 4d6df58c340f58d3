"""A ranker's weights as a file of its bundle, from which the next bundle's ranker goes on."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_export.training.model.ranker import Ranker


def write_weights(ranker: Ranker, path: Path) -> None:
    """Writes a ranker's weights and buffers."""
    save_file({name: tensor.contiguous() for name, tensor in ranker.state_dict().items()}, path)


def open_ranker(path: Path, dim: int, layout: FeatureLayout) -> Ranker:
    """Returns the ranker that was written, on the CPU.

    Args:
        path: The file.
        dim: Numbers of a text vector.
        layout: The columns that it reads.

    Raises:
        RuntimeError: Where the weights are of another layout or of vectors of another length.
    """
    ranker = Ranker(dim, layout)
    ranker.load_state_dict(load_file(path))
    return ranker.eval()
