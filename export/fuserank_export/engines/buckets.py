"""The input shapes of an engine, from the spec; used for TensorRT's profiles, warm-up and measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fuserank_ensemble.graph.stages import ENCODER, QUERY_ENCODER, Stage
from fuserank_ensemble.spec import GraphSpec


@dataclass(frozen=True)
class Bucket:
    """One shape of an engine's inputs.

    Attributes:
        name: Its size, such as `128`.
        shapes: Dimensions of each input without the batch.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]


def list_buckets(spec: GraphSpec, stage: Stage) -> list[Bucket]:
    """Returns the buckets of an engine, the smallest first.

    Args:
        spec: The graph.
        stage: One of its engines.
    """
    lengths = dict.fromkeys((ENCODER, QUERY_ENCODER), spec.length_buckets)
    sizes = {**lengths, "text_tower": spec.pair_buckets, "ranker": spec.candidate_buckets}
    return [
        Bucket(str(size), {tensor.name: tuple(size if d < 0 else d for d in tensor.dims) for tensor in stage.inputs})
        for size in sizes[stage.name]
    ]


def warmup_file(tensor: str, dims: tuple[int, ...]) -> str:
    """Returns the name of an input's warm-up file, within the stage's `warmup` folder.

    Args:
        tensor: Name of the input.
        dims: Its dimensions.
    """
    return f"{tensor}.{'x'.join(map(str, dims))}"
