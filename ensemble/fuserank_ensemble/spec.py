"""The one typed description of the graph: stages, tensors, buckets, queues and targets.

`export` turns it into every `config.pbtxt`, the TensorRT profiles and the warm-up requests; the stages read
the same values at run time from the manifest. Nothing is written down twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import msgspec

from fuserank_ensemble.candidates.features import FEATURES, SIGNALS
from fuserank_ensemble.contract.options import HEADS, nearest
from fuserank_ensemble.interactions.sequence import MOMENT

DType = Literal["BYTES", "INT32", "INT64", "FP32"]
# `single_process` runs the whole graph in one process of a CPU, the others a process a stage.
Target = Literal["single_process", "ensemble_cpu", "ensemble_cuda", "ensemble_tensorrt", "ensemble_ort_tensorrt"]
EngineKind = Literal["cpu", "cuda", "tensorrt"]  # what an engine file is made for; several targets may run one kind
Clock = Literal["log", "wall"]
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
CHANNELS = ("dense", "lexical", "history", "trending", "new", "content", "collaborative", "graph")
# By kind of request; measured on Complete Journey, see docs/design-notes.md. An export with a log tunes its own.
CHANNEL_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    # Words before meaning: an encoder may not know the catalogue's language, words always do.
    "query": {"dense": 0.4, "lexical": 1.0, "trending": 0.3, "new": 0.1, "graph": 0.2},
    "both": {
        "dense": 0.1,
        "lexical": 0.2,
        "history": 1.0,
        "trending": 1.0,
        "new": 0.1,
        "collaborative": 0.3,
        "content": 0.1,
        "graph": 0.2,
    },
    "user": {
        "history": 1.0,
        "trending": 0.3,
        "new": 0.1,
        "collaborative": 0.5,
        "content": 0.1,
        "graph": 0.3,
    },
    "similar": {"dense": 1.0, "lexical": 0.5, "content": 1.0, "collaborative": 0.5, "graph": 0.5},
}
LEXICAL_FIELDS: Mapping[str, float] = {"title": 3.0, "brand": 1.5, "category": 1.5, "description": 1.0}
PAIR_TENSORS = ("PAIR_IDS", "PAIR_TYPES")  # the tokens that a text tower reads
WARMUPS = ("query", "user", "both")  # the kinds of real requests that warm the Python stages of `search`


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
class Tensor:
    """One input or output of a stage; `dims` leaves the batch out, -1 is a length that varies by bucket."""

    name: str
    dtype: DType
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Queue:
    """What may wait before a stage. Beyond it requests are refused at once: a long queue is only latency."""

    max_size: int
    timeout_us: int
    delay_us: int = 0  # how long to wait for a batch to fill; 0 batches only what has queued up anyway
    batch: int = 0  # requests that are taken together where more wait; 0 takes as many as a batch may hold


# A waiting request is worth at most what one second of work clears; later it is refused, not served late.
QUEUE = Queue(max_size=256, timeout_us=1_000_000)
# Where one process answers a request from end to end.
WHOLE = Queue(max_size=64, timeout_us=QUEUE.timeout_us, batch=16)
WITH_HEAVY_TOWER = Queue(max_size=16, timeout_us=QUEUE.timeout_us, batch=3)
WITH_LIGHT_TOWER = Queue(max_size=32, timeout_us=QUEUE.timeout_us, batch=8)


@dataclass(frozen=True)
class Stage:
    """One model of the repository."""

    name: str
    kind: Literal["python", "engine"]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    queue: Queue
    instances: tuple[int, int] = (1, 1)  # where all is on the CPU, and where the engines are on a GPU
    threads: int = 1  # of an engine on a CPU, within one operator; 0 takes every core
    on_device: bool = False  # one instance on every GPU where the target has GPUs; on the CPU otherwise
    warmups: tuple[str, ...] = WARMUPS  # of a Python stage: the kinds of real requests that warm it

    @property
    def reads_pairs(self) -> bool:
        """Whether it is an engine with a text tower."""
        return self.kind == "engine" and any(tensor.name in PAIR_TENSORS for tensor in self.inputs)


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
        pair_buckets: Token counts that (query, item text) pairs are padded to; the last cuts longer ones. The first is
            that of requests without pairs: a request without a query then costs the text tower next to nothing.
        pair_pad_token_id: Token id that pads a pair.
        dense_texts: How many nearest distinct texts the dense channel takes; their items are the candidates.
        channel_depth: How many items of each channel take part in fusion.
        channel_weights: What each channel's vote counts in fusion, by kind of request; one left out is not asked.
        lexical_fields: Which catalogue fields' words are searched, and what a match in each counts.
        max_batch: Largest batch of any stage.
        pad_token_id: Token id that pads a query.
        query_template: Wraps a query for encoders that want a prefix; `{query}` stands for it.
        text_template: Lays out an item's text, see `fuserank_ensemble.catalog.text`.
        objective: Weights of the heads where a request names none.
        default_fields: Catalogue fields that are returned where a request names none.
        clock: What time a request without `context.timestamp` has: the end of the log (historical data) or now.
    """

    embedding_dim: int = 384
    length_buckets: tuple[int, ...] = (8, 16, 32, 64, 128)
    candidate_buckets: tuple[int, ...] = (32, 64, 128, 256)
    candidates: int = 64
    events: int = 32
    text_candidates: int = 0
    pair_buckets: tuple[int, ...] = (1, 32, 64, 96)
    pair_pad_token_id: int = 0
    dense_texts: int = 300
    channel_depth: int = 512
    channel_weights: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {kind: dict(weights) for kind, weights in CHANNEL_WEIGHTS.items()}
    )
    lexical_fields: Mapping[str, float] = field(default_factory=lambda: dict(LEXICAL_FIELDS))
    max_batch: int = 32
    pad_token_id: int = 0
    query_template: str = "{query}"
    text_template: str = "{title} | {brand} | {category} | {description:.200}"
    objective: Mapping[str, float] = field(default_factory=lambda: {"relevance": 1.0, "click": 1.0, "purchase": 1.0})
    default_fields: tuple[str, ...] = ("title", "brand", "category", "price")
    clock: Clock = "wall"

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
        if "{query}" not in self.query_template:
            raise SpecError(f"spec.query_template: found {self.query_template!r}; allowed: a text with {{query}} in it")

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

    def stages(self) -> tuple[Stage, ...]:
        """The five stages in the order that data takes."""
        request = Tensor("REQUEST", "BYTES", (1,))
        tokens = (Tensor("INPUT_IDS", "INT64", (-1,)), Tensor("ATTENTION_MASK", "INT64", (-1,)))
        embedding = Tensor("EMBEDDING", "FP32", (self.embedding_dim,))
        candidates = Tensor("CANDIDATES", "INT32", (-1,))
        features = Tensor("FEATURES", "FP32", (-1, len(FEATURES)))
        # What the sequence tower reads: the candidates' text vectors, those of the user's latest items, and when and
        # how often these were had.
        vectors = Tensor("VECTORS", "FP32", (-1, self.embedding_dim))
        events = Tensor("EVENTS", "FP32", (self.events, self.embedding_dim))
        moments = Tensor("MOMENTS", "FP32", (self.events, MOMENT))
        # Candidates of equal texts share a pair: PAIR_OF says which pair each of the first candidates has, -1 none.
        # Where it has none, READ_BEFORE may hold what the tower said of it before, as READING does; NaN for nothing.
        pairs = (
            (
                *(Tensor(name, "INT64", (self.text_candidates, -1)) for name in PAIR_TENSORS),
                Tensor("PAIR_OF", "INT64", (self.text_candidates,)),
                Tensor("READ_BEFORE", "FP32", (self.text_candidates,)),
            )
            if self.text_candidates
            else ()
        )
        towers = (features, vectors, events, moments, *pairs)
        retrieval = Tensor("RETRIEVAL", "BYTES", (1,))
        heads = Tensor("HEADS", "FP32", (-1, len(HEADS)))
        contributions = Tensor("CONTRIBUTIONS", "FP32", (-1, len(SIGNALS), len(HEADS)))
        readings = (Tensor("READING", "FP32", (self.text_candidates,)),) if self.text_candidates else ()
        return (
            # Tokenising is short and single-threaded. One process keeps up with engines on a CPU (and its caches warm),
            # a GPU's engines want several.
            Stage("preprocess", "python", SEARCH_INPUTS, (*tokens, request), QUEUE, instances=(1, 4)),
            Stage("encoder", "engine", tokens, (embedding,), QUEUE, threads=0, on_device=True),
            # The index is held once a device, and the stage batches inside: more instances are more copies.
            Stage("retrieve", "python", (embedding, request), (candidates, *towers, retrieval), QUEUE,
                  on_device=True),
            # A text tower is worth every core, as the encoder is; without it a second thread only waits.
            Stage("ranker", "engine", towers, (heads, contributions, *readings), QUEUE,
                  threads=0 if pairs else 1, on_device=True),
            Stage("finalize", "python", (candidates, features, heads, contributions, request, retrieval),
                  SEARCH_OUTPUTS, QUEUE),
        )  # fmt: skip

    def companions(self) -> tuple[Stage, ...]:
        """The models of their own beside `search`."""
        # Who types is on with the next letters by then: a completion that comes later is worth nothing.
        typing = Queue(max_size=64, timeout_us=500_000)
        # A request that comes in the moment after an answer, before Triton 2.51 counts the only instance as idle
        # again, is left lying for up to 500 ms by a queue with limits: the next to type does come in that moment.
        pair = (2, 2)
        return (
            # It calls the encoder and `retrieve`, which Triton lets nobody do before the server is ready: no warm-up.
            Stage("similar", "python", SIMILAR_INPUTS, SEARCH_OUTPUTS, QUEUE, instances=pair, warmups=()),
            Stage("suggest", "python", SUGGEST_INPUTS, SUGGEST_OUTPUTS, typing, instances=pair, warmups=("prefix",)),
        )

    def whole(self, heavy: bool = True) -> Stage:
        """The model `search` where it is no ensemble but runs all stages itself: each instance is the whole graph.

        Two, so that one works while the other waits for its next batch; they share the cores. A request waits until its
        whole batch is answered, and a heavy text tower gains nothing by a large one: what is taken at once, and what
        may wait, is what two cores answer in a quarter of a second.

        Args:
            heavy: Whether a text tower takes its time, see `RankerCost.heavy`.
        """
        queue = WHOLE if not self.text_candidates else WITH_HEAVY_TOWER if heavy else WITH_LIGHT_TOWER
        return Stage("search", "python", SEARCH_INPUTS, SEARCH_OUTPUTS, queue, instances=(2, 2))

    def models(self, target: Target, heavy: bool = True) -> tuple[Stage, ...]:
        """Every model that a target serves, but for the ensemble itself; `heavy` as `whole` takes it."""
        if target != "single_process":
            return (*self.stages(), *self.companions())
        # `similar` calls these two.
        called = tuple(stage for stage in self.stages() if stage.name in ("encoder", "retrieve"))
        return (self.whole(heavy), *called, *self.companions())


SEARCH_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("QUERY", "USER_ID", "OPTIONS"))
SEARCH_OUTPUTS = (
    Tensor("ITEM_ID", "BYTES", (-1,)),
    Tensor("SCORE", "FP32", (-1,)),
    Tensor("ITEM", "BYTES", (-1,)),
    Tensor("STATUS", "BYTES", (1,)),
)
SIMILAR_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("ITEM_ID", "TEXT", "OPTIONS"))
SUGGEST_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("PREFIX", "OPTIONS"))
SUGGEST_OUTPUTS = (Tensor("SUGGESTION", "BYTES", (-1,)), Tensor("SCORE", "FP32", (-1,)))
