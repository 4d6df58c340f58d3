"""Training of both text models: number format, checkpoints, early stopping and saving."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import disable_progress_bars  # type: ignore[import-untyped]  # untyped
from safetensors import SafetensorError
from transformers import AutoConfig, EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging as transformers_logging

from fuserank_export.repository.place import partial_bundle
from fuserank_export.sources import InputError
from fuserank_export.training.text.evaluation import METRIC
from fuserank_export.training.text.report import Precision, TextTrainingReport
from fuserank_export.training.text.settings import TextFitSettings

MIN_STEPS = 300  # of a cross-encoder: in about its first hundred steps a new head gains nothing measurable
EVALUATIONS = 5  # over the whole training; a checkpoint is written at each
PATIENCE = 2  # evaluations without a better one before training stops
WARMUP = 0.07  # of the steps
WEIGHT_DECAY = 0.01
LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")

_Model = TypeVar("_Model")
ProgressCallback = Callable[[int, int], None]  # steps done, steps in all


def choose_precision() -> Precision:
    """Returns the fastest number format that this machine multiplies natively; weights stay in FP32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def autocast() -> torch.autocast:
    """Returns a context that computes in the number format of `choose_precision`, as training does."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = choose_precision()
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype, enabled=precision != "fp32")


def choose_attention() -> str:
    """Returns the attention implementation to load a model with; on a CPU eager is faster for short texts."""
    return "sdpa" if torch.cuda.is_available() else "eager"


def count_processes() -> int:
    """Returns how many processes the launcher (`accelerate launch`, `torchrun`) started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def open_model(
    source: str, layers: int | None, max_length: int, build: Callable[[dict[str, Any], int], _Model]
) -> _Model:
    """Opens an encoder, with all or with its first layers.

    Args:
        source: Hugging Face id or folder.
        layers: The first layers to keep; None keeps all.
        max_length: Tokens that an input is cut at; no more than the encoder has positions for.
        build: Opens the model; gets the values of its configuration to replace, and the length to cut at.

    Raises:
        InputError: Where it cannot be loaded, or has fewer layers.
    """
    if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
        raise InputError(f"--encoder {source!r}: no such folder; give one with config.json, weights and tokenizer")
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        available = int(config.num_hidden_layers)
        # RoBERTa-like models start positions behind the pad id, so two are never usable.
        positions = (getattr(config, "max_position_embeddings", None) or max_length) - (
            2 if "roberta" in config.model_type else 0
        )
        if layers is None or 1 <= layers <= available:
            return build({} if layers is None else {"num_hidden_layers": layers}, min(max_length, positions))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"--encoder {source!r}: cannot be loaded ({str(error).splitlines()[0]}); give a Hugging Face id that this "
            "machine can reach, or a folder with config.json, model.safetensors and tokenizer"
        ) from None
    raise InputError(f"--layers: found {layers}; allowed: 1 to {available}, the layers of {source!r}")


def silence_libraries() -> None:
    """Turns off the libraries' log messages and progress bars (weights loaded, layers left out)."""
    logging.getLogger().setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped
    disable_progress_bars()


def check_output(settings: TextFitSettings) -> None:
    """Checks that nothing is overwritten: neither the output nor an interrupted run's checkpoints.

    Raises:
        InputError: Where the output exists, or checkpoints are there and the run is not resumed.
    """
    if settings.out.exists():
        raise InputError(f"--out {settings.out}: exists already; choose a new folder")
    if find_last_checkpoint(settings) and not settings.resume:
        raise InputError(
            f"{settings.checkpoints}: left by an interrupted run; go on from it with --resume, or remove it"
        )


def find_last_checkpoint(settings: TextFitSettings) -> str | None:
    """Returns the newest checkpoint's folder; None where there is none."""
    if not settings.checkpoints.exists():
        return None
    folder: str | None = get_last_checkpoint(str(settings.checkpoints))  # type: ignore[no-untyped-call]  # untyped
    return folder


def count_epochs(settings: TextFitSettings, rows: int, rows_per_step: int, least_steps: int) -> int:
    """Returns `settings.epochs`, or the fewest epochs that make the least number of steps."""
    return settings.epochs or math.ceil(least_steps / _count_steps(rows, _rows_in_process(rows, rows_per_step)))


def _rows_in_process(rows: int, rows_per_step: int) -> int:
    """Returns the rows of one step in each process; 1 or more, so that every process has a step."""
    return max(1, min(rows_per_step, rows) // count_processes())


def _count_steps(rows: int, in_process: int) -> int:
    """Returns the steps of one epoch."""
    return math.ceil(rows / (in_process * count_processes()))


def build_arguments(settings: TextFitSettings, rows: int, rows_per_step: int, kind: type[Any], **more: Any) -> Any:
    """Builds the library's training arguments.

    Args:
        settings: The settings.
        rows: Number of training rows.
        rows_per_step: Rows of one step, over all processes.
        kind: The library's class of arguments.
        more: Further arguments of that class.
    """
    in_process = _rows_in_process(rows, rows_per_step)
    epochs = settings.least_epochs
    steps = epochs * _count_steps(rows, in_process)
    interval = max(1, steps // EVALUATIONS)
    cuda, precision = torch.cuda.is_available(), choose_precision()
    return kind(
        output_dir=str(settings.checkpoints),
        num_train_epochs=epochs,
        per_device_train_batch_size=in_process,
        learning_rate=settings.learning_rate,
        warmup_steps=math.ceil(WARMUP * steps),
        weight_decay=WEIGHT_DECAY,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not cuda,
        ddp_backend=None if cuda or count_processes() == 1 else "gloo",
        ddp_find_unused_parameters=False,  # looking for them would miss those behind the library's own output type
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC}",
        greater_is_better=True,
        logging_steps=max(1, interval // 4),
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
        data_seed=settings.seed,
        **more,
    )


def run_training(
    trainer: Any, settings: TextFitSettings, advanced: ProgressCallback, least_steps: int = 0
) -> dict[str, Any]:
    """Trains, from the last checkpoint where there is one.

    Args:
        trainer: The library's trainer.
        settings: The settings.
        advanced: Called with the steps done and their total.
        least_steps: No early stopping before these steps or half of the training, whichever comes first.

    Returns:
        The attributes of `TextTrainingReport` that the run itself determines.
    """
    timer = _StepTimer(advanced)
    trainer.remove_callback(PrinterCallback)  # the report has what it prints
    trainer.add_callback(timer)
    trainer.add_callback(_EarlyStopping(least_steps))
    checkpoint = find_last_checkpoint(settings)
    resumed_from = int(Path(checkpoint).name.rsplit("-", 1)[-1]) if checkpoint else 0
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    state = trainer.state
    total_seconds = time.monotonic() - started
    return {
        "settings": {**asdict(settings), "out": str(settings.out)},
        "precision": choose_precision(),
        "processes": count_processes(),
        "steps": state.global_step,
        "best_step": state.best_global_step or state.global_step,
        "stopped_early": state.global_step < state.max_steps,
        "resumed_from": resumed_from,
        "seconds": round(timer.seconds, 2),
        "evaluation_seconds": round(total_seconds - timer.seconds, 2),
        "losses": [(entry["step"], round(entry["loss"], 5)) for entry in state.log_history if "loss" in entry],
        "validation": [
            (entry["step"], round(entry[f"eval_{METRIC}"], 5))
            for entry in state.log_history
            if f"eval_{METRIC}" in entry
        ],
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def save_model(
    trainer: Any, settings: TextFitSettings, save: Callable[[Path], None], report: TextTrainingReport
) -> None:
    """Writes the model and its report in one step, so that the folder is complete, and removes the checkpoints.

    Args:
        trainer: The library's trainer.
        settings: The settings.
        save: Writes the model to a folder.
        report: The report.
    """
    trainer.accelerator.wait_for_everyone()  # another process may still be reading the best checkpoint
    if not trainer.is_world_process_zero():
        return
    with partial_bundle(settings.out, force=False) as partial:
        save(partial)
        report.save(partial)
    shutil.rmtree(settings.checkpoints, ignore_errors=True)


class _EarlyStopping(EarlyStoppingCallback):
    """Stops training when evaluations no longer improve, but not before the least number of steps."""

    def __init__(self, least_steps: int) -> None:
        super().__init__(PATIENCE)
        self._least_steps = least_steps

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **more: Any) -> None:  # type: ignore[override]  # as the library's own
        if state.global_step >= min(self._least_steps, state.max_steps // 2):
            super().on_evaluate(args, state, control, metrics, **more)  # type: ignore[no-untyped-call]  # untyped


class _StepTimer(TrainerCallback):
    """Measures the seconds inside steps, and reports progress."""

    def __init__(self, advanced: ProgressCallback) -> None:
        self.seconds = 0.0
        self._advanced, self._started = advanced, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.seconds += time.monotonic() - self._started
        self._advanced(state.global_step, state.max_steps)
