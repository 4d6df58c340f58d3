"""Builds a bundle's TensorRT engines once for all replicas that share a folder, and links what a replica serves."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.engines import Machine, gpu_models
from fuserank_export.engines.run import EngineSettings, write_engines
from fuserank_export.engines.shared import SharedEngines
from fuserank_export.engines.tensorrt.build import require_builder
from fuserank_export.errors import exit_on_error
from fuserank_export.progress import Progress
from fuserank_export.training.text.fitting import silence_libraries


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds what is not there yet; ends the process with one line and status 2 where that cannot be.

    Args:
        arguments: Of the command line; None takes this process's own.
    """
    parser = argparse.ArgumentParser(prog="python3 -m fuserank_export.engines.fleet", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle, which is not changed")
    parser.add_argument("--shared", type=Path, required=True, help="the folder that keeps what is built")
    parser.add_argument("--link", type=Path, required=True, help="link to make, to the bundle with engines")
    parser.add_argument("--precision", choices=("fp16", "fp32"), default="fp16", help="of matrix products")
    parser.add_argument("--keep", type=int, default=3, help="how many bundles are kept, those last used")
    options = parser.parse_args(arguments)
    silence_libraries()
    with exit_on_error():
        machine = require_builder()
        bundle = Bundle.open(options.bundle, verify=())  # whoever builds compares its files with their hashes
        progress = Progress()
        shared = SharedEngines(options.shared, options.keep, progress.note)

        def build(place: Path) -> None:
            settings = EngineSettings(
                bundle=options.bundle,
                out=place,
                target="ensemble_tensorrt",
                precision=options.precision,
                report=Path("/tmp/parity.json"),  # noqa: S108  a container's own; the manifest holds the same rows
                cache=shared.cache,
            )
            write_engines(settings, progress)

        place = shared.find_or_build(engines_key(bundle, machine, gpu_models(), options.precision), build, Bundle.open)
    options.link.unlink(missing_ok=True)
    options.link.symlink_to(place.resolve(), target_is_directory=True)
    sys.stdout.write(f"bundle {Bundle.open(place, verify=()).id} of {bundle.id}, with engines, at {place}\n")


def engines_key(bundle: Bundle, machine: Machine, gpus: str, precision: str) -> str:
    """Returns the name of a bundle with built engines: that of the bundle, and a digest of all else that decides them.

    Args:
        bundle: The bundle that engines are built for; its id covers the ONNX files and the profiles.
        machine: Where they are built.
        gpus: Its GPUs' models: engines run on others of one compute capability, but were timed for these.
        precision: Of their matrix products.
    """
    parts = (machine.compute_capability, machine.tensorrt, gpus, precision, version("fuserank"))
    return f"{bundle.id}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


if __name__ == "__main__":
    main()
