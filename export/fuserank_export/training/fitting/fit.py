"""Fits the ranker to cases with the transformers library's trainer: early stopping, checkpoints, mixed precision."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]  # untyped
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from fuserank_ensemble.candidates.features import SEQUENCE, FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_export.memory import heap_kept
from fuserank_export.training.cases.cases import Cases
from fuserank_export.training.cases.labels import MIN_POSITIVES, learnable
from fuserank_export.training.fitting.budget import BudgetCallback, TimeBudget
from fuserank_export.training.fitting.dataset import CaseDataset, ranker_inputs
from fuserank_export.training.fitting.settings import FitSettings
from fuserank_export.training.fitting.threads import one_thread
from fuserank_export.training.model.merged import MergedWeights, heard_signals, merged_logits
from fuserank_export.training.model.monotonic import MonotonicHint
from fuserank_export.training.model.position import PositionBias
from fuserank_export.training.model.ranker import EVERY_SHOP, PIECES, Ranker

CLICK = HEADS.index("click")
HINTED_SHARE, HINT_WEIGHT = 0.25, 1.0  # of a batch's cases; of the hint's loss, see `MonotonicHint`


class _Learner(nn.Module):
    """The ranker with its loss, as the trainer calls it, and beside it what is learned and not served."""

    def __init__(self, ranker: Ranker, position: PositionBias | None) -> None:
        super().__init__()
        self.ranker, self.position = ranker, position
        self._hint = MonotonicHint(ranker.layout, ranker.scale)
        self._heard = heard_signals(ranker)
        towers = [*ranker.towers, ranker.sequence]
        for signal in set(range(len(towers))) - set(self._heard):  # several processes wait for every other gradient
            towers[signal].requires_grad_(False)

    def forward(
        self,
        features: Tensor,
        vectors: Tensor,
        events: Tensor,
        moments: Tensor,
        reading: Tensor,
        positions: Tensor,
        labels: Tensor,
        weights: Tensor,
    ) -> dict[str, Tensor]:
        parameters = MergedWeights.of(self.ranker, self._heard)
        logits = merged_logits(self.ranker, parameters, features, vectors, events, moments, reading)
        behaviour = logits
        if self.position is not None:
            click = torch.eye(len(HEADS), dtype=logits.dtype, device=logits.device)[CLICK]
            logits = logits + self.position(positions).unsqueeze(-1) * click
        loss = ranking_loss(logits, labels, weights)
        if self.training:
            # A part of the cases is enough of a hint, and costs a part of the time.
            few = slice(0, math.ceil(HINTED_SHARE * len(features)))

            def score(features: Tensor, reading: Tensor) -> Tensor:
                sequence = vectors[few], events[few], moments[few]
                return merged_logits(self.ranker, parameters, features, *sequence, reading)

            loss = loss + HINT_WEIGHT * self._hint(score, features[few], reading[few], behaviour[few])
        return {"loss": loss}


def _keep_batch(batch: Any) -> Any:
    """Returns a batch as the dataset made it."""
    return batch


class ProgressCallback(TrainerCallback):
    """Reports every epoch that is done."""

    def __init__(self, advanced: Callable[[int], None]) -> None:
        self._advanced = advanced

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Passes on how many epochs are done."""
        self._advanced(round(state.epoch))


@heap_kept()
@one_thread()
def fit(
    learned: Cases,
    held_out: Cases,
    vectors: NDArray[np.float16],
    settings: FitSettings,
    seed: int,
    advanced: Callable[[int], None],
    position: PositionBias | None = None,
    layout: FeatureLayout = EVERY_SHOP,
    budget: TimeBudget | None = None,
    start: Ranker | None = None,
) -> tuple[Ranker, list[dict[str, float]], NDArray[np.float32]]:
    """Fits a ranker.

    Args:
        learned: Cases to learn from.
        held_out: Later cases, whose loss says when to stop and which epoch was best, and that calibrate it.
        vectors: Text vectors, fp16 `[texts, dim]`.
        settings: How.
        seed: Of weights and order.
        advanced: Called with the epoch that is done.
        position: Learned along with the ranker where given, so that the ranker need not explain what the position
            does; in place.
        layout: The columns of the cases' features.
        budget: The time after which training stops, in the middle of an epoch too; None has no end.
        start: A ranker of the same columns to go on from, which stays as it is: its scales, pieces and silent signals
            are taken over; None begins anew.

    Returns:
        The ranker, calibrated; the losses by epoch: `epoch`, and `loss` or `eval_loss`; and its logits of the cases
        that calibrated it, float32 `[cases, K, heads]`: of those held out the retrieved ones, or all where none is.
    """
    torch.manual_seed(seed)
    if start is None:
        ranker = Ranker(vectors.shape[1], layout)
        _standardise(ranker, learned)
    else:
        ranker = deepcopy(start)
    training = CaseDataset(learned, vectors, max(1, settings.least_steps) * settings.batch)
    later = CaseDataset(held_out, vectors)
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        kept = settings.checkpoints and settings.checkpoints / _key(settings, seed, layout)
        folder = kept or Path(scratch)
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=settings.batch,
            learning_rate=settings.learning_rate,
            weight_decay=1e-2,
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
            greater_is_better=False,
            prediction_loss_only=True,
            remove_unused_columns=False,
            label_names=["labels"],
            bf16=settings.bf16,
            seed=seed,
            report_to=[],
            disable_tqdm=True,
            restore_callback_states_from_checkpoint=True,  # else an interruption renews the patience
            dataloader_pin_memory=cuda,
            use_cpu=not cuda,
            # With several processes (accelerate launch) on a CPU the library asks for a backend by name.
            ddp_backend="gloo" if not cuda and "LOCAL_RANK" in os.environ else None,
            ddp_find_unused_parameters=False,
        )
        # The first process writes the checkpoints that all of them go by.
        arguments.output_dir = str(broadcast_object_list([str(folder)])[0])
        Path(arguments.output_dir).mkdir(parents=True, exist_ok=True)  # whichever process looks there first
        trainer = Trainer(
            _Learner(ranker, position),
            arguments,
            data_collator=_keep_batch,
            train_dataset=training,
            eval_dataset=later,
            callbacks=[EarlyStoppingCallback(settings.patience), ProgressCallback(advanced)],
        )
        if budget is not None:
            trainer.add_callback(BudgetCallback(budget, trainer.accelerator))
        trainer.remove_callback(PrinterCallback)
        resumed = get_last_checkpoint(arguments.output_dir) if kept else None  # type: ignore[no-untyped-call]  # untyped
        trainer.train(resume_from_checkpoint=resumed)
        trainer.accelerator.wait_for_everyone()
    ranker.cpu().eval()
    retrieved = held_out.retrieved  # the share of right answers of a shown list is no guide elsewhere
    logits = _calibrate(ranker, retrieved if len(retrieved) else held_out, vectors)
    history: list[dict[str, float]] = [
        {name: float(entry[name]) for name in ("epoch", "loss", "eval_loss") if name in entry}
        for entry in trainer.state.log_history
        if "loss" in entry or "eval_loss" in entry
    ]
    return ranker, history, logits


def _key(settings: FitSettings, seed: int, layout: FeatureLayout) -> str:
    """Names a run among those on the same data: none goes on from the checkpoints of another.

    The cases do not name it: their features differ in the last bits where another number of threads computed them.
    """
    return str(joblib.hash((replace(settings, checkpoints=None), seed, layout)))


@one_thread()
def predicted(ranker: Ranker, cases: Cases, vectors: NDArray[np.float16], batch: int = 128) -> NDArray[np.float32]:
    """Returns the ranker's logits, float32 `[cases, K, heads]`."""
    weights = MergedWeights.of(ranker, heard_signals(ranker))
    out = [np.empty((0, cases.rows.shape[1], len(HEADS)), np.float32)]
    with torch.no_grad():
        for start in range(0, len(cases), batch):
            rows = np.arange(start, min(start + batch, len(cases)))
            out.append(merged_logits(ranker, weights, **ranker_inputs(cases, vectors, rows)).numpy())
    return np.concatenate(out)


def ranking_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Returns the sum over heads of a pointwise loss, for probabilities, and a listwise one, for the order.

    Pointwise: binary cross-entropy. Listwise: ListNet's top-one cross-entropy (Cao et al., ICML 2007), over the
    lists that hold a right answer. Candidates without a label take no part.

    Args:
        logits: float32 `[cases, K, heads]`.
        labels: 1, 0, or NaN where there is none, float32 `[cases, K, heads]`.
        weights: What each candidate counts, above 0, float32 `[cases, K]`; None counts each as 1.
    """
    if weights is not None and bool((weights == 1).all()):
        weights = None
    total = logits.sum() * 0.0
    for head in range(labels.shape[-1]):
        target, score = labels[..., head], logits[..., head]
        known = ~torch.isnan(target)
        if not known.any():
            continue
        pointwise = nn.functional.binary_cross_entropy_with_logits
        right = torch.where(known, target, torch.zeros_like(target))
        if weights is None:
            total = total + pointwise(score[known], target[known])
        else:
            total = (
                total + pointwise(score[known], target[known], weights[known], reduction="sum") / weights[known].sum()
            )
            right = right * weights
        answered = right.sum(1) > 0
        if answered.any():
            log_share = score.masked_fill(~known, -1e9)[answered].log_softmax(1)
            wanted = right[answered] / right[answered].sum(1, keepdim=True)
            total = total - (wanted * log_share).sum(1).mean()
    return total


def _standardise(ranker: Ranker, cases: Cases) -> None:
    """Sets the ranker's scales, pieces and active signals by the cases that it learns from."""
    present, features = cases.present, cases.features.shape[-1]
    mean, spread = np.zeros(features + 1), np.zeros(features + 1)
    for column in range(features + 1):  # one at a time: together their squares are larger than the cases
        values = (cases.features[..., column] if column < features else cases.reading)[present]
        values = values[~np.isnan(values)]
        if len(values):
            mean[column] = values.mean(dtype=np.float64)
            spread[column] = np.sqrt(np.square(values - mean[column]).mean())
        _cut(ranker, column, values)
    ranker.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
    ranker.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1.0).astype(np.float32)))
    for s, signal in enumerate(ranker.layout.signals):
        # Constant counts as unseen: nothing can be learned from it.
        of_signal = ranker.layout.columns(signal)
        varies = bool((cases.events >= 0).any()) if signal == SEQUENCE else bool((spread[of_signal] > 1e-6).any())
        for h in range(len(HEADS)):
            ranker.active[s, h] = float(learnable(cases.labels[..., h]) and (varies or signal == "request"))


def _cut(ranker: Ranker, column: int, values: NDArray[np.float32]) -> None:
    """Cuts the range of a feature into pieces that hold equally many of its values; fewer where values repeat."""
    if not len(values):
        return
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, PIECES + 1)).astype(np.float32))
    # Two values may be so near that a unit fills more of the piece between them than float32 can say.
    with np.errstate(over="ignore"):
        rates = (np.float32(1.0) / np.diff(edges)).astype(np.float32)
    kept = np.isfinite(rates)
    count = int(kept.sum())
    ranker.start[column, :count] = torch.from_numpy(edges[:-1][kept])
    ranker.rate[column, :count] = torch.from_numpy(rates[kept])


def _calibrate(ranker: Ranker, cases: Cases, vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Platt scaling (Platt, 1999) of each head on later cases: probabilities that mean what they say.

    Returns:
        The calibrated logits of the cases, float32 `[cases, K, heads]`.
    """
    logits = predicted(ranker, cases, vectors)
    for h in range(len(HEADS)):
        known = ~np.isnan(cases.labels[..., h]) & cases.present
        labels = cases.labels[..., h][known]
        if not MIN_POSITIVES <= labels.sum() <= len(labels) - MIN_POSITIVES:
            continue
        fitted = LogisticRegression(C=1e6).fit(logits[..., h][known][:, None], labels)
        if fitted.coef_[0, 0] > 0:  # a slope below zero would turn the order round
            slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
            # A ranker that goes on from another one is calibrated already.
            ranker.slope[h], ranker.offset[h] = slope * ranker.slope[h], slope * ranker.offset[h] + offset
            logits[..., h] = slope * logits[..., h] + offset
    return logits
