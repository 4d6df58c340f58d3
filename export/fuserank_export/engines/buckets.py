"""The shapes that an engine is asked in: one bucket for each, from the spec, for profiles, warm-up and measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fuserank_ensemble.spec import PAIR_TENSORS, GraphSpec, Stage, Tensor


@dataclass(frozen=True)
class Bucket:
    """One shape of an engine's inputs.

    Attributes:
        name: Its sizes, such as `128` or `128_pairs_64`.
        shapes: Dimensions of each input without the batch.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]


def buckets(spec: GraphSpec, stage: Stage) -> list[Bucket]:
    """The buckets of an engine, the smallest first.

    Args:
        spec: The graph.
        stage: Its encoder or its ranker.
    """
    sizes = spec.candidate_buckets if stage.name == "ranker" else spec.length_buckets
    lengths = spec.pair_buckets if stage.reads_pairs else (0,)

    def shape(tensor: Tensor, size: int, length: int) -> tuple[int, ...]:
        return tuple((length if tensor.name in PAIR_TENSORS else size) if d < 0 else d for d in tensor.dims)

    return [
        Bucket(
            f"{size}_pairs_{length}" if length else str(size),
            {tensor.name: shape(tensor, size, length) for tensor in stage.inputs},
        )
        for size in sizes
        for length in lengths
    ]


def warmup_file(tensor: str, dims: tuple[int, ...]) -> str:
    """Name of the file that warms an engine's input in these dimensions, within the stage's `warmup` folder."""
    return f"{tensor}.{'x'.join(map(str, dims))}"
