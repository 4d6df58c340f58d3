"""The engines that a precision can mean: written from the FP32 file, and checked before they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import Stage
from fuserank_ensemble.spec import EngineKind
from fuserank_export.engines.parity.adversarial import Feed
from fuserank_export.engines.parity.gate import LARGEST_ERROR, Precision
from fuserank_export.engines.parity.layers import disagreements, told
from fuserank_export.engines.precision import wide_products, write_fp16, write_int8, write_int8_static
from fuserank_export.engines.soundness import EngineError, check_tensorrt, checked

# What a kind of engine runs fast: a CPU has no half-precision kernels, TensorRT and CUDA no dynamic 8-bit ones.
PRECISIONS: Mapping[EngineKind, tuple[Precision, ...]] = {
    "cpu": ("fp32", "int8"),
    "cuda": ("fp32", "fp16"),
    "tensorrt": ("fp32", "fp16"),
}
FP32_FILE = "model.onnx"


@dataclass(frozen=True)
class Candidate:
    """One engine that may be chosen.

    Attributes:
        stage: What it is the engine of.
        precision: Of its matrix products.
        method: How it was made.
        path: Its file.
        file: The file's name in a bundle.
        built_from: The ONNX file of an engine that is none itself.
        taught: Whether it is a text tower that was taught the bundle's own scores.
    """

    stage: Stage
    precision: Precision
    method: str
    path: Path
    file: str
    built_from: Path | None = None
    taught: bool = False

    @property
    def largest_error(self) -> float:
        """How far its tensors may be from FP32's, relative to their norm; of a taught tower only its ranking counts."""
        return float("inf") if self.taught else LARGEST_ERROR[self.precision]

    @property
    def onnx(self) -> Path:
        """The graph that says what is computed."""
        return self.built_from or self.path


def original(bundle: Bundle, stage: Stage) -> Candidate:
    """The FP32 engine that everything is made from.

    Raises:
        EngineError: Where it is not sound; see `fuserank_export.engines.soundness.checked`.
    """
    path = bundle.repository / stage.name / "1" / FP32_FILE
    checked(path, stage)
    return Candidate(stage, "fp32", "as exported", path, FP32_FILE)


def written(
    fp32: Candidate, precision: Precision, kind: EngineKind, folder: Path, real: Sequence[Feed], odd: Mapping[str, Feed]
) -> list[Candidate]:
    """Writes the engines of a precision.

    Args:
        fp32: What they are made from.
        precision: The precision.
        kind: What they are made for.
        folder: Where to write.
        real: Inputs of real requests, by which ranges of 8 bits are set.
        odd: Inputs that must not overflow, see `fuserank_export.engines.parity.adversarial`.

    Returns:
        The engines; none where there is nothing that the precision could change.

    Raises:
        EngineError: Where one overflows, or TensorRT lacks one of its operators.
    """
    stage = fp32.stage
    as_exported = fp32.file == FP32_FILE
    name, of = f"{stage.name}.{fp32.path.stem}", "" if as_exported else f", {fp32.method}"
    if precision == "fp32":
        found = [fp32]
    elif precision == "fp16":
        path = folder / f"{name}.fp16.onnx"
        write_fp16(fp32.path, path)
        found = [Candidate(stage, "fp16", f"norms and sums in fp32{of}", path, "model.fp16.onnx")]
        check_overflow(fp32.path, path, odd)
    elif not wide_products(checked(fp32.path, stage).graph):
        return []
    else:
        dynamic, static = folder / f"{name}.int8.onnx", folder / f"{name}.int8.static.onnx"
        write_int8(fp32.path, dynamic)
        write_int8_static(fp32.path, static, real)
        found = [
            Candidate(stage, "int8", f"dynamic{of}", dynamic, "model.int8.onnx"),
            Candidate(stage, "int8", f"static{of}", static, "model.int8.static.onnx"),
        ]
    found = [replace(each, taught=fp32.taught) for each in found]
    for each in found:
        checked(each.path, stage)
        if kind == "tensorrt":
            check_tensorrt(each.path)
    return found


def check_overflow(reference: Path, engine: Path, odd: Mapping[str, Feed]) -> None:
    """Runs inputs at the ends of what is possible through every layer, really rounding.

    Raises:
        EngineError: Naming the input and the layers where FP32 has a number and the engine none.
    """
    for name, feed in odd.items():
        layers = [each for each in disagreements(reference, engine, feed) if each.error == float("inf")]
        if layers:
            raise EngineError(
                f"{engine.name}: overflows in half precision on {name}: {told(layers, 0.0)}; keep those operators in "
                "fp32 (KEPT_IN_FP32 in export/fuserank_export/engines/precision.py), or use --precision fp32"
            )
