"""The step `index`: a catalogue becomes the arrays that serving maps, for a graph whose models are known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fuserank_ensemble.bundle import PAIRS
from fuserank_ensemble.candidates.pairs import PairTokens
from fuserank_ensemble.interactions.history import SECONDS_PER_DAY
from fuserank_ensemble.spec import Clock, GraphSpec
from fuserank_export.builder.options import ClockSetting, EncoderOptions, GraphOptions, RankerOptions
from fuserank_export.builder.read import ShopData
from fuserank_export.builder.workspace import Workspace
from fuserank_export.encoder.load import Encoder, load_encoder
from fuserank_export.index.catalog import Indexed, index_catalog
from fuserank_export.index.records import written_records
from fuserank_export.index.write import write_items
from fuserank_export.progress import Progress
from fuserank_export.sources import Interactions
from fuserank_export.training.cases.span import LogSpan
from fuserank_export.training.text.tower import LoadedTower, load_text_tower

TEXTS_FOR_A_GPU = 200_000  # distinct ones, from which a GPU searches sooner than several processes of the host
STALE_AFTER_DAYS = 30  # of a log: from then on a request without a time has the log's


@dataclass(frozen=True)
class Models:
    """Models that a bundle takes as they are.

    Attributes:
        encoder: The sentence encoder.
        tower: The ranker's text tower; None has none.
    """

    encoder: Encoder
    tower: LoadedTower | None


def open_models(encoder: EncoderOptions, ranker: RankerOptions, progress: Progress) -> Models:
    """Opens the models.

    Raises:
        EncoderError: Where the encoder cannot be exported.
        InputError: Where the text tower cannot be used.
    """
    with progress.step("loading the encoder"):
        opened = load_encoder(encoder.source, encoder.pooling)
    if not ranker.text_tower:
        return Models(opened, None)
    with progress.step("loading the text tower"):
        return Models(opened, load_text_tower(ranker.text_tower))


def describe_graph(models: Models, encoder: EncoderOptions, graph: GraphOptions, log: Interactions) -> GraphSpec:
    """Returns the graph of the models, with the default weights of fusion and of the heads."""
    tower = models.tower
    return GraphSpec(
        embedding_dim=models.encoder.dim,
        length_buckets=_buckets(GraphSpec.length_buckets, models.encoder.max_length),
        pad_token_id=models.encoder.pad_id,
        text_template=encoder.text_template,
        query_template=encoder.query_template,
        clock=_clock(graph.clock, log),
        candidates=graph.candidates,
        text_candidates=graph.text_candidates if tower else 0,
        pair_buckets=_buckets(GraphSpec.pair_buckets, tower.max_length) if tower else GraphSpec.pair_buckets,
        pair_pad_token_id=tower.pad_id if tower else 0,
        host_cores=graph.host_cores,
    )


def index_shop(work: Workspace, shop: ShopData, models: Models, spec: GraphSpec) -> Indexed:
    """Writes the catalogue's arrays, and the texts as the models' tokens.

    Raises:
        InputError: Where the text template names a field that the catalogue has not.
    """
    with work.progress.step("laying out texts"):
        indexed = index_catalog(shop.catalog, spec.text_template, shop.synonyms)
        write_items(work.index, indexed)
    indexed = replace(indexed, records=written_records(work.index / "items", len(indexed.items)))
    models.encoder.tokenizer.save(str(work.index / "tokenizer.json"))
    if models.tower:
        with work.progress.step("tokenising texts for the text tower"):
            PairTokens.write(work.index / PAIRS, models.tower.tokenizer, indexed.texts, spec.pair_buckets[-1])
    return indexed


def _clock(setting: ClockSetting, log: Interactions) -> Clock:
    if setting != "auto":
        return setting
    age_days = (time.time() - LogSpan.of(log.timestamp).end) / SECONDS_PER_DAY if len(log) else 0.0
    return "log" if age_days > STALE_AFTER_DAYS else "wall"


def _buckets(wanted: Sequence[int], longest: int) -> tuple[int, ...]:
    """The buckets that a model of so many positions can read; where it reads less than the last, all it can."""
    return (*(b for b in wanted if b < longest), longest) if longest < wanted[-1] else tuple(wanted)
