"""Measures the engines that a target may run, and writes a bundle with the fastest that pass the gate."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import QUERY_ENCODER, Stage, engine_stages, search_stages
from fuserank_ensemble.spec import ENGINE_KINDS, EngineKind, Target
from fuserank_export.checks import check_both
from fuserank_export.engines.candidates import FP32_FILE, PRECISIONS, Candidate, open_fp32, write_candidates
from fuserank_export.engines.measure import ComparedEngine, EngineComparison, runs_on_gpu
from fuserank_export.engines.parity.adversarial import make_adversarial_feeds
from fuserank_export.engines.parity.gate import Parity, Precision
from fuserank_export.engines.parity.requests import RealRequest, draw_requests, read_judged_requests
from fuserank_export.engines.parity.torch_encoder import open_torch_encoder
from fuserank_export.engines.report import describe_machine, write_report
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt.build import BuiltEngine, PlanSession, build, require_builder
from fuserank_export.engines.tensorrt.parser import require_parser
from fuserank_export.engines.tensorrt.profiles import make_profiles
from fuserank_export.progress import Progress
from fuserank_export.repository.place import check_place
from fuserank_export.repository.successor import write_successor
from fuserank_export.sources import InputError
from fuserank_export.training.text.engine import export_text_tower
from fuserank_export.training.text.tower import load_replacement_tower

MIN_SPEEDUP = 1.05  # over FP32; an engine that gains less is not taken
DISTILLED_FILE = "model.distilled.onnx"


@dataclass(frozen=True)
class EngineSettings:
    """Settings of `fuserank export engines`.

    Attributes:
        bundle: The bundle whose engines are measured; it is not changed.
        out: The bundle to write.
        target: The target that will run the engines; targets of one kind share them.
        precision: Precision of their matrix products; `auto` takes the fastest that passes.
        requests: How many requests are ranked.
        queries: File of judged queries, in place of requests drawn from the bundle.
        judgements: File of their relevance judgements.
        text_tower: A text tower that was distilled from the bundle's own, to be measured in its place.
        report: The report's JSON file; a page is written beside it.
        cache: Where TensorRT's engines and timing cache are kept.
        dry_run: Whether to write the report only, and for TensorRT list what would be built.
        seed: Seed of the draw of requests.
        force: Whether to replace what is at `out`.
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
        """The kind of engine that the target runs."""
        return ENGINE_KINDS[self.target]


def write_engines(settings: EngineSettings, progress: Progress) -> dict[str, Any]:
    """Measures the engines, chooses one for each stage, and writes the report and the new bundle.

    Returns:
        The new bundle's manifest; in a dry run the old one's.

    Raises:
        InputError: Where settings contradict each other, or the output exists.
        EngineError: Where an engine cannot be made, or none passes the gate.
        BundleError: Where the bundle's parts do not belong together.
    """
    precisions = _list_precisions(settings)
    if not settings.dry_run:
        check_place(settings.out, settings.force)
    _check_machine(settings)
    with progress.step("verifying the bundle"):
        opened = Bundle.open(settings.bundle)
    # A small query encoder stays as it is: the engines are compared in the graph that it was held to.
    bundle = replace(opened, spec=replace(opened.spec, query_encoder="full"))
    stages = engine_stages(bundle.spec)
    fp32 = {stage.name: open_fp32(bundle, stage) for stage in stages}
    requests = _read_requests(bundle, settings)
    with progress.step("answering the requests in fp32", None):
        reference = open_torch_encoder(bundle)
        comparison = EngineComparison(bundle, requests, settings.kind, reference)
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.out.parent, prefix=".engines-") as folder:
        sources = list(fp32.values())
        if settings.text_tower:
            sources.append(_export_distilled_tower(bundle, settings.text_tower, Path(folder)))
        compared: list[ComparedEngine] = []
        for source in sources:
            name = source.stage.name
            for precision in precisions:
                with progress.step(f"{name} in {precision}, {source.method}"):
                    candidates = _write_candidates(
                        bundle, source, precision, settings, Path(folder), comparison, progress
                    )
                    compared += [comparison.compare(fp32[name], candidate) for candidate in candidates]
                if not candidates and precision != "fp32":
                    progress.note(f"{name}, {source.method}: nothing to gain in {precision}; stays in fp32")
                    compared += [comparison.compare(fp32[name], source)] if len(precisions) == 1 else []
        about = {
            "reference": "FP32 torch" if reference else "the FP32 ONNX file; the encoder's weights are not here",
            "requests": len(requests),
        }
        rows = [engine.parity for engine in compared]
        try:
            chosen = {stage.name: _choose(stage, compared) for stage in stages}
            together = comparison.compare_together(chosen)
            rows.append(together)
            _check_passes(together)
        finally:
            write_report(settings.report, bundle.id, about, [row.to_dict() for row in rows])
        plans: dict[str, BuiltEngine] = {}
        if settings.kind == "tensorrt":
            for stage in stages:
                for profile in make_profiles(bundle.spec, stage):
                    progress.note(f"{stage.name}, profile {profile.bucket}: {profile.least} to {profile.most}")
        if settings.dry_run:
            return opened.manifest
        if settings.kind == "tensorrt":
            plans, plan_rows = _build_plans(bundle, settings, chosen, fp32, comparison, progress)
            rows += plan_rows
        manifest = _write_bundle(opened, settings, chosen, plans, about, rows)
        write_report(settings.report, bundle.id, about, [row.to_dict() for row in rows])
        return manifest


def _build_plans(
    bundle: Bundle,
    settings: EngineSettings,
    chosen: Mapping[str, ComparedEngine],
    fp32: Mapping[str, Candidate],
    comparison: EngineComparison,
    progress: Progress,
) -> tuple[dict[str, BuiltEngine], list[Parity]]:
    """Builds TensorRT engines of the chosen files, and compares them with FP32.

    Raises:
        EngineError: Where one cannot be built, or does not pass.
    """
    plans, rows = {}, []
    for name, engine in chosen.items():
        profiles = make_profiles(bundle.spec, engine.candidate.stage)
        with progress.step(f"building {name} with TensorRT"):
            plans[name] = build(engine.candidate.path, profiles, settings.cache)
        session = PlanSession(plans[name].path, profiles, bundle.spec.max_batch)
        onnx, plan = engine.candidate, plans[name]
        candidate = replace(onnx, method="TensorRT", path=plan.path, file=plan.file, built_from=onnx.path)
        rows.append(comparison.compare(fp32[name], candidate, session).parity)
        _check_passes(rows[-1])
    return plans, rows


def _list_precisions(settings: EngineSettings) -> Sequence[Precision]:
    """Returns the precisions to measure; refuses one that the target cannot run."""
    allowed = PRECISIONS[settings.kind]
    if settings.precision == "auto":
        return allowed
    if settings.precision not in allowed:
        raise InputError(
            f"--precision {settings.precision} with --target {settings.target}: a CPU has no half-precision kernels, a "
            f"GPU none for these 8 bits; allowed: auto, {', '.join(allowed)}"
        )
    return (settings.precision,)


def _check_machine(settings: EngineSettings) -> None:
    """Refuses what this machine lacks, before minutes of measuring.

    Raises:
        EngineError: Where TensorRT is missing, or a GPU to choose a precision by.
    """
    if settings.precision == "auto" and settings.kind != "cpu" and not runs_on_gpu(settings.kind):
        raise EngineError(
            f"--precision auto with --target {settings.target}: found no GPU to measure on; run it on the machine that "
            "will serve, or name a precision"
        )
    if settings.kind == "tensorrt":
        _ = require_parser() if settings.dry_run else require_builder()


def _read_requests(bundle: Bundle, settings: EngineSettings) -> list[RealRequest]:
    check_both(settings.queries, settings.judgements)
    if settings.queries is not None and settings.judgements is not None:
        return read_judged_requests(bundle, settings.queries, settings.judgements)[: settings.requests]
    return draw_requests(bundle, settings.requests, settings.seed)


def _export_distilled_tower(bundle: Bundle, source: str, folder: Path) -> Candidate:
    """Exports a text tower in FP32 that was distilled from the bundle's own."""
    tower = load_replacement_tower(bundle, source).tower
    path = folder / DISTILLED_FILE
    export_text_tower(tower, bundle.spec, path)
    count = tower.model.config.num_hidden_layers
    stage = next(stage for stage in search_stages(bundle.spec) if stage.name == "text_tower")
    return Candidate(stage, "fp32", f"{count} layer{'s' * (count > 1)}", path, DISTILLED_FILE, distilled=True)


def _write_candidates(
    bundle: Bundle,
    fp32: Candidate,
    precision: Precision,
    settings: EngineSettings,
    folder: Path,
    comparison: EngineComparison,
    progress: Progress,
) -> list[Candidate]:
    """Writes the engines of a precision; returns none, with a note, where `auto` can do without them."""
    vocabulary = Tokenizer.from_file(str(bundle.tokenizer)).get_vocab_size()
    odd = make_adversarial_feeds(bundle.spec, fp32.stage, vocabulary, settings.seed)
    try:
        return write_candidates(fp32, precision, settings.kind, folder, comparison.feeds[fp32.stage.name], odd)
    except EngineError as error:
        if settings.precision != "auto" or precision == "fp32":
            raise
        progress.note(str(error))
        return []


def _choose(stage: Stage, compared: Sequence[ComparedEngine]) -> ComparedEngine:
    """Returns the fastest of a stage's engines that pass, or FP32 where none is faster by `MIN_SPEEDUP`.

    Raises:
        EngineError: Where none passes.
    """
    of_stage = [engine for engine in compared if engine.candidate.stage.name == stage.name]
    passing = [engine for engine in of_stage if engine.parity.passes]
    if not passing:
        for engine in of_stage:
            _check_passes(engine.parity)
    fastest = max(passing, key=lambda engine: engine.parity.speedup_vs_fp32 or 0.0)
    fp32 = next((engine for engine in passing if engine.candidate.precision == "fp32"), fastest)
    return fastest if (fastest.parity.speedup_vs_fp32 or MIN_SPEEDUP) >= MIN_SPEEDUP else fp32


def _check_passes(row: Parity) -> None:
    """Raises an EngineError for an engine that does not pass the gate."""
    if not row.passes:
        raise EngineError(
            f"{row.engine} in {row.precision} ({row.method}) does not pass the gate: {'; '.join(row.problems)}. "
            "Use another --precision"
        )


def _write_bundle(
    bundle: Bundle,
    settings: EngineSettings,
    chosen: Mapping[str, ComparedEngine],
    plans: Mapping[str, BuiltEngine],
    about: Mapping[str, Any],
    rows: Sequence[Parity],
) -> dict[str, Any]:
    """Writes the new bundle: the chosen engines, configurations that name them, and the rows in the manifest."""
    files = {name: plans[name].file if name in plans else engine.candidate.file for name, engine in chosen.items()}
    added = {
        f"model_repository/{name}/1/{engine.candidate.file}": engine.candidate.path
        for name, engine in chosen.items()
        if engine.candidate.file != FP32_FILE
    }
    added |= {f"model_repository/{name}/1/{plan.file}": plan.path for name, plan in plans.items()}
    if bundle.spec.query_encoder != "full":
        files[QUERY_ENCODER] = FP32_FILE
    engines = dict(bundle.manifest.get("engines", {}))
    engines[settings.kind] = {
        **about,
        "machine": describe_machine(),
        "asked": settings.precision,
        "chosen": files,
        "keys": {name: plan.key.to_dict() for name, plan in plans.items()},
        "measured": [row.to_dict() for row in rows],
    }
    changes = {"engines": engines, **_measured_costs(bundle, settings.kind, chosen)}
    return write_successor(bundle, settings.out, added=added, changes=changes, force=settings.force)


def _measured_costs(bundle: Bundle, kind: EngineKind, chosen: Mapping[str, ComparedEngine]) -> dict[str, Any]:
    """Returns the milliseconds of ranker and text tower by bucket, with which serving keeps deadlines; CPU only."""
    if kind != "cpu":
        return {}
    costs = {"ranker_ms": chosen["ranker"], "text_tower_ms": chosen.get("text_tower")}
    return {
        name: dict(engine.parity.milliseconds)
        for name, engine in costs.items()
        if engine and engine.parity.milliseconds
    }
