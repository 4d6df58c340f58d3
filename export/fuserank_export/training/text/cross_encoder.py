"""Trains the text tower: a cross-encoder of query and item text, fine-tuned from any Hugging Face encoder.

Method: Nogueira and Cho, Passage Re-ranking with BERT, 2019. The trained folder opens with
`AutoModelForSequenceClassification` (one label: the logit of relevance) and with sentence-transformers'
`CrossEncoder`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from datasets import Dataset  # type: ignore[import-untyped]  # untyped
from numpy.typing import NDArray
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import MSELoss

from fuserank_export.training.text.data.candidates import TextData
from fuserank_export.training.text.data.pairs import build_lists
from fuserank_export.training.text.evaluation import METRIC, RankingEvaluator
from fuserank_export.training.text.fitting import (
    MIN_STEPS,
    ProgressCallback,
    autocast,
    build_arguments,
    check_output,
    choose_attention,
    count_epochs,
    open_model,
    run_training,
    save_model,
)
from fuserank_export.training.text.listwise import ListwiseLoss
from fuserank_export.training.text.report import TextTrainingReport
from fuserank_export.training.text.settings import TextFitSettings

LIST_SIZE = 8  # pairs of each query: at most half are right items, the rest near misses


def open_tower(source: str, layers: int | None, max_length: int) -> CrossEncoder:
    """Opens an encoder, or a trained tower, as a cross-encoder with one label.

    Args:
        source: Hugging Face id or folder.
        layers: The first layers to keep; None keeps all.
        max_length: Tokens that a pair is cut at.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """
    tower: CrossEncoder = open_model(
        source,
        layers,
        max_length,
        lambda config, length: CrossEncoder(
            source,
            num_labels=1,
            max_length=length,
            config_kwargs=config,
            model_kwargs={"attn_implementation": choose_attention(), "use_safetensors": True},
            trust_remote_code=False,
        ),
    )
    return tower


def score_pairs(tower: CrossEncoder, queries: list[str], texts: list[str], batch: int = 64) -> NDArray[np.float32]:
    """Returns a tower's logits of (query, text) pairs, float32 `[pairs]`; pairs of similar length share a batch."""
    with autocast():
        scores = tower.predict(
            list(zip(queries, texts, strict=True)),
            batch_size=batch,
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
    return np.asarray(scores, np.float32)


def build_distillation_rows(teacher: CrossEncoder, data: TextData) -> Dataset:
    """Builds the rows of a distillation: each training query with each of its candidates and the teacher's logit.

    Returns:
        Rows of `query`, `text` and `label`.

    Method: Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation,
    2020.
    """
    queries = [query.text for query in data.train for _ in query.rows]
    texts = [data.texts[row] for query in data.train for row in query.rows]
    return Dataset.from_dict({"query": queries, "text": texts, "label": score_pairs(teacher, queries, texts).tolist()})


def train_text_tower(
    settings: TextFitSettings, data: TextData, advanced: ProgressCallback = lambda step, total: None
) -> TextTrainingReport:
    """Trains a text tower and writes it to `settings.out`, with `training.json` and `loss.png`.

    With a teacher it learns that tower's logits and no labels, so that it can replace the teacher in a ranker.

    Args:
        settings: The settings.
        data: Queries with candidates.
        advanced: Called with the steps done and their total.

    Returns:
        The report that is in the folder.

    Raises:
        InputError: Where the output exists, the encoder cannot be used, or the data has one class only.
    """
    check_output(settings)
    torch.manual_seed(settings.seed)  # for the new head's weights
    tower = open_tower(settings.teacher or settings.encoder, settings.layers, settings.max_length)
    teacher = open_tower(settings.teacher, None, settings.max_length) if settings.teacher else None
    if teacher is None:
        rows = build_lists(data.train, data.texts, LIST_SIZE, settings.seed)
        per_step = max(1, settings.batch_size // LIST_SIZE)
    else:
        rows, per_step = build_distillation_rows(teacher, data), settings.batch_size
    settings = replace(settings, epochs=count_epochs(settings, len(rows), per_step, MIN_STEPS))
    trainer = CrossEncoderTrainer(
        model=tower,
        args=build_arguments(settings, len(rows), per_step, CrossEncoderTrainingArguments),
        train_dataset=rows,
        loss=ListwiseLoss(tower) if teacher is None else MSELoss(tower),
        evaluator=RankingEvaluator(data.validation, data.texts, score_pairs),
    )
    run = run_training(trainer, settings, advanced, least_steps=MIN_STEPS // 2)
    held_out = RankingEvaluator(data.held_out, data.texts, score_pairs)
    pairs = sum(map(len, rows["labels"])) if teacher is None else len(rows)
    epochs_run = min((run["steps"] - run["resumed_from"]) * per_step / len(rows), settings.least_epochs)
    trained_pairs = round(epochs_run * pairs)
    report = TextTrainingReport(
        **run,
        pairs=trained_pairs,
        pairs_per_second=round(trained_pairs / max(run["seconds"], 1e-9), 1),
        ndcg_at_10={
            "model": held_out(tower)[METRIC],
            **({"teacher": held_out(teacher)[METRIC]} if teacher is not None else {}),
            "fusion": held_out.measure_fusion(),
        },
        data={**data.report, "rows": len(rows), "pairs": pairs},
    )
    save_model(trainer, settings, lambda folder: tower.save_pretrained(str(folder), create_model_card=False), report)
    return report
