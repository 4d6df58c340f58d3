"""Inputs at the limits of what the stages pass on, where half precision is most likely to overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.candidates.features import POSITION
from fuserank_ensemble.graph.stages import Stage
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.engines.buckets import Bucket, list_buckets

Feed = dict[str, NDArray[Any]]
HUGE = 1e30
_GATES = [POSITION["has_query"], POSITION["has_history"]]  # always 0 or 1
OLDEST, MOST = (
    np.log1p(36_500.0),
    np.log1p(1e6),
)  # a century in days, a million events: see `fuserank_ensemble.interactions.sequence.moments`


def make_adversarial_feeds(spec: GraphSpec, stage: Stage, vocabulary: int, seed: int) -> dict[str, Feed]:
    """Makes extreme inputs of an engine.

    Args:
        spec: The graph.
        stage: One of its engines.
        vocabulary: How many token ids there are.
        seed: Seed of the draws.

    Returns:
        Inputs by what is odd about them.
    """
    draw = np.random.default_rng(seed)
    buckets = list_buckets(spec, stage)
    if stage.name == "encoder":
        return _token_feeds(spec, buckets, vocabulary, draw)
    if stage.name == "text_tower":
        return _pair_feeds(spec, buckets)
    return _candidate_feeds(stage, buckets, draw)


def _token_feeds(spec: GraphSpec, buckets: list[Bucket], vocabulary: int, draw: np.random.Generator) -> dict[str, Feed]:
    shortest, longest = (bucket.shapes["INPUT_IDS"][0] for bucket in (buckets[0], buckets[-1]))

    def feed(ids: NDArray[np.int64], length: int) -> Feed:
        mask = np.zeros_like(ids)
        mask[:, :length] = 1
        return {"INPUT_IDS": ids, "ATTENTION_MASK": mask}

    return {
        "all padding": feed(np.full((1, shortest), spec.pad_token_id, np.int64), 0),
        "all padding, longest": feed(np.full((1, longest), spec.pad_token_id, np.int64), 0),
        "very long": feed(draw.integers(0, vocabulary, (1, longest)), longest),
        "one token over and over": feed(np.full((1, longest), vocabulary - 1, np.int64), longest),
        "one token alone": feed(draw.integers(0, vocabulary, (1, shortest)), 1),
    }


def _pair_feeds(spec: GraphSpec, buckets: list[Bucket]) -> dict[str, Feed]:
    def feed(bucket: Bucket, token: int) -> Feed:
        shape = (1, *bucket.shapes["PAIR_IDS"])
        return {"PAIR_IDS": np.full(shape, token, np.int64), "PAIR_TYPES": np.zeros(shape, np.int64)}

    return {
        "longest pairs": feed(buckets[-1], spec.pair_pad_token_id + 1),
        "one token over and over": feed(buckets[0], spec.pair_pad_token_id + 2),
    }


def _candidate_feeds(stage: Stage, buckets: list[Bucket], draw: np.random.Generator) -> dict[str, Feed]:
    shapes = buckets[0].shapes

    def feed(features: float | None, events: bool) -> Feed:
        inputs: Feed = {}
        for tensor in stage.inputs:
            inputs[tensor.name] = np.zeros((1, *shapes[tensor.name]), np.float32)
        vectors = draw.normal(size=inputs["VECTORS"].shape).astype(np.float32)
        inputs["VECTORS"] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        inputs["FEATURES"][...] = draw.normal(size=inputs["FEATURES"].shape) if features is None else features
        inputs["FEATURES"][..., _GATES] = 1.0
        if events:
            inputs["EVENTS"][0, :, 0] = 1.0
            inputs["MOMENTS"][0] = OLDEST, MOST, 1.0
        if "TEXT_SCORES" in inputs:
            inputs["TEXT_SCORES"][...] = np.nan
        return inputs

    odd = {
        "huge features": feed(HUGE, True),
        "huge negative features": feed(-HUGE, True),
        "infinite features": feed(np.inf, False),
        "no features": feed(np.nan, False),
        "oldest events": feed(None, True),
    }
    mixed = feed(None, True)
    mixed["FEATURES"][0, : shapes["FEATURES"][0] // 2] = -HUGE
    mixed["FEATURES"][..., _GATES] = 1.0
    return {**odd, "huge and ordinary features": mixed}
