"""Builds TensorRT engines with Polygraphy and runs them: strongly typed, for TensorRT 10.12 and newer, 11 included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import sha256
from fuserank_ensemble.serving.engines import EngineKey, Machine
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt.profiles import Profile, digest

PLAN = "model.plan"
TIMINGS = "timing.cache"


@dataclass(frozen=True)
class Built:
    """An engine in the cache."""

    path: Path
    key: EngineKey
    file: str = PLAN


def engine_key(onnx: Path, each: Sequence[Profile], machine: Machine) -> EngineKey:
    """The key of what would be built here."""
    return EngineKey(machine.compute_capability, machine.tensorrt, sha256(onnx), digest(each))


def builder() -> Machine:
    """This machine, where it can build engines.

    Raises:
        EngineError: Where there is no TensorRT, no Polygraphy or no GPU.
    """
    for package in ("tensorrt", "polygraphy"):
        try:
            __import__(package)
        except ImportError:
            raise EngineError(
                f"{package}: not installed; run: pip install 'fuserank[tensorrt]', with the TensorRT of the Triton "
                "that will serve, see docs/engines-and-gpu.md; or look with --dry-run"
            ) from None
    machine = Machine.here()
    if not machine.compute_capability or not machine.tensorrt:
        lacks = "NVIDIA GPU (nvidia-smi)" if not machine.compute_capability else "TensorRT (libnvinfer)"
        raise EngineError(
            f"--target ensemble_tensorrt: found no {lacks}; run this on the machine that will serve, see "
            "docs/engines-and-gpu.md; or serve with --target ensemble_cuda, or look with --dry-run"
        )
    return machine


def build(onnx: Path, each: Sequence[Profile], cache: Path) -> Built:
    """Builds an engine, or finds it in the cache.

    Args:
        onnx: The ONNX file, whose types are the engine's.
        each: The engine's profiles.
        cache: Folder of engines by key, and of the timings that make the next build quick.

    Raises:
        EngineError: Where this machine cannot build, see `builder`, or TensorRT refuses the file.
    """
    machine = builder()
    key = engine_key(onnx, each, machine)
    path = cache / key.folder / PLAN
    if not path.is_file():
        plan = _plan(onnx, each, cache / f"trt{machine.tensorrt}-sm{machine.compute_capability}.{TIMINGS}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(plan)
        partial.rename(path)
    return Built(path, key)


def _plan(onnx: Path, each: Sequence[Profile], timings: Path) -> bytes:
    """Builds; the timing cache is read where there is one, and written."""
    import tensorrt  # noqa: PLC0415  an extra, and only where there is a GPU
    from polygraphy.backend import trt  # noqa: PLC0415
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    def keep_nan(builder: object, network: object, config: Any) -> None:
        # A feature that is missing is NaN: TensorRT may else take x == x for always true.
        del builder, network
        config.set_flag(tensorrt.BuilderFlag.STRICT_NANS)

    timings.parent.mkdir(parents=True, exist_ok=True)
    config = trt.CreateConfig(
        profiles=polygraphy_profiles(each), load_timing_cache=str(timings) if timings.is_file() else None
    )
    try:
        # From TensorRT 11 on every network is strongly typed, and the flag says nothing new.
        network = trt.NetworkFromOnnxPath(str(onnx), strongly_typed=True)
        made = trt.EngineBytesFromNetwork(
            network, config=trt.PostprocessConfig(config, keep_nan), save_timing_cache=str(timings)
        )()
    except PolygraphyException as error:
        raise EngineError(
            f"{onnx}: TensorRT {tensorrt.__version__} cannot build it ({str(error).strip().splitlines()[0]}); serve "
            "with --target ensemble_cuda"
        ) from None
    return bytes(made)


def polygraphy_profiles(each: Sequence[Profile]) -> list[Any]:
    """The profiles as Polygraphy takes them."""
    from polygraphy.backend.trt import Profile as Shapes  # noqa: PLC0415  an extra

    out = []
    for profile in each:
        shapes = Shapes()
        for name, least in profile.least.items():
            shapes.add(name, min=least, opt=profile.typical[name], max=profile.most[name])
        out.append(shapes)
    return out


class PlanSession:
    """Runs an engine; called as an ONNX Runtime session is."""

    def __init__(self, path: Path, each: Sequence[Profile], batch: int) -> None:
        """Loads an engine.

        Args:
            path: The engine.
            each: The profiles it was built with.
            batch: Rows of its largest batch; a larger one is split.

        Raises:
            EngineError: Where the file is cut, or another TensorRT's or GPU's.
        """
        from polygraphy.backend.common import BytesFromPath  # noqa: PLC0415  an extra
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415
        from polygraphy.exception import PolygraphyException  # noqa: PLC0415

        self._profiles, self._batch = tuple(each), batch
        try:
            self._runner = TrtRunner(EngineFromBytes(BytesFromPath(str(path))))
            self._runner.activate()
        except PolygraphyException as error:
            raise EngineError(
                f"{path}: TensorRT cannot load it ({str(error).strip().splitlines()[0]}); it is cut, or was built by "
                "another TensorRT or for another GPU: remove it and build it again"
            ) from None

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs by their order; a batch beyond the profile's is split."""
        rows = len(next(iter(feeds.values())))
        parts = []
        for start in range(0, rows, self._batch):
            feed = {name: value[start : start + self._batch] for name, value in feeds.items()}
            self._runner.set_profile(profile_of(self._profiles, feed))
            found = self._runner.infer(feed)
            parts.append([np.array(found[name]) for name in outputs])  # copies: the runner reuses its buffers
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def profile_of(each: Sequence[Profile], feed: Mapping[str, NDArray[Any]]) -> int:
    """Number of the profile that takes these inputs.

    Raises:
        EngineError: Where none does.
    """
    for number, profile in enumerate(each):
        if profile.takes(feed):
            return number
    shapes = {name: value.shape for name, value in feed.items()}
    raise EngineError(f"inputs {shapes} fit no profile of {', '.join(profile.bucket for profile in each)}; pad them")
