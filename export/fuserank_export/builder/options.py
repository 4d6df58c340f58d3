"""What an export is given: typed options that the command line and the library share.

Options are keyword-only and frozen. Each is checked when it is made and raises `OptionError` for a wrong value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fuserank_ensemble.interactions.events import MOST_A_DAY
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.query_counts import QueryPrivacy
from fuserank_export.checks import CheckedOptions, check_both
from fuserank_export.layouts.config import Mappings
from fuserank_export.sources.identity import DEFAULT_MAX_UNKNOWN_SHARE
from fuserank_export.sources.reading import DEFAULT_READING, Reading
from fuserank_export.training.fitting.settings import FIT, FitSettings

Precision = Literal["fp32", "int8"]
PoolingSetting = Literal["auto", "mean", "cls"]
EmbeddingEngine = Literal["plain", "ray"]
ClockSetting = Literal["auto", "log", "wall"]
Quality = Literal["full", "quick"]
QueryEncoderSetting = Literal["full", "distilled", "auto"]

DEFAULT_SEED = 13
LEAST_CASES = 50


@dataclass(frozen=True, kw_only=True)
class FileReading(CheckedOptions):
    """How a shop's files are read. A bundle remembers it, so that its ranker is trained anew from the same files.

    Attributes:
        max_bad_rows: Share of bad rows of a file above which reading fails.
        max_unknown_items: Share of the log's rows of items that the catalogue has not, above which reading fails.
        reading: What the shop declares of its files and cells.
        disliked_below: Ratings below it say what a user dislikes; None finds it from the scale.
        most_a_day: How many events of one kind with one item count of one user within a day; 0 counts all.
        mappings: What the columns of the files become.
    """

    max_bad_rows: Annotated[float, Meta(ge=0, le=1)] = 0.05
    max_unknown_items: Annotated[float, Meta(ge=0, le=1)] = DEFAULT_MAX_UNKNOWN_SHARE
    reading: Reading = DEFAULT_READING
    disliked_below: float | None = None
    most_a_day: Annotated[int, Meta(ge=0)] = MOST_A_DAY
    mappings: Mappings = field(default_factory=Mappings)

    def to_manifest(self) -> dict[str, Any]:
        """Returns it as JSON holds it; `from_manifest` reads that."""
        own = {of.name: getattr(self, of.name) for of in fields(FileReading)}
        remembered: dict[str, Any] = msgspec.to_builtins(own, order="sorted")
        return remembered

    @classmethod
    def from_manifest(cls, remembered: Mapping[str, Any]) -> FileReading:
        """Returns what `to_manifest` wrote."""
        return msgspec.convert(remembered, FileReading)


@dataclass(frozen=True, kw_only=True)
class BehaviourFiles(FileReading):
    """Files that a ranker learns from.

    Attributes:
        interactions: The log; None has none, as on a shop's first day.
        queries: Queries whose answers people judged; None has none.
        judgements: Their judgements.
    """

    interactions: Path | None = None
    queries: Path | None = None
    judgements: Path | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a wrong value, or for queries without judgements."""
        super().__post_init__()
        check_both(self.queries, self.judgements)


@dataclass(frozen=True, kw_only=True)
class InputFiles(BehaviourFiles):
    """Files that a bundle is made from.

    Attributes:
        catalog: The catalogue.
        synonyms: Words that mean the same, in Solr's format; None has none.
        users: What the shop says of its users, such as a segment or a tier; None says nothing.
        features: Columns of the catalogue that the ranker reads as a signal of their own where they gain; None finds
            them.
        lexical_fields: Columns whose words are searched, with what a match in each counts; None takes title, brand,
            category and description.
        codes: Columns of codes beside the item's id; None takes those that are called so, such as sku or barcode.
        query_privacy: Which queries of the log are shown to others.
    """

    catalog: Path
    synonyms: Path | None = None
    users: Path | None = None
    features: tuple[str, ...] | None = None
    lexical_fields: Mapping[str, float] | None = None
    codes: tuple[str, ...] | None = None
    query_privacy: QueryPrivacy = field(default_factory=QueryPrivacy)


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(CheckedOptions):
    """The sentence encoder, and how it embeds queries and items.

    Attributes:
        source: Hugging Face id or folder.
        precision: What it runs in on a CPU.
        pooling: How token states become one vector; `auto` reads the model's own setting.
        text_template: Layout of an item's text.
        query_template: Wraps a query.
        query_encoder: What embeds queries: the encoder itself, a small one that is taught its vectors, or the small
            one where it passes the gate.
        engine: What embeds the items: `plain` in this process, `ray` with Ray Data.
        ray_address: A Ray cluster's address; None starts Ray here.
    """

    source: str
    precision: Precision = "fp32"
    pooling: PoolingSetting = "auto"
    text_template: str = GraphSpec.text_template
    query_template: str = GraphSpec.query_template
    query_encoder: QueryEncoderSetting = "full"
    engine: EmbeddingEngine = "plain"
    ray_address: str | None = None


@dataclass(frozen=True)
class TrainingEffort:
    """How much a training looks at.

    Attributes:
        cases: (user, query) pairs of each time window that the ranker learns from.
        tuning_cases: (user, query) pairs that the weights of fusion are tuned on.
        fit: How the ranker is fitted to its cases.
    """

    cases: int
    tuning_cases: int
    fit: FitSettings


# Measured on Complete Journey, see docs/experiments.md.
EFFORTS: Mapping[Quality, TrainingEffort] = {
    "full": TrainingEffort(cases=1_500, tuning_cases=400, fit=FIT),
    "quick": TrainingEffort(cases=500, tuning_cases=150, fit=replace(FIT, least_steps=100)),
}


@dataclass(frozen=True, kw_only=True)
class RankerOptions(CheckedOptions):
    """How the ranker is trained.

    Attributes:
        text_tower: Folder or Hugging Face id of its text tower. For None an export has none, and a training of a
            bundle's ranker takes the bundle's own.
        quality: `full` for a shop; `quick` for a first look, which learns from less.
        cases: How many (user, query) pairs of each time window it learns from; as `quality` says for None.
        epochs: Passes over them at most; as `fit` says for None.
        mixed_precision: Whether it is fitted in bfloat16, where `fit` does not say so already.
        fit: How it is fitted to them; as `quality` says for None.
        time_budget: Minutes from the command's start after which it is trained no longer; None has no end.
    """

    text_tower: str | None = None
    quality: Quality = "full"
    cases: Annotated[int, Meta(ge=LEAST_CASES)] | None = None
    epochs: Annotated[int, Meta(ge=1)] | None = None
    mixed_precision: bool = False
    fit: FitSettings | None = None
    time_budget: Annotated[float, Meta(gt=0)] | None = None

    @property
    def effort(self) -> TrainingEffort:
        """How much the training looks at."""
        effort = EFFORTS[self.quality]
        fit = self.fit or effort.fit
        fit = replace(fit, epochs=self.epochs or fit.epochs, bf16=self.mixed_precision or fit.bf16)
        return replace(effort, cases=self.cases or effort.cases, fit=fit)


@dataclass(frozen=True, kw_only=True)
class GraphOptions(CheckedOptions):
    """Settings of the serving graph that are not measured or learned.

    Attributes:
        candidates: How many candidates the ranker orders, one of the spec's buckets.
        text_candidates: How many of the best candidates the text tower reads.
        clock: What time a request without one has: the log's end or now; `auto` decides by the age of the log.
        host_cores: Cores that a replica with a GPU has for the stages that run on the host.
    """

    candidates: int = GraphSpec.candidates
    text_candidates: Annotated[int, Meta(ge=1)] = 16
    clock: ClockSetting = "auto"
    host_cores: int = GraphSpec.host_cores

    def __post_init__(self) -> None:
        """Raises OptionError for a wrong value, or SpecError where there can be no such graph."""
        super().__post_init__()
        GraphSpec(candidates=self.candidates, text_candidates=self.text_candidates, host_cores=self.host_cores)


@dataclass(frozen=True, kw_only=True)
class VectorStoreOptions(CheckedOptions):
    """Where the vectors lie beside the bundle.

    Attributes:
        milvus: URI of a Milvus that takes them; its token is the environment's FUSERANK_MILVUS_TOKEN. None fills none.
        milvus_index: Milvus' name of the index, such as GPU_CAGRA; None is Milvus' own choice.
    """

    milvus: str | None = None
    milvus_index: str | None = None


@dataclass(frozen=True, kw_only=True)
class OutputOptions(CheckedOptions):
    """The bundle to write.

    Attributes:
        folder: Where it goes.
        force: Replace what is there.
        seed: Of everything random in it.
        vector_cache: Folder of embedded blocks that is kept and may be shared: a later export reads the vectors of
            texts that have not changed. None keeps none.
    """

    folder: Path
    force: bool = False
    seed: int = DEFAULT_SEED
    vector_cache: Path | None = None

    @property
    def resume(self) -> Path:
        """Hidden folder beside the bundle that an export which was killed goes on from; removed with the last step."""
        return self.folder.with_name(f".{self.folder.name}.resume")

    @property
    def blocks(self) -> Path:
        """Folder of embedded blocks of texts."""
        return self.vector_cache or self.resume / "blocks"

    @property
    def checkpoints(self) -> Path:
        """Folder of the ranker's checkpoints."""
        return self.resume / "checkpoints"

    def rejected_rows(self, name: str) -> Path:
        """File of the rows of an input that were refused; `name` is the input's."""
        return self.folder.with_name(f"{self.folder.name}.rejected-{name}.jsonl")
