"""Makes a small query encoder for a bundle, and takes it where the gate lets it pass."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.catalog.items import Items
from fuserank_ensemble.graph.stages import QUERY_ENCODER
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.options import QueryEncoderSetting
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.errors import ExportError
from fuserank_export.progress import Progress
from fuserank_export.query_encoder.distil import Distilled, distil
from fuserank_export.query_encoder.gate import Comparison, compare_query_encoders
from fuserank_export.query_encoder.model import export_query_encoder
from fuserank_export.query_encoder.texts import TextSources, draw_texts
from fuserank_export.repository.model_config import ENGINE_FILES
from fuserank_export.sources import Interactions
from fuserank_export.training.cases.training_query import TrainingQuery
from fuserank_export.training.text.data.labels import LabelledQuery, label_from_catalog, label_from_log

TEXTS = 100_000  # that it learns from
ASKED = 20_000  # of the log's queries among them
GATE_QUERIES = 600  # up to half of them people's, the others made of categories and titles


class QueryEncoderError(ExportError):
    """A small query encoder was asked for by name, and ranks worse than is allowed; the message has the figures."""


@dataclass(frozen=True)
class KnownQueries:
    """Where queries and their answers are known from.

    Attributes:
        judged: Queries that people judged.
        log: The log.
        items: The catalogue.
        titles: The items' titles.
    """

    judged: Sequence[TrainingQuery]
    log: Interactions
    items: Items
    titles: Sequence[str]

    def asked(self, seed: int) -> list[LabelledQuery]:
        """Returns queries of people: first those that were judged, then some of the log's."""
        judged = [
            LabelledQuery(query.query, query.relevant, query.relevant[:0])
            for query in self.judged
            if query.relevant is not None and len(query.relevant)
        ]
        logged = label_from_log(self.log, ASKED, seed).queries
        return [*judged, *(logged[at] for at in np.random.default_rng(seed).permutation(len(logged)))]

    def made(self, count: int, seed: int) -> list[LabelledQuery]:
        """Returns queries that are made of categories and titles."""
        return list(label_from_catalog(self.items, self.titles, count, seed).queries)


def choose_query_encoder(
    bundle: Bundle,
    setting: QueryEncoderSetting,
    encoder: OnnxEncoder,
    known: KnownQueries,
    seed: int,
    progress: Progress,
) -> tuple[GraphSpec, dict[str, Any]]:
    """Adds a small query encoder's engine to a bundle, unless it ranks worse than is allowed.

    Args:
        bundle: The bundle, whole but for that.
        setting: Whether it is made, and whether it must be taken.
        encoder: What embedded the items.
        known: What queries are known.
        seed: Of everything random.
        progress: Shows the steps.

    Returns:
        The graph, and a report: the manifest's `query_encoder`.

    Raises:
        QueryEncoderError: Where `distilled` was asked for and does not pass.
    """
    if setting == "full":
        return bundle.spec, {"asked": setting, "chosen": "full"}
    asked = known.asked(seed)
    # What people ask is judged by what was not learned; names of categories are in the catalogue, and always learned.
    held, learned = asked[: GATE_QUERIES // 2], asked[GATE_QUERIES // 2 :]
    distilled = _distil(bundle, encoder, [query.text for query in learned], seed, progress)
    path = bundle.repository / QUERY_ENCODER / "1" / ENGINE_FILES["cpu"]
    export_query_encoder(distilled.encoder, path)
    with progress.step("comparing the query encoders"):
        compared = compare_query_encoders(bundle, [*held, *known.made(GATE_QUERIES - len(held), seed)])
    problems = [problem for row in compared for problem in row.problems]
    if problems:
        shutil.rmtree(path.parents[1])
        if setting == "distilled":
            raise QueryEncoderError(
                f"--query-encoder distilled: ranks worse than the full encoder: {'; '.join(problems)}. Take "
                "--query-encoder auto, which keeps the full one then; judged or logged queries teach a small one more"
            )
    spec = replace(bundle.spec, query_encoder="full" if problems else "distilled")
    return spec, _report(setting, spec, distilled, compared)


def _distil(bundle: Bundle, encoder: OnnxEncoder, asked: Sequence[str], seed: int, progress: Progress) -> Distilled:
    """Teaches a small encoder texts like queries, and queries that were asked."""
    texts = draw_texts(TextSources.of_bundle(bundle, asked), TEXTS, bundle.spec.query_template, seed)
    with progress.step("embedding texts like queries", len(texts)) as advanced:
        vectors = encoder.embed(texts, advanced=advanced)
    tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(bundle.spec.length_buckets[-1])
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    with progress.steps() as advanced_to:
        return distil(
            tokens,
            vectors,
            tokenizer.get_vocab_size(),
            seed,
            lambda step, steps: advanced_to("teaching the query encoder", step, steps),
        )


def _report(
    setting: QueryEncoderSetting, spec: GraphSpec, distilled: Distilled, compared: Sequence[Comparison]
) -> dict[str, Any]:
    return {
        "asked": setting,
        "chosen": spec.query_encoder,
        "texts": distilled.texts,
        "cosine": distilled.cosine,
        "seconds": distilled.seconds,
        "gate": [row.to_dict() for row in compared],
    }


def describe_query_encoder(report: Mapping[str, Any]) -> str:
    """Returns one sentence on what embeds queries; empty where that was never in question."""
    if report["asked"] == "full":
        return ""
    if report["chosen"] == "full":
        problems = "; ".join(problem for row in report["gate"] for problem in row["problems"])
        return f"queries keep the full encoder, since a distilled one ranks worse: {problems}"
    lost = ", ".join(f"{row['asked']} {row['lost']:.1%} (at most {row['lost_high']:.1%})" for row in report["gate"])
    return f"queries are embedded by a distilled encoder, which loses of nDCG@10: {lost}"
