"""Writes the engines of a precision from the FP32 file, and checks them before they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import Stage
from fuserank_ensemble.spec import EngineKind
from fuserank_export.engines.parity.adversarial import Feed
from fuserank_export.engines.parity.gate import MAX_ERROR, Precision
from fuserank_export.engines.parity.layers import compare_layers, describe_layers
from fuserank_export.engines.precision import find_wide_products, write_fp16, write_int8, write_int8_static
from fuserank_export.engines.soundness import EngineError, load_checked
from fuserank_export.engines.tensorrt.parser import check_tensorrt

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
        stage: The stage whose engine it is.
        precision: Precision of its matrix products.
        method: How it was made.
        path: Its file.
        file: The file's name in a bundle.
        built_from: The ONNX file of an engine that is not ONNX itself.
        distilled: Whether it is a text tower that was trained on the scores of the bundle's own.
    """

    stage: Stage
    precision: Precision
    method: str
    path: Path
    file: str
    built_from: Path | None = None
    distilled: bool = False

    @property
    def max_error(self) -> float:
        """Largest allowed relative error of its outputs; infinite for a distilled tower, whose ranking alone counts."""
        return float("inf") if self.distilled else MAX_ERROR[self.precision]

    @property
    def onnx(self) -> Path:
        """The ONNX file of the engine, or of what it was built from."""
        return self.built_from or self.path


def open_fp32(bundle: Bundle, stage: Stage) -> Candidate:
    """Opens a stage's FP32 engine, from which the others are made.

    Raises:
        EngineError: Where its file is not valid; see `fuserank_export.engines.soundness.load_checked`.
    """
    path = bundle.repository / stage.name / "1" / FP32_FILE
    load_checked(path, stage)
    return Candidate(stage, "fp32", "as exported", path, FP32_FILE)


def write_candidates(
    fp32: Candidate, precision: Precision, kind: EngineKind, folder: Path, real: Sequence[Feed], odd: Mapping[str, Feed]
) -> list[Candidate]:
    """Writes the engines of a precision.

    Args:
        fp32: The FP32 engine they are made from.
        precision: The precision.
        kind: The kind of engine they are made for.
        folder: Where to write.
        real: Inputs of real requests, which set the ranges of static 8-bit activations.
        odd: Inputs that must not overflow, see `fuserank_export.engines.parity.adversarial`.

    Returns:
        The engines; none where the precision changes nothing.

    Raises:
        EngineError: Where one overflows, or TensorRT lacks one of its operators.
    """
    stage = fp32.stage
    as_exported = fp32.file == FP32_FILE
    name, suffix = f"{stage.name}.{fp32.path.stem}", "" if as_exported else f", {fp32.method}"
    if precision == "fp32":
        engines = [fp32]
    elif precision == "fp16":
        path = folder / f"{name}.fp16.onnx"
        write_fp16(fp32.path, path)
        engines = [Candidate(stage, "fp16", f"norms and sums in fp32{suffix}", path, "model.fp16.onnx")]
        check_overflow(fp32.path, path, odd)
    elif not find_wide_products(load_checked(fp32.path, stage).graph):
        return []
    else:
        dynamic, static = folder / f"{name}.int8.onnx", folder / f"{name}.int8.static.onnx"
        write_int8(fp32.path, dynamic)
        write_int8_static(fp32.path, static, real)
        engines = [
            Candidate(stage, "int8", f"dynamic{suffix}", dynamic, "model.int8.onnx"),
            Candidate(stage, "int8", f"static{suffix}", static, "model.int8.static.onnx"),
        ]
    engines = [replace(engine, distilled=fp32.distilled) for engine in engines]
    for engine in engines:
        load_checked(engine.path, stage)
        if kind == "tensorrt":
            check_tensorrt(engine.path)
    return engines


def check_overflow(reference: Path, engine: Path, odd: Mapping[str, Feed]) -> None:
    """Runs inputs at the limits of their ranges through every layer, rounding each value to half precision.

    Args:
        reference: The FP32 file.
        engine: The FP16 file made from it.
        odd: Inputs by what is odd about them.

    Raises:
        EngineError: Where a layer overflows; the message names the input and the layers.
    """
    for name, feed in odd.items():
        layers = [layer for layer in compare_layers(reference, engine, feed) if layer.error == float("inf")]
        if layers:
            raise EngineError(
                f"{engine.name}: overflows in half precision on {name}: {describe_layers(layers, 0.0)}; keep those "
                "operators in fp32 (FP32_OPERATORS in export/fuserank_export/engines/precision.py), or use "
                "--precision fp32"
            )
