"""The text tower: a cross-encoder, fine-tuned from any Hugging Face encoder, that reads query and item text together.

Nogueira and Cho, Passage Re-ranking with BERT, 2019. The trained folder opens with `AutoModelForSequenceClassification`
(one label: the logit of relevance) and with sentence-transformers' `CrossEncoder`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from datasets import Dataset  # type: ignore[import-untyped]  # untyped
from numpy.typing import NDArray
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import MSELoss

from fuserank_export.training.text.candidates import TextData
from fuserank_export.training.text.evaluation import METRIC, RankingEvaluator
from fuserank_export.training.text.fitting import (
    LEAST_STEPS,
    Advanced,
    Fit,
    arguments,
    attention,
    autocast,
    check_place,
    finish,
    fit,
    opened,
    passes,
)
from fuserank_export.training.text.listwise import ListwiseLoss
from fuserank_export.training.text.pairs import lists
from fuserank_export.training.text.report import TextTrainingReport

LIST_SIZE = 8  # pairs of each query: up to half right, the rest near misses


def open_tower(source: str, layers: int | None, max_length: int) -> CrossEncoder:
    """Opens an encoder, or a trained tower, as a cross-encoder with one label.

    Args:
        source: Hugging Face id or folder.
        layers: The first layers to keep; None keeps all.
        max_length: Tokens that a pair is cut at.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """
    tower: CrossEncoder = opened(
        source,
        layers,
        max_length,
        lambda config, length: CrossEncoder(
            source,
            num_labels=1,
            max_length=length,
            config_kwargs=config,
            model_kwargs={"attn_implementation": attention()},
        ),
    )
    return tower


def logits(tower: CrossEncoder, queries: list[str], texts: list[str], batch: int = 64) -> NDArray[np.float32]:
    """The tower's logits of (query, text) pairs, float32 `[pairs]`; pairs of like length share a batch."""
    with autocast():
        scores = tower.predict(
            list(zip(queries, texts, strict=True)),
            batch_size=batch,
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
    return np.asarray(scores, np.float32)


def taught(teacher: CrossEncoder, data: TextData) -> Dataset:
    """Every training query with all its candidates, and the teacher's logit of each: columns `query`, `text`, `label`.

    Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation, 2020.
    """
    queries = [each.text for each in data.train for _ in each.rows]
    texts = [data.texts[row] for each in data.train for row in each.rows]
    return Dataset.from_dict({"query": queries, "text": texts, "label": logits(teacher, queries, texts).tolist()})


def train_text_tower(
    settings: Fit, data: TextData, advanced: Advanced = lambda step, total: None
) -> TextTrainingReport:
    """Trains a text tower and writes it to `settings.out`, with `training.json` and `loss.png`.

    With a teacher it learns that tower's logits, and no labels: a ranker may take the one for the other.

    Args:
        settings: The settings.
        data: Queries with candidates.
        advanced: Called with the steps done and their total.

    Returns:
        The report.

    Raises:
        InputError: Where the place is taken, the encoder cannot be used, or the data has one class only.
    """
    check_place(settings)
    torch.manual_seed(settings.seed)  # the new head's weights
    tower = open_tower(settings.teacher or settings.encoder, settings.layers, settings.max_length)
    teacher = open_tower(settings.teacher, None, settings.max_length) if settings.teacher else None
    if teacher is None:
        rows = lists(data.train, data.texts, LIST_SIZE, settings.seed)
        per_step = max(1, settings.batch_size // LIST_SIZE)
    else:
        rows, per_step = taught(teacher, data), settings.batch_size
    settings = replace(settings, epochs=passes(settings, len(rows), per_step, LEAST_STEPS))
    trainer = CrossEncoderTrainer(
        model=tower,
        args=arguments(settings, len(rows), per_step, CrossEncoderTrainingArguments),
        train_dataset=rows,
        loss=ListwiseLoss(tower) if teacher is None else MSELoss(tower),
        evaluator=RankingEvaluator(data.validation, data.texts, logits),
    )
    known = fit(trainer, settings, advanced, least_steps=LEAST_STEPS // 2)
    held_out = RankingEvaluator(data.held_out, data.texts, logits)
    pairs = sum(map(len, rows["labels"])) if teacher is None else len(rows)
    seen = min((known["steps"] - known["resumed_from"]) * per_step / len(rows), settings.least_epochs)  # of this run
    learned = round(seen * pairs)
    report = TextTrainingReport(
        **known,
        pairs=learned,
        pairs_per_second=round(learned / max(known["seconds"], 1e-9), 1),
        ndcg_at_10={
            "model": held_out(tower)[METRIC],
            **({"teacher": held_out(teacher)[METRIC]} if teacher is not None else {}),
            "fusion": held_out.fused(),
        },
        data={**data.report, "rows": len(rows), "pairs": pairs},
    )
    finish(trainer, settings, lambda folder: tower.save_pretrained(str(folder), create_model_card=False), report)
    return report
