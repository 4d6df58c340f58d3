"""Fine-tunes the encoder on a shop's own queries, their right items and near misses.

Method: in-batch negatives (Henderson et al., Efficient Natural Language Response Suggestion, 2017). Every other item of
the batch counts as wrong for a query, so no batch has a query or a text twice.
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
from fuserank_export.training.text.data.candidates import TextData
from fuserank_export.training.text.data.pairs import build_triples
from fuserank_export.training.text.evaluation import METRIC, RankingEvaluator
from fuserank_export.training.text.fitting import (
    ProgressCallback,
    build_arguments,
    check_output,
    count_processes,
    open_model,
    run_training,
    save_model,
)
from fuserank_export.training.text.report import TextTrainingReport
from fuserank_export.training.text.settings import TextFitSettings

PER_QUERY = 3  # right items of a query in an epoch


def open_encoder(source: str, layers: int | None, max_length: int) -> SentenceTransformer:
    """Opens a sentence encoder to train it; one without sentence-transformers' own files gets mean pooling.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """

    def build(config: dict[str, Any], length: int) -> SentenceTransformer:
        encoder = SentenceTransformer(
            source, config_kwargs=config, model_kwargs={"use_safetensors": True}, trust_remote_code=False
        )
        encoder.max_seq_length = min(length, encoder.max_seq_length or length)
        return encoder

    return open_model(source, layers, max_length, build)


class CosineScorer:
    """Scores (query, text) pairs by the cosine of their embeddings; each distinct string is embedded once."""

    def __init__(self, query_template: str) -> None:
        """Takes the template that wraps a query, as in `fuserank_ensemble.catalog.text.query_text`."""
        self._template = query_template

    def __call__(self, encoder: SentenceTransformer, queries: list[str], texts: list[str]) -> NDArray[np.float32]:
        """Returns the cosine of each query and text, float32 `[pairs]`."""
        query_vectors = self._embed(encoder, [query_text(self._template, query) for query in queries])
        return np.asarray((query_vectors * self._embed(encoder, texts)).sum(1), np.float32)

    @staticmethod
    def _embed(encoder: SentenceTransformer, strings: Sequence[str]) -> NDArray[np.float32]:
        position = {string: i for i, string in enumerate(dict.fromkeys(strings))}
        vectors = encoder.encode(list(position), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)[[position[string] for string in strings]]


def train_encoder(
    settings: TextFitSettings,
    data: TextData,
    advanced: ProgressCallback = lambda step, total: None,
) -> TextTrainingReport:
    """Fine-tunes an encoder and writes it to `settings.out`, with `training.json` and `loss.png`.

    Args:
        settings: The settings; a pair is a query with one right item.
        data: Queries with candidates.
        advanced: Called with the steps done and their total.

    Returns:
        The report that is in the folder.

    Raises:
        InputError: Where the output exists, the encoder cannot be used, or the data has one class only.
    """
    check_output(settings)
    rows = build_triples(data.train, data.texts, PER_QUERY, settings.seed)
    rows = rows.map(lambda row: {"anchor": query_text(data.query_template, row["anchor"])})
    encoder = open_encoder(settings.encoder, settings.layers, settings.max_length)
    _freeze_unused(encoder)
    scorer = CosineScorer(data.query_template)
    held_out = RankingEvaluator(data.held_out, data.texts, scorer)
    before = held_out(encoder)[METRIC]
    trainer = SentenceTransformerTrainer(
        model=encoder,
        args=build_arguments(
            settings,
            len(rows),
            settings.batch_size,
            SentenceTransformerTrainingArguments,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
        ),
        train_dataset=rows,
        # Items of the other processes are negatives too, so that two small batches train like one large one.
        loss=MultipleNegativesRankingLoss(encoder, gather_across_devices=count_processes() > 1),
        evaluator=RankingEvaluator(data.validation, data.texts, scorer),
    )
    run = run_training(trainer, settings, advanced)
    trained_pairs = min((run["steps"] - run["resumed_from"]) * settings.batch_size, settings.least_epochs * len(rows))
    report = TextTrainingReport(
        **run,
        pairs=trained_pairs,
        pairs_per_second=round(trained_pairs / max(run["seconds"], 1e-9), 1),
        ndcg_at_10={"model": held_out(encoder)[METRIC], "before": before, "fusion": held_out.measure_fusion()},
        data={**data.report, "pairs": len(rows)},
    )
    save_model(trainer, settings, lambda folder: encoder.save_pretrained(str(folder), create_model_card=False), report)
    return report


def _freeze_unused(encoder: SentenceTransformer) -> None:
    """Freezes weights that no embedding depends on, such as BERT's pooler; processes would wait for their gradients."""
    features = encoder.preprocess(["a text"])
    encoder(features)["sentence_embedding"].sum().backward()
    for weight in encoder.parameters():
        weight.requires_grad_(weight.grad is not None)
    encoder.zero_grad(set_to_none=True)
