"""The encoder, fine-tuned on a shop's own queries: a query's vector moves to its right items and off near misses.

In-batch negatives (Henderson et al., Efficient Natural Language Response Suggestion, 2017): every other item of the
batch counts as wrong for a query, so no batch holds a query or a text twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from fuserank_ensemble.catalog.text import query_text
from fuserank_export.training.text.candidates import TextData
from fuserank_export.training.text.evaluation import METRIC, RankingEvaluator
from fuserank_export.training.text.fitting import (
    Advanced,
    Fit,
    arguments,
    check_place,
    finish,
    fit,
    opened,
    processes,
)
from fuserank_export.training.text.pairs import triples
from fuserank_export.training.text.report import TextTrainingReport

PER_QUERY = 3  # right items of one query in an epoch


def open_encoder(source: str, layers: int | None, max_length: int) -> SentenceTransformer:
    """Opens a sentence encoder to train it; one without sentence-transformers' own files gets mean pooling.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """

    def build(config: dict[str, Any], length: int) -> SentenceTransformer:
        encoder = SentenceTransformer(source, config_kwargs=config)
        encoder.max_seq_length = min(length, encoder.max_seq_length or length)
        return encoder

    return opened(source, layers, max_length, build)


class Cosines:
    """Scores (query, text) pairs by the cosine of their vectors; each distinct string is embedded once."""

    def __init__(self, query_template: str) -> None:
        """Takes what wraps a query, as `fuserank_ensemble.catalog.text.query_text` does while serving."""
        self._template = query_template

    def __call__(self, encoder: SentenceTransformer, queries: list[str], texts: list[str]) -> NDArray[np.float32]:
        """Cosines, float32 `[pairs]`."""
        asked = self._vectors(encoder, [query_text(self._template, query) for query in queries])
        return np.asarray((asked * self._vectors(encoder, texts)).sum(1), np.float32)

    @staticmethod
    def _vectors(encoder: SentenceTransformer, strings: Sequence[str]) -> NDArray[np.float32]:
        place = {string: i for i, string in enumerate(dict.fromkeys(strings))}
        vectors = encoder.encode(list(place), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)[[place[string] for string in strings]]


def train_encoder(
    settings: Fit, data: TextData, query_template: str, advanced: Advanced = lambda step, total: None
) -> TextTrainingReport:
    """Fine-tunes an encoder and writes it to `settings.out`, with `training.json` and `loss.png`.

    Args:
        settings: The settings; a pair is a query with one right item.
        data: Queries with candidates.
        query_template: Wraps a query; the text that serving encodes is the text that is learned from.
        advanced: Called with the steps done and their total.

    Returns:
        The report.

    Raises:
        InputError: Where the place is taken, the encoder cannot be used, or the data has one class only.
    """
    check_place(settings)
    rows = triples(data.train, data.texts, PER_QUERY, settings.seed)
    rows = rows.map(lambda row: {"anchor": query_text(query_template, row["anchor"])})
    encoder = open_encoder(settings.encoder, settings.layers, settings.max_length)
    _freeze_unused(encoder)
    scorer = Cosines(query_template)
    held_out = RankingEvaluator(data.held_out, data.texts, scorer)
    before = held_out(encoder)[METRIC]
    trainer = SentenceTransformerTrainer(
        model=encoder,
        args=arguments(
            settings,
            len(rows),
            settings.batch_size,
            SentenceTransformerTrainingArguments,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
        ),
        train_dataset=rows,
        # Other processes' items are negatives too: two small batches teach like one large one.
        loss=MultipleNegativesRankingLoss(encoder, gather_across_devices=processes() > 1),
        evaluator=RankingEvaluator(data.validation, data.texts, scorer),
    )
    known = fit(trainer, settings, advanced)
    learned = min((known["steps"] - known["resumed_from"]) * settings.batch_size, settings.least_epochs * len(rows))
    report = TextTrainingReport(
        **known,
        pairs=learned,
        pairs_per_second=round(learned / max(known["seconds"], 1e-9), 1),
        ndcg_at_10={"model": held_out(encoder)[METRIC], "before": before, "fusion": held_out.fused()},
        data={**data.report, "pairs": len(rows)},
    )
    finish(trainer, settings, lambda folder: encoder.save_pretrained(str(folder), create_model_card=False), report)
    return report


def _freeze_unused(encoder: SentenceTransformer) -> None:
    """Freezes weights that no embedding depends on, such as BERT's pooler: processes would wait for their gradients."""
    features = encoder.preprocess(["a text"])
    encoder(features)["sentence_embedding"].sum().backward()
    for weight in encoder.parameters():
        weight.requires_grad_(weight.grad is not None)
    encoder.zero_grad(set_to_none=True)
