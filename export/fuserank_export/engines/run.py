"""`fuserank export engines`: measures the engines that a target may run, and writes a bundle with those that pass."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import Stage, search_stages
from fuserank_ensemble.spec import ENGINE_KINDS, EngineKind, Target
from fuserank_export.checks import check_both
from fuserank_export.engines.candidates import FP32_FILE, PRECISIONS, Candidate, original, written
from fuserank_export.engines.measure import Measured, Measuring
from fuserank_export.engines.parity.adversarial import adversarial
from fuserank_export.engines.parity.gate import Parity, Precision
from fuserank_export.engines.parity.requests import RealRequest, drawn, judged
from fuserank_export.engines.parity.torch_encoder import open_torch_encoder
from fuserank_export.engines.report import machine, write_report
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt.build import Built, PlanSession, build, builder
from fuserank_export.engines.tensorrt.profiles import profiles
from fuserank_export.progress import Progress
from fuserank_export.repository.place import check_place
from fuserank_export.repository.successor import write_successor
from fuserank_export.sources import InputError
from fuserank_export.training.text.engine import export_text_tower
from fuserank_export.training.text.tower import load_replacement_tower

# An engine that is less than this faster than FP32 is not worth its differences.
WORTH = 1.05
TAUGHT_FILE = "model.taught.onnx"


@dataclass(frozen=True)
class EngineSettings:
    """What `fuserank export engines` was asked for.

    Attributes:
        bundle: The bundle whose engines are measured; it is not changed.
        out: The bundle to write.
        target: What is to be served with the engines; targets of one kind share them.
        precision: Of their matrix products; `auto` takes the fastest that passes.
        requests: How many requests are ranked.
        queries: Judged queries, instead of requests drawn from the bundle.
        judgements: Their judgements.
        text_tower: A text tower that was taught the bundle's own, to be measured in its place.
        report: The table, as JSON; a page is written beside it.
        cache: Where TensorRT's engines and timing cache are kept.
        dry_run: Check and measure, and for TensorRT say what would be built; write the report and no bundle.
        seed: Of the draw of requests.
        force: Replace what is at `out`.
    """

    bundle: Path
    out: Path
    target: Target
    precision: Precision | Literal["auto"]
    requests: int = 600
    queries: Path | None = None
    judgements: Path | None = None
    text_tower: str | None = None
    report: Path = Path("build/reports/parity.json")
    cache: Path = Path("build/engines")
    dry_run: bool = False
    seed: int = 13
    force: bool = False

    @property
    def kind(self) -> EngineKind:
        """What the engines are made for."""
        return ENGINE_KINDS[self.target]


def write_engines(settings: EngineSettings, progress: Progress) -> dict[str, Any]:
    """Measures, chooses, reports, and writes the new bundle.

    Returns:
        The new bundle's manifest; in a dry run the old one's.

    Raises:
        InputError: Where the settings do not go together, or the output's place is taken.
        EngineError: Where an engine cannot be made, or none passes the gate.
        BundleError: Where the bundle's parts do not belong together.
    """
    precisions = _precisions(settings)
    if not settings.dry_run:
        check_place(settings.out, settings.force)
        if settings.kind == "tensorrt":
            builder()  # before minutes of measuring
    with progress.step("verifying the bundle"):
        bundle = Bundle.open(settings.bundle)
    stages = [stage for stage in search_stages(bundle.spec) if stage.kind == "engine"]
    fp32 = {stage.name: original(bundle, stage) for stage in stages}
    requests = _requests(bundle, settings)
    with progress.step("answering the requests in fp32", None):
        reference = open_torch_encoder(bundle)
        measuring = Measuring(bundle, requests, settings.kind, reference)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.out.parent, prefix=".engines-") as folder:
        sources = list(fp32.values())
        if settings.text_tower:
            sources.append(_taught(bundle, settings.text_tower, Path(folder)))
        table: list[Measured] = []
        for source in sources:
            name = source.stage.name
            for precision in precisions:
                with progress.step(f"{name} in {precision}, {source.method}"):
                    found = _candidates(bundle, source, precision, settings, Path(folder), measuring, progress)
                    table += [measuring.measured(fp32[name], each) for each in found]
                if not found and precision != "fp32":
                    progress.note(f"{name}, {source.method}: nothing to gain in {precision}; stays in fp32")
                    table += [measuring.measured(fp32[name], source)] if len(precisions) == 1 else []
        about = {
            "reference": "FP32 torch" if reference else "the FP32 ONNX file; the encoder's weights are not here",
            "requests": len(requests),
        }
        rows = [each.parity for each in table]
        try:
            chosen = {stage.name: _chosen(stage, table, settings, measuring) for stage in stages}
            together = measuring.together(chosen)
            rows.append(together)
            _refuse(together)
        finally:
            write_report(settings.report, bundle.id, about, [row.to_dict() for row in rows])
        plans: dict[str, Built] = {}
        if settings.kind == "tensorrt":
            for stage in stages:
                for profile in profiles(bundle.spec, stage):
                    progress.note(f"{stage.name}, profile {profile.bucket}: {profile.least} to {profile.most}")
        if settings.dry_run:
            return bundle.manifest
        if settings.kind == "tensorrt":
            plans, built = _built(bundle, settings, chosen, fp32, measuring, progress)
            rows += built
        manifest = _written(bundle, settings, chosen, plans, about, rows)
        write_report(settings.report, bundle.id, about, [row.to_dict() for row in rows])
        return manifest


def _built(
    bundle: Bundle,
    settings: EngineSettings,
    chosen: Mapping[str, Measured],
    fp32: Mapping[str, Candidate],
    measuring: Measuring,
    progress: Progress,
) -> tuple[dict[str, Built], list[Parity]]:
    """Builds TensorRT's engines of the chosen files, and holds them to the gate too.

    Raises:
        EngineError: Where one cannot be built, or does not pass.
    """
    plans, rows = {}, []
    for name, each in chosen.items():
        mine = profiles(bundle.spec, each.candidate.stage)
        with progress.step(f"building {name} with TensorRT"):
            plans[name] = build(each.candidate.path, mine, settings.cache)
        session = PlanSession(plans[name].path, mine, bundle.spec.max_batch)
        onnx, plan = each.candidate, plans[name]
        candidate = replace(onnx, method="TensorRT", path=plan.path, file=plan.file, built_from=onnx.path)
        rows.append(measuring.measured(fp32[name], candidate, session).parity)
        _refuse(rows[-1])
    return plans, rows


def _precisions(settings: EngineSettings) -> Sequence[Precision]:
    allowed = PRECISIONS[settings.kind]
    if settings.precision == "auto":
        return allowed
    if settings.precision not in allowed:
        raise InputError(
            f"--precision {settings.precision} with --target {settings.target}: a CPU has no half-precision kernels, a "
            f"GPU none for these 8 bits; allowed: auto, {', '.join(allowed)}"
        )
    return (settings.precision,)


def _requests(bundle: Bundle, settings: EngineSettings) -> list[RealRequest]:
    check_both(settings.queries, settings.judgements)
    if settings.queries is not None and settings.judgements is not None:
        return judged(bundle, settings.queries, settings.judgements)[: settings.requests]
    return drawn(bundle, settings.requests, settings.seed)


def _taught(bundle: Bundle, source: str, folder: Path) -> Candidate:
    """Returns another text tower in FP32, which was taught the scores of the bundle's own."""
    tower = load_replacement_tower(bundle, source).tower
    path = folder / TAUGHT_FILE
    export_text_tower(tower, bundle.spec, path)
    count = tower.model.config.num_hidden_layers
    stage = next(stage for stage in search_stages(bundle.spec) if stage.name == "text_tower")
    return Candidate(stage, "fp32", f"{count} layer{'s' * (count > 1)}", path, TAUGHT_FILE, taught=True)


def _candidates(
    bundle: Bundle,
    fp32: Candidate,
    precision: Precision,
    settings: EngineSettings,
    folder: Path,
    measuring: Measuring,
    progress: Progress,
) -> list[Candidate]:
    """The engines of a precision; none, with a note, where `auto` may do without it."""
    vocabulary = Tokenizer.from_file(str(bundle.tokenizer)).get_vocab_size()
    odd = adversarial(bundle.spec, fp32.stage, vocabulary, settings.seed)
    try:
        return written(fp32, precision, settings.kind, folder, measuring.feeds[fp32.stage.name], odd)
    except EngineError as error:
        if settings.precision != "auto" or precision == "fp32":
            raise
        progress.note(str(error))
        return []


def _chosen(stage: Stage, table: Sequence[Measured], settings: EngineSettings, measuring: Measuring) -> Measured:
    """The fastest of a stage's engines that passes; of those not measured the most exact but for what was asked.

    Raises:
        EngineError: Where none passes.
    """
    mine = [each for each in table if each.candidate.stage.name == stage.name]
    passing = [each for each in mine if each.parity.passes]
    if not passing:
        for each in mine:
            _refuse(each.parity)
    if settings.precision == "auto" and settings.kind != "cpu" and not measuring.on_gpu:
        raise EngineError(
            f"--precision auto with --target {settings.target}: found no GPU to measure on; run it on the machine that "
            "will serve, or name a precision"
        )
    fastest = max(passing, key=lambda each: each.parity.speedup_vs_fp32 or 0.0)
    exact = next((each for each in passing if each.candidate.precision == "fp32"), fastest)
    return fastest if (fastest.parity.speedup_vs_fp32 or WORTH) >= WORTH else exact


def _refuse(row: Parity) -> None:
    """Raises an EngineError for an engine that does not pass the gate."""
    if not row.passes:
        raise EngineError(
            f"{row.engine} in {row.precision} ({row.method}) does not pass the gate: {'; '.join(row.problems)}. "
            "Use another --precision"
        )


def _written(
    bundle: Bundle,
    settings: EngineSettings,
    chosen: Mapping[str, Measured],
    plans: Mapping[str, Built],
    about: Mapping[str, Any],
    rows: Sequence[Parity],
) -> dict[str, Any]:
    """Writes the new bundle: the chosen engines, configurations that name them, and the table in the manifest."""
    files = {name: plans[name].file if name in plans else each.candidate.file for name, each in chosen.items()}
    added = {
        f"model_repository/{name}/1/{each.candidate.file}": each.candidate.path
        for name, each in chosen.items()
        if each.candidate.file != FP32_FILE
    }
    added |= {f"model_repository/{name}/1/{plan.file}": plan.path for name, plan in plans.items()}
    measured = dict(bundle.manifest.get("engines", {}))
    measured[settings.kind] = {
        **about,
        "machine": machine(),
        "asked": settings.precision,
        "chosen": files,
        "keys": {name: plan.key.to_dict() for name, plan in plans.items()},
        "measured": [row.to_dict() for row in rows],
    }
    changes = {"engines": measured, **_costs(bundle, settings.kind, chosen)}
    return write_successor(bundle, settings.out, added=added, changes=changes, force=settings.force)


def _costs(bundle: Bundle, kind: EngineKind, chosen: Mapping[str, Measured]) -> dict[str, Any]:
    """Returns what ranker and text tower cost on this machine, by which a request with a deadline gets less."""
    if kind != "cpu":
        return {}
    costs = {"ranker_ms": chosen["ranker"], "text_tower_ms": chosen.get("text_tower")}
    return {name: dict(each.parity.milliseconds) for name, each in costs.items() if each and each.parity.milliseconds}
