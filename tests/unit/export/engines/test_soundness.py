"""An ONNX file that must not be built or served is an error that names it and the remedy."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import helper

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines.precision import write_fp16
from fuserank_export.engines.soundness import EngineError, load_checked


@pytest.fixture(scope="module")
def engines(tower_bundle):
    bundle = Bundle.open(tower_bundle, verify=())
    return {
        stage.name: (stage, bundle.repository / stage.name / "1" / "model.onnx")
        for stage in search_stages(bundle.spec)
        if stage.kind == "engine"
    }


@pytest.fixture
def copied(engines, tmp_path):
    """The encoder's stage and a copy of its file, to be broken."""
    stage, path = engines["encoder"]
    return stage, shutil.copyfile(path, tmp_path / "model.onnx")


def refused(stage, path):
    with pytest.raises(EngineError) as error:
        load_checked(path, stage)
    assert str(path) in str(error.value)
    return str(error.value)


def change_file(path, change):
    model = onnx.load(str(path))
    change(model)
    onnx.save(model, str(path))


@pytest.mark.parametrize("name", ["encoder", "ranker"])
def test_exported_engines_are_valid_in_fp32_and_half_precision(engines, tmp_path, name):
    stage, path = engines[name]
    write_fp16(path, tmp_path / "half.onnx")
    for file in (path, tmp_path / "half.onnx"):
        load_checked(file, stage)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(copied, share):
    stage, path = copied
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "restore the file or export the bundle again" in refused(stage, path)


def test_a_missing_file_is_refused(copied, tmp_path):
    stage, _ = copied
    assert "is no sound ONNX file" in refused(stage, tmp_path / "no.onnx")


@pytest.mark.parametrize("opset", [11, 16, 21])
def test_another_opset_is_refused(copied, opset):
    stage, path = copied

    def change(model):
        model.opset_import[0].version = opset
        if opset < 17:  # a graph that is sound in an old opset
            del model.graph.node[:]
            constant = helper.make_tensor("e", onnx.TensorProto.FLOAT, [1, 32], [0.0] * 32)
            model.graph.node.append(helper.make_node("Constant", [], ["EMBEDDING"], value=constant))

    change_file(path, change)
    text = refused(stage, path)
    assert f"opset is {opset}; allowed: 17 to 20" in text or "is no sound ONNX file" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_with_nan_or_infinity_is_named(copied, value):
    stage, path = copied

    def change(model):
        tensor = next(t for t in model.graph.initializer if len(t.dims) == 2)
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[0, 0] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        tensor.name = "broken"
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                if name == tensor.name:
                    node.input[i] = "broken"

    model = onnx.load(str(path))
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 2)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, 0] = value
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(path))
    assert f"weight {tensor.name} holds NaN or infinity" in refused(stage, path)


def test_other_inputs_than_the_specs_are_refused(copied, engines):
    _, path = copied
    ranker, _ = engines["ranker"]
    text = refused(ranker, path)
    assert "INPUT_IDS INT64 of 2 axes" in text
    assert "the spec's ranker has FEATURES FP32 of 3 axes" in text
