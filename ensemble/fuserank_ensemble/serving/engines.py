"""TensorRT engines fit one kind of GPU and one TensorRT: which are here, and whether a bundle's engines are theirs."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.spec import Target

LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")


@dataclass(frozen=True)
class Machine:
    """What an engine is tied to.

    Attributes:
        compute_capability: Of the GPU, such as `9.0`; empty where there is none.
        tensorrt: Version of TensorRT, such as `10.13.2`; empty where there is none.
    """

    compute_capability: str
    tensorrt: str

    @classmethod
    def here(cls) -> Machine:
        """Asks the driver and the library, without loading CUDA."""
        return cls(_compute_capability(), _tensorrt())


@dataclass(frozen=True)
class EngineKey:
    """What one engine was built for and from.

    Attributes:
        compute_capability: See `Machine`.
        tensorrt: See `Machine`.
        onnx_sha256: Of the ONNX file.
        profiles_sha256: Of the optimisation profiles.
    """

    compute_capability: str
    tensorrt: str
    onnx_sha256: str
    profiles_sha256: str

    def to_dict(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)

    @property
    def folder(self) -> str:
        """Name of a folder that only this key has."""
        return (
            f"sm{self.compute_capability.replace('.', '')}-trt{self.tensorrt}-{self.onnx_sha256[:12]}-"
            f"{self.profiles_sha256[:8]}"
        )


def check_engines(bundle: Bundle, target: Target, machine: Machine | None = None) -> None:
    """Checks that a bundle's TensorRT engines fit this machine. Whether they are whole, `Bundle.open` has checked.

    Args:
        bundle: The bundle.
        target: What is to be served; only `ensemble_tensorrt` has engines.
        machine: This machine; None asks it.

    Raises:
        BundleError: Naming the engine, what it was built for, what is here, and the remedy.
    """
    keys = (
        bundle.manifest.get("engines", {}).get("tensorrt", {}).get("keys", {}) if target == "ensemble_tensorrt" else {}
    )
    if not keys:
        return
    here = machine or Machine.here()
    for stage, key in keys.items():
        for what, built, found in (
            ("GPU of compute capability", key["compute_capability"], here.compute_capability),
            ("TensorRT", key["tensorrt"], here.tensorrt),
        ):
            if built != found:
                raise BundleError(
                    f"{bundle.repository / stage / '1' / 'model.plan'}: was built for {what} {built}, found "
                    f"{found or 'none'}; build it here with `fuserank export engines --target ensemble_tensorrt`, or "
                    "serve with --target ensemble_cuda"
                )


def gpu_models() -> str:
    """Returns the models of this machine's GPUs and of their MIG slices, a line each; empty where there are none."""
    return re.sub(r" \(UUID: [^)]*\)", "", _ask_driver("-L"))


def _compute_capability() -> str:
    return next(iter(_ask_driver("--query-gpu=compute_cap", "--format=csv,noheader").split()), "")


def _ask_driver(*options: str) -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    done = subprocess.run(["nvidia-smi", *options], check=False, capture_output=True, text=True, timeout=30)
    return done.stdout if done.returncode == 0 else ""


def _tensorrt() -> str:
    for name in LIBRARIES:
        try:
            version = int(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        return f"{version // 10_000}.{version // 100 % 100}.{version % 100}"
    return ""
