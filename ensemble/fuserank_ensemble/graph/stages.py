"""The graph's stages, written down once: their tensors, queues and instances, as a spec and a target ask for them.

`export` turns them into every `config.pbtxt`, the TensorRT profiles and the warm-up requests; `GraphExecutor` runs them
in one process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fuserank_ensemble.candidates.features import FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.spec import GraphSpec, Target

DType = Literal["BYTES", "INT32", "INT64", "FP32"]
PAIR_TENSORS = ("PAIR_IDS", "PAIR_TYPES")  # the tokens that a text tower reads
# CPU milliseconds of a request among sixteen, on the demo, see docs/decisions/056.
HOST_MS = {"preprocess": 0.3, "retrieve": 3.1, "finalize": 0.4}
ENCODER, QUERY_ENCODER = "encoder", "query_encoder"
WARMUPS = ("query", "user", "both")  # the kinds of real requests that warm the Python stages of `search`


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
# A call may bring a thousand texts: few calls are taken together, since all of them wait for the last text.
TEXTS = Queue(max_size=32, timeout_us=QUEUE.timeout_us, batch=8)
# Where one process answers a request from end to end.
SINGLE_PROCESS = Queue(max_size=32, timeout_us=QUEUE.timeout_us, batch=16)
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
    calls: tuple[str, ...] = ()  # other models that it asks while it answers


SEARCH_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("QUERY", "USER_ID", "OPTIONS"))
SEARCH_OUTPUTS = (
    Tensor("ITEM_ID", "BYTES", (-1,)),
    Tensor("SCORE", "FP32", (-1,)),
    Tensor("ITEM", "BYTES", (-1,)),
    Tensor("STATUS", "BYTES", (1,)),
)
SIMILAR_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("ITEM_ID", "TEXT", "OPTIONS"))
SUGGEST_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("PREFIX", "OPTIONS"))
EMBED_INPUTS = (Tensor("TEXT", "BYTES", (-1,)), Tensor("OPTIONS", "BYTES", (1,)))
EMBED_OUTPUTS = (Tensor("EMBEDDING", "FP32", (-1, -1)), Tensor("STATUS", "BYTES", (1,)))
RERANK_INPUTS = (Tensor("QUERY", "BYTES", (1,)), Tensor("DOCUMENT", "BYTES", (-1,)), Tensor("OPTIONS", "BYTES", (1,)))
RERANK_OUTPUTS = (Tensor("SCORE", "FP32", (-1,)), Tensor("STATUS", "BYTES", (1,)))
RECORD_INPUTS = (Tensor("EVENTS", "BYTES", (1,)),)
RECORD_OUTPUTS = (Tensor("RESULT", "BYTES", (1,)), Tensor("STATUS", "BYTES", (1,)))
CATALOG_INPUTS = (Tensor("CHANGES", "BYTES", (1,)),)
PROFILE_INPUTS = tuple(Tensor(name, "BYTES", (1,)) for name in ("USER_ID", "ACTION", "OPTIONS"))
PROFILE_OUTPUTS = (Tensor("PROFILE", "BYTES", (1,)),)
SUGGEST_OUTPUTS = (Tensor("SUGGESTION", "BYTES", (-1,)), Tensor("SCORE", "FP32", (-1,)))


def query_encoder_of(spec: GraphSpec) -> str:
    """Returns the name of the stage that embeds queries."""
    return ENCODER if spec.query_encoder == "full" else QUERY_ENCODER


def encoder_stage(spec: GraphSpec) -> Stage:
    """Returns the encoder, which embeds items and other texts, and queries unless these have one of their own."""
    tokens = (Tensor("INPUT_IDS", "INT64", (-1,)), Tensor("ATTENTION_MASK", "INT64", (-1,)))
    embedding = Tensor("EMBEDDING", "FP32", (spec.embedding_dim,))
    return Stage(ENCODER, "engine", tokens, (embedding,), QUEUE, threads=0, on_device=True)


def engine_stages(spec: GraphSpec) -> tuple[Stage, ...]:
    """Returns all engines: those of `search`, and the encoder where queries have one of their own."""
    engines = tuple(stage for stage in search_stages(spec) if stage.kind == "engine")
    return engines if spec.query_encoder == "full" else (encoder_stage(spec), *engines)


def search_stages(spec: GraphSpec) -> tuple[Stage, ...]:
    """Returns the stages of `search` in the order that data takes: five, and a text tower where the spec has one."""
    layout = FeatureLayout(spec.own_features)
    request = Tensor("REQUEST", "BYTES", (1,))
    encoder = encoder_stage(spec)
    if spec.query_encoder != "full":
        # Looking words up in a table is too little for a second thread, and for the way to a GPU.
        encoder = replace(encoder, name=QUERY_ENCODER, threads=1, on_device=False)
    tokens, (embedding,) = encoder.inputs, encoder.outputs
    candidates = Tensor("CANDIDATES", "INT32", (-1,))
    features = Tensor("FEATURES", "FP32", (-1, len(layout.features)))
    # What the sequence tower reads: the candidates' text vectors, those of the user's latest items, and when and how
    # often these were had.
    vectors = Tensor("VECTORS", "FP32", (-1, spec.embedding_dim))
    events = Tensor("EVENTS", "FP32", (spec.events, spec.embedding_dim))
    moments = Tensor("MOMENTS", "FP32", (spec.events, MOMENT_DIM))
    described = (features, vectors, events, moments)
    retrieval = Tensor("RETRIEVAL", "BYTES", (1,))
    heads = Tensor("HEADS", "FP32", (-1, len(HEADS)))
    contributions = Tensor("CONTRIBUTIONS", "FP32", (-1, len(layout.signals), len(HEADS)))
    # One pair for each of the first candidates; a place without a pair is padding, and its score NaN.
    pairs = tuple(Tensor(name, "INT64", (spec.text_candidates, -1)) for name in PAIR_TENSORS)
    scores = Tensor("TEXT_SCORES", "FP32", (spec.text_candidates,))
    # An engine of its own, so that pairs can be cached, left out and shared among cores as a flat list.
    tower = Stage("text_tower", "engine", pairs, (scores,), QUEUE, threads=0, on_device=True)
    read = spec.text_candidates > 0
    processes = host_processes(spec)
    return (
        # One process of each keeps up with engines on a CPU, and its caches are warm; a GPU's engines want several.
        Stage("preprocess", "python", SEARCH_INPUTS, (*tokens, request), QUEUE, instances=(1, processes["preprocess"])),
        encoder,
        # On a GPU the index is held once, and the stage batches inside: more instances would be more copies.
        Stage("retrieve", "python", (embedding, request),
              (candidates, *described, *(pairs if read else ()), retrieval), QUEUE,
              instances=(1, processes["retrieve"]), on_device=spec.search_on_gpu),
        *((tower,) if read else ()),
        # Its products are small: a second thread only waits.
        Stage("ranker", "engine", (*described, *((scores,) if read else ())), (heads, contributions), QUEUE,
              on_device=True),
        Stage("finalize", "python", (candidates, features, heads, contributions, request, retrieval),
              SEARCH_OUTPUTS, QUEUE, instances=(1, processes["finalize"])),
    )  # fmt: skip


def host_processes(spec: GraphSpec) -> dict[str, int]:
    """Returns how many processes each stage of the host has beside a GPU, by name: as its cost asks, at least one."""
    whole = sum(HOST_MS.values())
    processes = {name: max(1, round(spec.host_cores * ms / whole)) for name, ms in HOST_MS.items()}
    return processes | ({"retrieve": 1} if spec.search_on_gpu else {})


def companion_stages() -> tuple[Stage, ...]:
    """Returns the models of their own beside `search`."""
    # Who types is on with the next letters by then: a completion that comes later is worth nothing.
    typing = Queue(max_size=64, timeout_us=500_000)
    # A request that comes in the moment after an answer, before Triton 2.51 counts the only instance as idle again, is
    # left lying for up to 500 ms by a queue with limits: the next to type does come in that moment.
    pair = (2, 2)
    return (
        # It calls the encoder and `retrieve`, which Triton lets nobody do before the server is ready: no warm-up.
        Stage("similar", "python", SIMILAR_INPUTS, SEARCH_OUTPUTS, QUEUE, instances=pair, warmups=(),
              calls=("encoder", "retrieve")),
        Stage("suggest", "python", SUGGEST_INPUTS, SUGGEST_OUTPUTS, typing, instances=pair, warmups=("prefix",)),
        # These call engines, too.
        Stage("embed", "python", EMBED_INPUTS, EMBED_OUTPUTS, TEXTS, instances=pair, warmups=(), calls=("encoder",)),
        Stage("rerank", "python", RERANK_INPUTS, RERANK_OUTPUTS, TEXTS, instances=pair, warmups=(), calls=("encoder",)),
    )  # fmt: skip


def state_stages() -> tuple[Stage, ...]:
    """Returns the models that change the state; served only where a state is kept."""
    return (
        # Two, for the same reason as `companion_stages` has; SQLite has them write by turns, and wait for the disk
        # together.
        Stage("record", "python", RECORD_INPUTS, RECORD_OUTPUTS, QUEUE, instances=(2, 2), warmups=()),
        Stage("catalog", "python", CATALOG_INPUTS, RECORD_OUTPUTS, QUEUE, instances=(2, 2), warmups=(),
              calls=("encoder",)),
        Stage("profile", "python", PROFILE_INPUTS, PROFILE_OUTPUTS, QUEUE, warmups=()),
    )  # fmt: skip


def single_process_stage(spec: GraphSpec, heavy: bool = True) -> Stage:
    """Returns the model `search` of the target that runs every stage in one process: an instance is a whole graph.

    There are two, so that one works while the other waits for its next batch; they share the cores. A request waits
    until its whole batch is answered, and a heavy text tower gains nothing by a large one: what is taken at once, and
    what may wait, is what two cores answer in a quarter of a second.

    Args:
        spec: The graph.
        heavy: Whether a text tower takes its time, see `RankerCost.heavy`.
    """
    queue = SINGLE_PROCESS if not spec.text_candidates else WITH_HEAVY_TOWER if heavy else WITH_LIGHT_TOWER
    return Stage("search", "python", SEARCH_INPUTS, SEARCH_OUTPUTS, queue, instances=(2, 2))


def models(spec: GraphSpec, target: Target, heavy: bool = True) -> tuple[Stage, ...]:
    """Returns every model of a target but for the ensemble; `heavy` as `single_process_stage` takes it."""
    search, beside = search_stages(spec), (*companion_stages(), *state_stages())
    stages = (*search, *(engine for engine in engine_stages(spec) if engine not in search))
    if target != "single_process":
        return (*stages, *beside)
    names = {name for stage in beside for name in stage.calls}
    called = tuple(stage for stage in stages if stage.name in names)
    return (single_process_stage(spec, heavy), *called, *beside)
