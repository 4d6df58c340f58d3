"""Asks NVIDIA's own ONNX parser whether TensorRT takes a graph; no GPU is needed."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
from onnx.shape_inference import InferenceError

from fuserank_export.engines.soundness import EngineError

# TensorRT's own needs a GPU's driver. That of TensorRT for RTX does not, but is another release: building has the last
# word.
PACKAGES = ("tensorrt_rtx", "tensorrt")


def check_tensorrt(path: Path) -> dict[str, int]:
    """Checks that a strongly typed network can be made of an ONNX file.

    A strongly typed network takes every tensor's type from the graph, so each must be inferable.

    Returns:
        Number of nodes by operator.

    Raises:
        EngineError: Where no parser is installed, types do not fit together, or TensorRT lacks an operator or one of
            its types; the message has the parser's words.
    """
    model = onnx.load(str(path))
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except InferenceError as error:
        raise EngineError(
            f"{path}: its types do not fit together ({str(error).strip().splitlines()[0]}); a strongly typed network "
            "needs a Cast where they differ"
        ) from None
    if problems := _parse(path):
        raise EngineError(
            f"{path}: TensorRT cannot read it ({'; '.join(problems)}); serve this engine with --target ensemble_cuda, "
            "or export a model without this"
        )
    return dict(Counter(node.op_type for node in model.graph.node))


def _parse(path: Path) -> list[str]:
    """Parses a file; returns what the parser cannot take of it, each with the node's name."""
    trt = require_parser()
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)  # what the parser finds is raised
    # From TensorRT 11 on every network is strongly typed, and the flag may be gone.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = trt.Builder(logger).create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    parser.parse_from_file(str(path))
    return [_describe(parser.get_error(number)) for number in range(parser.num_errors)]


def _describe(error: Any) -> str:
    node = " ".join(filter(None, (error.node_operator(), error.node_name()))) or "the graph"
    return f"{node}: {error.code().name.lower().replace('_', ' ')}, {error.desc().strip().rstrip('.')}"


def require_parser() -> Any:
    """Returns the first of `PACKAGES` that is installed.

    Raises:
        EngineError: Where none is.
    """
    for name in PACKAGES:
        if find_spec(name) is not None:
            return import_module(name)
    raise EngineError(
        "--target ensemble_tensorrt: found no parser of TensorRT; run: pip install 'fuserank[tensorrt-check]' (95 MB, "
        "no GPU needed), or on the machine that builds: pip install 'fuserank[tensorrt]'"
    )
