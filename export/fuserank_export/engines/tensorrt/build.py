"""Builds strongly typed TensorRT engines with Polygraphy and runs them, with TensorRT 10.12 and newer, 11 included."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fuserank_ensemble.bundle import sha256
from fuserank_ensemble.serving.engines import EngineKey, Machine
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt.profiles import Profile, hash_profiles
from fuserank_export.files import write_atomically

PLAN = "model.plan"
TIMINGS = "timing.cache"


@dataclass(frozen=True)
class BuiltEngine:
    """An engine in the cache.

    Attributes:
        path: Its file.
        key: What it was built from and for.
        file: Its name in a bundle.
    """

    path: Path
    key: EngineKey
    file: str = PLAN


def make_engine_key(onnx: Path, profiles: Sequence[Profile], machine: Machine) -> EngineKey:
    """Returns the key of an engine that is built of an ONNX file on a machine."""
    return EngineKey(machine.compute_capability, machine.tensorrt, sha256(onnx), hash_profiles(profiles))


def require_builder() -> Machine:
    """Returns this machine's description where it can build engines.

    Raises:
        EngineError: Where TensorRT, Polygraphy or a GPU is missing.
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
        missing = "NVIDIA GPU (nvidia-smi)" if not machine.compute_capability else "TensorRT (libnvinfer)"
        raise EngineError(
            f"--target ensemble_tensorrt: found no {missing}; run this on the machine that will serve, see "
            "docs/engines-and-gpu.md; or serve with --target ensemble_cuda, or look with --dry-run"
        )
    return machine


def build(onnx: Path, profiles: Sequence[Profile], cache: Path) -> BuiltEngine:
    """Builds an engine, or takes it from the cache.

    Args:
        onnx: The ONNX file, whose types are the engine's.
        profiles: The engine's profiles.
        cache: Folder of engines by key, and of timings that make the next build faster.

    Raises:
        EngineError: Where this machine cannot build, see `require_builder`, or TensorRT refuses the file.
    """
    machine = require_builder()
    key = make_engine_key(onnx, profiles, machine)
    path = cache / key.folder / PLAN
    if not path.is_file():
        plan = _plan(onnx, profiles, cache / f"trt{machine.tensorrt}-sm{machine.compute_capability}.{TIMINGS}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, plan)
    return BuiltEngine(path, key)


def _plan(onnx: Path, profiles: Sequence[Profile], timings: Path) -> bytes:
    """Builds an engine and returns its bytes; reads the timing cache if there is one, and writes it."""
    import tensorrt  # noqa: PLC0415  an extra, and only where there is a GPU
    from polygraphy.backend import trt  # noqa: PLC0415
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    def keep_nan(builder: object, network: object, config: Any) -> None:
        # A missing feature is NaN; without the flag TensorRT may take x == x as always true.
        del builder, network
        config.set_flag(tensorrt.BuilderFlag.STRICT_NANS)

    timings.parent.mkdir(parents=True, exist_ok=True)
    config = trt.CreateConfig(
        profiles=to_polygraphy(profiles), load_timing_cache=str(timings) if timings.is_file() else None
    )
    try:
        # From TensorRT 11 on every network is strongly typed and the flag changes nothing.
        network = trt.NetworkFromOnnxPath(str(onnx), strongly_typed=True)
        # Polygraphy writes timings where they stand: a build that is killed there would leave half of them to the next.
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / TIMINGS
            plan = trt.EngineBytesFromNetwork(
                network, config=trt.PostprocessConfig(config, keep_nan), save_timing_cache=str(saved)
            )()
            if saved.is_file():
                write_atomically(timings, saved.read_bytes())
    except PolygraphyException as error:
        raise EngineError(
            f"{onnx}: TensorRT {tensorrt.__version__} cannot build it ({str(error).strip().splitlines()[0]}); serve "
            "with --target ensemble_cuda"
        ) from None
    return bytes(plan)


def to_polygraphy(profiles: Sequence[Profile]) -> list[Any]:
    """Returns the profiles as Polygraphy's `Profile`."""
    from polygraphy.backend.trt import Profile as PolygraphyProfile  # noqa: PLC0415  an extra

    converted = []
    for profile in profiles:
        shapes = PolygraphyProfile()
        for name, least in profile.least.items():
            shapes.add(name, min=least, opt=profile.typical[name], max=profile.most[name])
        converted.append(shapes)
    return converted


class PlanSession:
    """Runs a TensorRT engine; has the `run` of an ONNX Runtime session."""

    def __init__(self, path: Path, profiles: Sequence[Profile], batch: int) -> None:
        """Loads an engine.

        Args:
            path: The engine.
            profiles: The profiles it was built with.
            batch: Its largest batch; a larger one is split.

        Raises:
            EngineError: Where the file is truncated, or of another TensorRT or GPU.
        """
        from polygraphy.backend.common import BytesFromPath  # noqa: PLC0415  an extra
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415
        from polygraphy.exception import PolygraphyException  # noqa: PLC0415

        self._profiles, self._batch = tuple(profiles), batch
        try:
            self._runner = TrtRunner(EngineFromBytes(BytesFromPath(str(path))))
            self._runner.activate()
        except PolygraphyException as error:
            raise EngineError(
                f"{path}: TensorRT cannot load it ({str(error).strip().splitlines()[0]}); it is cut, or was built by "
                "another TensorRT or for another GPU: remove it and build it again"
            ) from None

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Returns the named outputs in their order; a batch larger than the profile's is split."""
        rows = len(next(iter(feeds.values())))
        parts = []
        for start in range(0, rows, self._batch):
            feed = {name: value[start : start + self._batch] for name, value in feeds.items()}
            self._runner.set_profile(find_profile(self._profiles, feed))
            results = self._runner.infer(feed)
            parts.append([np.array(results[name]) for name in outputs])  # copies: the runner reuses its buffers
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def find_profile(profiles: Sequence[Profile], feed: Mapping[str, NDArray[Any]]) -> int:
    """Returns the number of the profile that takes these inputs.

    Raises:
        EngineError: Where no profile does.
    """
    for number, profile in enumerate(profiles):
        if profile.takes(feed):
            return number
    shapes = {name: value.shape for name, value in feed.items()}
    raise EngineError(
        f"inputs {shapes} fit no profile of {', '.join(profile.bucket for profile in profiles)}; pad them"
    )
