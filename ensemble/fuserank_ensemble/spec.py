"""The settings of a graph that are chosen at export and kept in the bundle's manifest.

`graph.stages` derives every stage's tensors, queues and instances from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import msgspec

from fuserank_ensemble.catalog.scripts import SCRIPTS
from fuserank_ensemble.contract.errors import nearest
from fuserank_ensemble.retrieval.channels.registry import CHANNEL_WEIGHTS, CHANNELS
from fuserank_ensemble.retrieval.lexical.index import LEXICAL_FIELDS
from fuserank_ensemble.retrieval.own_features import OWN_SIGNALS, OwnFeature

# `single_process` runs the whole graph in one process of a CPU, the others a process a stage.
Target = Literal["single_process", "ensemble_cpu", "ensemble_cuda", "ensemble_tensorrt", "ensemble_ort_tensorrt"]
EngineKind = Literal["cpu", "cuda", "tensorrt"]  # what an engine file is made for; several targets may run one kind
Clock = Literal["log", "wall"]
QueryEncoder = Literal["full", "distilled"]
# A search without and with a user, a recommendation, and one of what is new to the user.
RankedKind = Literal["query", "both", "user", "discover"]
RANKED_KINDS: tuple[RankedKind, ...] = ("query", "both", "user", "discover")
# `ensemble_ort_tensorrt` is TensorRT inside ONNX Runtime: it builds its own engines from CUDA's ONNX files.
ENGINE_KINDS: Mapping[Target, EngineKind] = {
    "single_process": "cpu",
    "ensemble_cpu": "cpu",
    "ensemble_cuda": "cuda",
    "ensemble_tensorrt": "tensorrt",
    "ensemble_ort_tensorrt": "cuda",
}
TARGETS: tuple[Target, ...] = tuple(ENGINE_KINDS)
GPU_TARGETS: tuple[Target, ...] = tuple(target for target, kind in ENGINE_KINDS.items() if kind != "cpu")
RENAMED_TARGETS: Mapping[str, Target] = {
    "embedded": "single_process",
    "cpu": "ensemble_cpu",
    "cuda": "ensemble_cuda",
    "tensorrt": "ensemble_tensorrt",
    "ort_tensorrt": "ensemble_ort_tensorrt",
}


class SpecError(ValueError):
    """The spec cannot describe a working graph; the message names the setting and what is allowed."""


def target_named(name: str) -> Target:
    """The target of that name.

    Raises:
        SpecError: Where there is none, naming the new name of a renamed one, else the nearest known one.
    """
    if name in RENAMED_TARGETS:
        raise SpecError(f"target {name}: was renamed to {RENAMED_TARGETS[name]}")
    for target in TARGETS:
        if target == name:
            return target
    raise SpecError(f"target {name}: unknown; known: {nearest(name, TARGETS)}")


@dataclass(frozen=True)
class GraphSpec:
    """Everything about a graph that is chosen at export time.

    Attributes:
        embedding_dim: Width of the encoder's output.
        length_buckets: Token counts that queries are padded to. Few, since shapes never batch together.
        candidate_buckets: Candidate counts that the ranker gets.
        candidates: How many candidates are ranked when the deadline leaves time; a bucket.
        events: How many of a user's latest items the ranker's sequence tower reads.
        text_candidates: How many of the best candidates the ranker's text tower reads with the query; 0 has no tower.
        pair_buckets: Token counts that (query, item text) pairs are padded to; the last cuts longer ones.
        pair_pad_token_id: Token id that pads a pair.
        dense_texts: How many nearest distinct texts the dense channel takes; their items are the candidates.
        channel_depth: How many items of each channel take part in fusion.
        channel_weights: The weight of each channel's votes in fusion, by kind of request; one left out is not asked.
        lexical_fields: Which catalogue fields' words are searched, and what a match in each counts.
        code_fields: Which catalogue fields hold codes, which find their item exactly and by their beginning.
        max_batch: Largest batch of any stage.
        pad_token_id: Token id that pads a query.
        unread_scripts: Scripts that the encoder does not know, see `fuserank_ensemble.catalog.scripts`: a query in
            one of them is ordered by its words alone.
        query_encoder: What embeds queries: the encoder itself, or a small one that learned the encoder's vectors of
            queries. Items and all other texts are the encoder's.
        query_template: Wraps a query for encoders that want a prefix; `{query}` stands for it.
        text_template: Lays out an item's text, see `fuserank_ensemble.catalog.text`.
        objective: Weights of the heads where a request names none.
        ranked_kinds: The kinds of request that the ranker orders; the others keep the order of fusion, since there it
            was not shown to be better.
        made_up_queries: Whether the ranker learned from queries that were made up from the catalogue, since there were
            none of people: its scores get priors, see `ranking.adjustments`.
        own_features: Columns of the ranker's input that this shop has beside those of every shop, by signal.
        default_fields: Catalogue fields that are returned where a request names none.
        clock: What time a request without `context.timestamp` has: the end of the log (historical data) or now.
        search_on_gpu: Whether targets with GPUs hold the index on each of them. A small one is searched sooner by
            several processes of the host.
        host_cores: Cores that a replica with a GPU has for the stages that run on the host.
    """

    embedding_dim: int = 384
    length_buckets: tuple[int, ...] = (8, 16, 32, 64, 128)
    candidate_buckets: tuple[int, ...] = (32, 64, 128, 256)
    candidates: int = 64
    events: int = 32
    text_candidates: int = 0
    pair_buckets: tuple[int, ...] = (32, 64, 96)
    pair_pad_token_id: int = 0
    dense_texts: int = 300
    channel_depth: int = 512
    channel_weights: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {kind: dict(weights) for kind, weights in CHANNEL_WEIGHTS.items()}
    )
    lexical_fields: Mapping[str, float] = field(default_factory=lambda: dict(LEXICAL_FIELDS))
    code_fields: tuple[str, ...] = ("item_id",)
    max_batch: int = 32
    pad_token_id: int = 0
    unread_scripts: tuple[str, ...] = ()
    query_encoder: QueryEncoder = "full"
    query_template: str = "{query}"
    text_template: str = "{title} | {brand} | {category} | {description:.200}"
    objective: Mapping[str, float] = field(default_factory=lambda: {"relevance": 1.0, "click": 1.0, "purchase": 1.0})
    ranked_kinds: tuple[RankedKind, ...] = RANKED_KINDS
    made_up_queries: bool = False
    own_features: tuple[OwnFeature, ...] = ()
    default_fields: tuple[str, ...] = ("title", "brand", "category", "price")
    clock: Clock = "wall"
    search_on_gpu: bool = False
    host_cores: int = 4

    def __post_init__(self) -> None:
        for name in ("length_buckets", "candidate_buckets", "pair_buckets"):
            buckets = getattr(self, name)
            if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 1:
                raise SpecError(f"spec.{name}: found {buckets}; allowed: increasing positive numbers")
        if self.candidates not in self.candidate_buckets:
            raise SpecError(f"spec.candidates: found {self.candidates}; allowed: one of {self.candidate_buckets}")
        if set(self.channel_weights) != set(CHANNEL_WEIGHTS):
            raise SpecError(
                f"spec.channel_weights: found weights for {sorted(self.channel_weights)}; "
                f"allowed: for each of {', '.join(CHANNEL_WEIGHTS)}"
            )
        for kind, weights in self.channel_weights.items():
            for name, weight in weights.items():
                if name not in CHANNELS:
                    raise SpecError(f"spec.channel_weights.{kind}.{name}: unknown; known: {nearest(name, CHANNELS)}")
                if not 0 <= weight < float("inf"):
                    raise SpecError(f"spec.channel_weights.{kind}.{name}: found {weight}; allowed: 0 or more")
        if not 0 <= self.text_candidates <= self.candidate_buckets[0]:
            raise SpecError(
                f"spec.text_candidates: found {self.text_candidates}; allowed: 0 (no text tower) to "
                f"{self.candidate_buckets[0]}, the fewest candidates that the ranker gets"
            )
        if not 1 <= self.events <= 1_024:
            raise SpecError(f"spec.events: found {self.events}; allowed: 1 to 1,024")
        if not 1 <= self.host_cores <= 256:
            raise SpecError(f"spec.host_cores: found {self.host_cores}; allowed: 1 to 256")
        if "{query}" not in self.query_template:
            raise SpecError(f"spec.query_template: found {self.query_template!r}; allowed: a text with {{query}} in it")
        self._check_shop()

    def _check_shop(self) -> None:
        for script in self.unread_scripts:
            if script not in SCRIPTS:
                raise SpecError(f"spec.unread_scripts: found {script}; known: {nearest(script, SCRIPTS)}")
        signals = [feature.signal for feature in self.own_features]
        if signals != [signal for signal in OWN_SIGNALS for _ in range(signals.count(signal))]:
            raise SpecError(f"spec.own_features: found signals {signals}; allowed: {OWN_SIGNALS}, in this order")
        names = [feature.name for feature in self.own_features]
        if len(set(names)) < len(names):
            raise SpecError(f"spec.own_features: found {names}; allowed: each name once")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GraphSpec:
        """Reads a spec from a manifest.

        Raises:
            SpecError: On a key this version does not know, naming the nearest known one.
        """
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise SpecError(f"spec.{name}: unknown setting; known: {nearest(name, known)}")
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise SpecError(f"spec: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain JSON values."""
        return asdict(self)
