"""TensorRT's optimisation profiles, one for each bucket, because a wide dynamic range is slow (TensorRT#1166)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from fuserank_ensemble.graph.stages import Stage
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.engines.buckets import list_buckets
from fuserank_export.repository.model_config import typical_batch

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Profile:
    """The shapes of one profile, in which only the batch varies.

    Attributes:
        bucket: Name of its bucket.
        least: Shape of each input with one request.
        typical: Shape of each input that kernels are chosen for.
        most: Shape of each input in a full batch.
    """

    bucket: str
    least: Shapes
    typical: Shapes
    most: Shapes

    def takes(self, feed: Mapping[str, NDArray[Any]]) -> bool:
        """Returns whether the shapes of inputs are within the profile."""
        return all(
            len(value.shape) == len(self.most[name])
            and all(
                low <= n <= high for low, n, high in zip(self.least[name], value.shape, self.most[name], strict=True)
            )
            for name, value in feed.items()
        )


def make_profiles(spec: GraphSpec, stage: Stage) -> list[Profile]:
    """Returns the profiles of an engine, in the order of its buckets, by which `config.pbtxt` numbers them."""
    return [
        Profile(
            bucket.name,
            *(
                {name: (batch, *dims) for name, dims in bucket.shapes.items()}
                for batch in (1, typical_batch(spec), spec.max_batch)
            ),
        )
        for bucket in list_buckets(spec, stage)
    ]


def hash_profiles(profiles: Sequence[Profile]) -> str:
    """Returns the SHA-256 of profiles as hex digits, a part of the key of an engine."""
    return hashlib.sha256(json.dumps([asdict(profile) for profile in profiles], sort_keys=True).encode()).hexdigest()
