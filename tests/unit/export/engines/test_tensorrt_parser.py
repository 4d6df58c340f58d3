"""NVIDIA's own parser and builder take every engine that is exported, and what they refuse is told with the remedy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines.precision import write_fp16, write_int8
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt import parser
from fuserank_export.engines.tensorrt.parser import check_tensorrt

TESTS = Path(__file__).parents[3]
needs_parser = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed (make .venv/.tensorrt-check)"
)
VALUE = helper.make_tensor_value_info
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def engines(tower_bundle, tmp_path_factory):
    """Each engine of a bundle with a text tower, in FP32 and FP16, by name."""
    bundle, folder = Bundle.open(tower_bundle, verify=()), tmp_path_factory.mktemp("half")
    files = {}
    for stage in search_stages(bundle.spec):
        if stage.kind == "engine":
            files[f"{stage.name} fp32"] = bundle.repository / stage.name / "1" / "model.onnx"
            files[f"{stage.name} fp16"] = folder / f"{stage.name}.onnx"
            write_fp16(files[f"{stage.name} fp32"], files[f"{stage.name} fp16"])
    assert len(files) == 6
    return files


def written(path, nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@needs_parser
def test_every_engine_is_read_in_both_precisions(engines):
    for name, file in engines.items():
        assert check_tensorrt(file)["MatMul"] > 0, name


@needs_parser
def test_every_engine_is_built_for_two_kinds_of_gpu_with_all_its_profiles(engines, tower_bundle):
    """With NaN kept as NaN, for an A100 and an L4. These plans do not serve: it is building that is shown."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "support" / "build_ahead.py"), str(tower_bundle),
         json.dumps({name: str(file) for name, file in engines.items()})],
        env={**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": "1"}, check=False, capture_output=True, text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert sizes.keys() == engines.keys()
    assert min(sizes.values()) > 10_000


@needs_parser
def test_an_operator_that_tensorrt_lacks_is_named_with_the_remedy(tmp_path):
    path = written(
        tmp_path / "odd.onnx", [helper.make_node("Det", ["x"], ["y"], name="area")],
        [VALUE("x", FLOAT, [1, 4, 4])], [VALUE("y", FLOAT, [1])],
    )  # fmt: skip
    with pytest.raises(EngineError, match=r"odd.onnx: TensorRT cannot read it \(Det area: unsupported node") as error:
        check_tensorrt(path)
    assert "serve this engine with --target ensemble_cuda" in str(error.value)


@needs_parser
def test_dynamic_int8_is_refused_for_tensorrt(tmp_path):
    weights = helper.make_tensor("w", FLOAT, [64, 64], np.eye(64).ravel())
    path = written(
        tmp_path / "fp32.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"], name="wide")],
        [VALUE("x", FLOAT, ["n", 64])], [VALUE("y", FLOAT, ["n", 64])], [weights],
    )  # fmt: skip
    write_int8(path, tmp_path / "int8.onnx")
    with pytest.raises(EngineError, match=r"DynamicQuantizeLinear|MatMulInteger"):
        check_tensorrt(tmp_path / "int8.onnx")


def test_types_that_contradict_each_other_are_refused(tmp_path):
    """A strongly typed network converts nothing by itself."""
    path = written(
        tmp_path / "mixed.onnx", [helper.make_node("Add", ["x", "z"], ["y"])],
        [VALUE("x", FLOAT, [1]), VALUE("z", HALF, [1])], [VALUE("y", FLOAT, [1])],
    )  # fmt: skip
    with pytest.raises(EngineError, match="a strongly typed network needs a Cast where they differ"):
        check_tensorrt(path)


def test_without_a_parser_it_is_said_what_to_install(tmp_path, monkeypatch):
    path = written(
        tmp_path / "sound.onnx", [helper.make_node("Relu", ["x"], ["y"])],
        [VALUE("x", FLOAT, [1])], [VALUE("y", FLOAT, [1])],
    )  # fmt: skip
    monkeypatch.setattr(parser, "PACKAGES", ("no_such_parser",))
    with pytest.raises(EngineError, match=re.escape("pip install 'fuserank[tensorrt-check]'")):
        check_tensorrt(path)
