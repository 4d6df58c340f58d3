"""What both text models' trainings share: settings, precision, checkpoints, early stopping and how they end."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import disable_progress_bars  # type: ignore[import-untyped]  # untyped
from safetensors import SafetensorError
from transformers import AutoConfig, EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging as transformers_logging

from fuserank_export.sources import InputError
from fuserank_export.training.text.evaluation import METRIC
from fuserank_export.training.text.report import Precision, TextTrainingReport

LEAST_STEPS = 300  # of a cross-encoder: for about its first hundred a new head learns nothing that can be measured
EVALUATIONS = 5  # over the whole training; each one is also a checkpoint
PATIENCE = 2  # evaluations without a better one
WARMUP = 0.07  # of the steps
WEIGHT_DECAY = 0.01
LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")

_Model = TypeVar("_Model")
Advanced = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Fit:
    """Settings of a training.

    Attributes:
        encoder: Hugging Face id or folder of the encoder to begin with.
        out: Folder to write; checkpoints lie beside it until it is complete.
        layers: The encoder's first layers to keep; None keeps all.
        max_length: Tokens that a pair, or a text, is cut at.
        epochs: Passes over the training rows; None takes one, or as many as make the least number of steps.
        batch_size: Pairs a step, over all processes.
        learning_rate: Its peak.
        seed: Of everything random.
        resume: Go on from the last checkpoint of an interrupted run.
        teacher: A trained text tower whose logits are to be learned, from its own first layers; None has none.
    """

    encoder: str
    out: Path
    layers: int | None = None
    max_length: int = 96
    epochs: int | None = None
    batch_size: int = 48
    learning_rate: float = 1e-4
    seed: int = 13
    resume: bool = False
    teacher: str | None = None

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie while training."""
        return self.out.with_name(f"{self.out.name}.checkpoints")

    @property
    def least_epochs(self) -> int:
        """Passes over the training rows: those that are asked for, else one, whatever the number of steps takes."""
        return self.epochs or 1


def precision() -> Precision:
    """The fastest that this machine multiplies in natively; weights and optimiser stay in FP32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def autocast() -> torch.autocast:
    """Runs what is inside in `precision`, as training does."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    number = precision()
    return torch.autocast(device, torch.float16 if number == "fp16" else torch.bfloat16, enabled=number != "fp32")


def attention() -> str:
    """The attention implementation to load with: on a CPU the plain one is the faster for short texts."""
    return "sdpa" if torch.cuda.is_available() else "eager"


def processes() -> int:
    """How many processes the launcher (`accelerate launch`, `torchrun`) started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def opened(source: str, layers: int | None, max_length: int, build: Callable[[dict[str, Any], int], _Model]) -> _Model:
    """Opens an encoder with its first layers alone.

    Args:
        source: Hugging Face id or folder.
        layers: The first layers to keep; None keeps all.
        max_length: Tokens that an input is cut at; no more than the encoder has positions for.
        build: Opens it, with values of its configuration to replace and the length to cut at.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise InputError(f"--encoder {source!r}: no such folder; give one with config.json, weights and tokenizer")
    try:
        config = AutoConfig.from_pretrained(source)
        had = int(config.num_hidden_layers)
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        positions = (getattr(config, "max_position_embeddings", None) or max_length) - (
            2 if "roberta" in config.model_type else 0
        )
        if layers is None or 1 <= layers <= had:
            return build({} if layers is None else {"num_hidden_layers": layers}, min(max_length, positions))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"--encoder {source!r}: cannot be loaded ({str(error).splitlines()[0]}); give a Hugging Face id that this "
            "machine can reach, or a folder with config.json, weights and tokenizer"
        ) from None
    raise InputError(f"--layers: found {layers}; allowed: 1 to {had}, the layers of {source!r}")


def quieten() -> None:
    """The libraries' own chatter (weights loaded, layers left out) is not the user's."""
    logging.getLogger().setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped
    disable_progress_bars()


def check_place(settings: Fit) -> None:
    """Refuses a place that is taken, or a run that would throw away an interrupted one.

    Raises:
        InputError: Naming the folder and the remedy.
    """
    if settings.out.exists():
        raise InputError(f"--out {settings.out}: exists already; choose a new folder")
    if last_checkpoint(settings) and not settings.resume:
        raise InputError(
            f"{settings.checkpoints}: left by an interrupted run; go on from it with --resume, or remove it"
        )


def last_checkpoint(settings: Fit) -> str | None:
    """The newest checkpoint's folder; None where there is none."""
    if not settings.checkpoints.exists():
        return None
    found: str | None = get_last_checkpoint(str(settings.checkpoints))  # type: ignore[no-untyped-call]  # untyped
    return found


def passes(settings: Fit, rows: int, rows_per_step: int, least_steps: int) -> int:
    """How often the training rows are passed over: as asked, else as few times as make the least number of steps."""
    return settings.epochs or math.ceil(least_steps / _steps(rows, _in_process(rows, rows_per_step)))


def _in_process(rows: int, rows_per_step: int) -> int:
    """Rows of one step in each process: few rows still make a step for every process."""
    return max(1, min(rows_per_step, rows) // processes())


def _steps(rows: int, in_process: int) -> int:
    """Steps of one pass."""
    return math.ceil(rows / (in_process * processes()))


def arguments(settings: Fit, rows: int, rows_per_step: int, kind: type[Any], **more: Any) -> Any:
    """The library's training arguments.

    Args:
        settings: The settings.
        rows: Training rows.
        rows_per_step: Rows of one step, over all processes.
        kind: The library's class of arguments.
        more: What one model alone needs.
    """
    in_process = _in_process(rows, rows_per_step)
    epochs = settings.least_epochs
    steps = epochs * _steps(rows, in_process)
    often = max(1, steps // EVALUATIONS)
    cuda, number = torch.cuda.is_available(), precision()
    return kind(
        output_dir=str(settings.checkpoints),
        num_train_epochs=epochs,
        per_device_train_batch_size=in_process,
        learning_rate=settings.learning_rate,
        warmup_steps=math.ceil(WARMUP * steps),
        weight_decay=WEIGHT_DECAY,
        bf16=number == "bf16",
        fp16=number == "fp16",
        use_cpu=not cuda,
        ddp_backend=None if cuda or processes() == 1 else "gloo",
        ddp_find_unused_parameters=False,  # looking for them would miss those behind the library's own output type
        eval_strategy="steps",
        eval_steps=often,
        save_strategy="steps",
        save_steps=often,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC}",
        greater_is_better=True,
        logging_steps=max(1, often // 4),
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
        data_seed=settings.seed,
        **more,
    )


def fit(trainer: Any, settings: Fit, advanced: Advanced, least_steps: int = 0) -> dict[str, Any]:
    """Trains, from the last checkpoint where one is to be resumed; returns the report's part that the run knows.

    Args:
        trainer: The library's.
        settings: The settings.
        advanced: Called with the steps done and their total.
        least_steps: Until then, or half of the training, no evaluation ends it.
    """
    clock = _Clock(advanced)
    trainer.remove_callback(PrinterCallback)  # prints what the report keeps
    trainer.add_callback(clock)
    trainer.add_callback(_Patience(least_steps))
    last = last_checkpoint(settings)
    resumed = int(Path(last).name.rsplit("-", 1)[-1]) if last else 0
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=last)
    state = trainer.state
    total = time.monotonic() - started
    return {
        "settings": {**asdict(settings), "out": str(settings.out)},
        "precision": precision(),
        "processes": processes(),
        "steps": state.global_step,
        "best_step": state.best_global_step or state.global_step,
        "stopped_early": state.global_step < state.max_steps,
        "resumed_from": resumed,
        "seconds": round(clock.seconds, 2),
        "evaluation_seconds": round(total - clock.seconds, 2),
        "losses": [(e["step"], round(e["loss"], 5)) for e in state.log_history if "loss" in e],
        "validation": [(e["step"], round(e[f"eval_{METRIC}"], 5)) for e in state.log_history if f"eval_{METRIC}" in e],
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def finish(trainer: Any, settings: Fit, save: Callable[[Path], None], report: TextTrainingReport) -> None:
    """Writes the model and its report as one: the folder is there when it is complete. Removes the checkpoints."""
    trainer.accelerator.wait_for_everyone()  # another process may still be reading the best checkpoint
    if not trainer.is_world_process_zero():
        return
    partial = settings.out.with_name(f".{settings.out.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        save(partial)
        report.save(partial)
        partial.rename(settings.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(settings.checkpoints, ignore_errors=True)


class _Patience(EarlyStoppingCallback):
    """Stops where evaluations bring nothing better, but not before the model has begun to learn."""

    def __init__(self, least_steps: int) -> None:
        super().__init__(PATIENCE)
        self._least_steps = least_steps

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **more: Any) -> None:  # type: ignore[override]  # as the library's own
        if state.global_step >= min(self._least_steps, state.max_steps // 2):
            super().on_evaluate(args, state, control, metrics, **more)  # type: ignore[no-untyped-call]  # untyped


class _Clock(TrainerCallback):
    """Counts the seconds inside steps, and shows progress."""

    def __init__(self, advanced: Advanced) -> None:
        self.seconds = 0.0
        self._advanced, self._begun = advanced, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._begun = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds += time.monotonic() - self._begun
        self._advanced(state.global_step, state.max_steps)
