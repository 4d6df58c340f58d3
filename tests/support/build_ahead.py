"""Builds engines ahead of time with TensorRT for RTX, which needs no GPU: run by `test_tensorrt_parser`.

A process of its own, since Polygraphy chooses at its import which TensorRT it speaks to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorrt_rtx
from polygraphy.backend import trt
from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines.tensorrt.build import to_polygraphy
from fuserank_export.engines.tensorrt.profiles import make_profiles

CAPABILITIES = [(8, 0), (8, 9)]  # A100 and L4


def keep_nan(builder: object, network: object, config: Any) -> None:
    """As `fuserank_export.engines.tensorrt.build` sets it."""
    del builder, network
    config.set_flag(tensorrt_rtx.BuilderFlag.STRICT_NANS)


def main(bundle_root: str, files: str) -> None:
    """Builds files by name, each of which begins with its stage; prints the plans' bytes by name."""
    bundle = Bundle.open(Path(bundle_root), verify=())
    stages = {stage.name: stage for stage in search_stages(bundle.spec)}
    sizes = {}
    for name, file in json.loads(files).items():
        profiles = to_polygraphy(make_profiles(bundle.spec, stages[name.split()[0]]))
        config = CreateConfigRTX(profiles=profiles, compute_capabilities=CAPABILITIES)
        network = trt.NetworkFromOnnxPath(file, strongly_typed=True)
        plan = trt.EngineBytesFromNetwork(network, config=trt.PostprocessConfig(config, keep_nan))()
        sizes[name] = len(bytes(plan))
    print(json.dumps(sizes))


if __name__ == "__main__":
    main(*sys.argv[1:])
