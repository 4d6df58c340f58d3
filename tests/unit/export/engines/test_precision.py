"""Half precision and 8 bits change only what they may, and checks of half precision round each value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.engine import open_session
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines.candidates import check_overflow
from fuserank_export.engines.parity.adversarial import make_adversarial_feeds
from fuserank_export.engines.parity.layers import compare_layers, describe_layers
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import (
    find_embedding_tables,
    find_wide_products,
    select_fp32_nodes,
    write_fp16,
    write_int8,
    write_int8_static,
)
from fuserank_export.engines.soundness import EngineError

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def engines(tower_bundle):
    """The engines' stages and FP32 files."""
    bundle = Bundle.open(tower_bundle, verify=())
    return {
        stage.name: (bundle.spec, stage, bundle.repository / stage.name / "1" / "model.onnx")
        for stage in search_stages(bundle.spec)
        if stage.kind == "engine"
    }


@pytest.fixture(scope="module")
def halves(engines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    for name, (_, _, path) in engines.items():
        write_fp16(path, folder / f"{name}.onnx")
    return folder


def graph_of(*nodes, constants=(), inputs=("x",), width=4):
    """A model with one output `y`."""
    values = [helper.make_tensor_value_info(name, FLOAT, ["batch", width]) for name in inputs]
    held = [helper.make_tensor(name, FLOAT, np.shape(value), np.ravel(value)) for name, value in constants]
    output = helper.make_tensor_value_info("y", FLOAT, ["batch", None])
    graph = helper.make_graph(list(nodes), "g", values, [output], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def element_types(path):
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), check_type=True, strict_mode=True)
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    return model.graph, {v.name: v.type.tensor_type.elem_type for v in values}


@pytest.mark.parametrize("name", ["encoder", "text_tower", "ranker"])
def test_products_are_half_precision_and_norms_softmax_and_sums_are_fp32(halves, name):
    graph, kinds = element_types(halves / f"{name}.onnx")
    of = {kind: {kinds[n.output[0]] for n in graph.node if n.op_type == kind} for kind in ("MatMul", "Softmax")}
    assert of == {"MatMul": {HALF}, "Softmax": {FLOAT}}
    for kind in ("LayerNormalization", "ReduceSum", "ReduceL2"):
        assert HALF not in {kinds[n.output[0]] for n in graph.node if n.op_type == kind}
    assert {v.type.tensor_type.elem_type for v in graph.output} == {FLOAT}


@pytest.mark.parametrize("name", ["encoder", "text_tower", "ranker"])
def test_no_value_is_cast_from_fp32_to_half_and_back(halves, name):
    """The converter casts between operators that both stay: a mask of -3e38 or an epsilon of 1e-9 would not live."""
    graph, kinds = element_types(halves / f"{name}.onnx")
    casts = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Cast" and kinds[n.output[0]] == HALF}
    through = [
        n.name for n in graph.node
        if n.op_type == "Cast" and kinds[n.output[0]] == FLOAT and kinds.get(casts.get(n.input[0], "")) == FLOAT
    ]  # fmt: skip
    assert through == []


def test_raw_features_masks_and_nodes_after_the_last_product_stay_fp32():
    model = graph_of(
        helper.make_node("Div", ["x", "scale"], ["scaled"], name="scale"),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"], name="clamp"),
        helper.make_node("MatMul", ["clipped", "w"], ["hidden"], name="first"),
        helper.make_node("Sigmoid", ["hidden"], ["active"], name="activation"),
        helper.make_node("MatMul", ["active", "w"], ["logits"], name="second"),
        helper.make_node("Add", ["logits", "mask"], ["masked"], name="mask"),
        helper.make_node("Softmax", ["masked"], ["weights"], name="softmax"),
        helper.make_node("MatMul", ["weights", "w"], ["attended"], name="third"),
        helper.make_node("Mul", ["attended", "scale"], ["y"], name="tail"),
        constants=[("scale", 3.0), ("low", -4.0), ("high", 4.0), ("w", np.eye(4)), ("mask", -3e38)],
    )
    assert select_fp32_nodes(model.graph) == {"scale", "clamp", "mask", "softmax", "tail"}


def test_the_reference_rounds_and_overflows_where_onnx_runtime_does_not(tmp_path):
    x = np.array([[1000.0, 1.0, 1.0, 1.0]], np.float32)
    model = graph_of(
        helper.make_node("MatMul", ["x", "big"], ["large"], name="grow"),
        helper.make_node("Sigmoid", ["large"], ["flat"], name="squash"),
        helper.make_node("MatMul", ["flat", "big"], ["y"], name="out"),
        constants=[("big", np.eye(4) * 1000.0)],
    )
    onnx.save(model, str(tmp_path / "fp32.onnx"))
    write_fp16(tmp_path / "fp32.onnx", tmp_path / "fp16.onnx")
    values = ReferenceSession(tmp_path / "fp16.onnx").run_all({"x": x})
    assert values["large"].dtype == np.float16
    assert np.isinf(values["large"][0, 0])
    assert np.isfinite(ReferenceSession(tmp_path / "fp32.onnx").run_all({"x": x})["large"]).all()
    with pytest.raises(EngineError, match=r"overflows in half precision on huge: .*first grow|large \(overflows\)"):
        check_overflow(tmp_path / "fp32.onnx", tmp_path / "fp16.onnx", {"huge": {"x": x}})
    check_overflow(tmp_path / "fp32.onnx", tmp_path / "fp16.onnx", {"small": {"x": x / 1000}})


@pytest.mark.parametrize("name", ["encoder", "text_tower", "ranker"])
def test_in_fp32_the_reference_equals_onnx_runtime(engines, name):
    spec, stage, path = engines[name]
    for feed in make_adversarial_feeds(spec, stage, 60, 3).values():
        outputs = [tensor.name for tensor in stage.outputs]
        for found, expected in zip(
            ReferenceSession(path).run(outputs, feed), open_session(path, {}).run(outputs, feed), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["encoder", "text_tower", "ranker"])
def test_extreme_inputs_overflow_nowhere_in_half_precision(engines, halves, name):
    spec, stage, path = engines[name]
    odd = make_adversarial_feeds(spec, stage, 60, 3)
    expected = {"encoder": "very long", "text_tower": "longest pairs", "ranker": "huge features"}
    assert expected[name] in odd
    check_overflow(path, halves / f"{name}.onnx", odd)
    for feed in odd.values():
        output = stage.outputs[0].name
        found, expected = (s.run([output], feed)[0] for s in map(ReferenceSession, (halves / f"{name}.onnx", path)))
        np.testing.assert_allclose(found, expected, atol=0.02 * max(1.0, float(np.abs(expected).max())))


def test_layers_that_disagree_are_named_first_and_worst(engines, tmp_path):
    spec, stage, path = engines["encoder"]
    model = onnx.load(str(path))
    node = next(n for n in model.graph.node if "layer.1/intermediate/dense/MatMul" in n.name)
    weight = next(t for t in model.graph.initializer if t.name == node.input[1])
    values = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(-values, weight.name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    feed = make_adversarial_feeds(spec, stage, 60, 3)["very long"]
    text = describe_layers(compare_layers(path, tmp_path / "wrong.onnx", feed), 0.1)
    assert f"first {node.name} (2)" in text
    assert describe_layers(compare_layers(path, path, feed), 0.1).startswith("no single layer is beyond 0.1")


def test_only_wide_products_are_quantised(engines, tmp_path):
    _, _, path = engines["ranker"]  # of the tiny shop: nothing is 64 wide on both sides
    assert find_wide_products(onnx.load(str(path)).graph) == []
    model = graph_of(
        helper.make_node("MatMul", ["x", "wide"], ["h"], name="wide"),
        helper.make_node("MatMul", ["h", "narrow"], ["y"], name="narrow"),
        constants=[("wide", np.ones((96, 64))), ("narrow", np.ones((64, 8)))],
        width=96,
    )
    assert find_wide_products(model.graph) == ["wide"]


def test_quantising_by_channel_keeps_a_small_channel_beside_a_large_one(tmp_path):
    draw = np.random.default_rng(2)
    weights = draw.normal(size=(128, 64)) * np.where(np.arange(64) % 2, 100.0, 0.1)
    model = graph_of(helper.make_node("MatMul", ["x", "w"], ["y"], name="wide"), constants=[("w", weights)], width=128)
    onnx.save(model, str(tmp_path / "fp32.onnx"))
    feed = {"x": draw.normal(size=(8, 128)).astype(np.float32)}
    write_int8(tmp_path / "fp32.onnx", tmp_path / "dynamic.onnx")
    write_int8_static(tmp_path / "fp32.onnx", tmp_path / "static.onnx", [feed])
    expected = open_session(tmp_path / "fp32.onnx", {}).run(["y"], feed)[0]
    for name in ("dynamic", "static"):
        found = open_session(tmp_path / f"{name}.onnx", {}).run(["y"], feed)[0]
        for channels in (slice(0, None, 2), slice(1, None, 2)):
            error = np.linalg.norm(found[:, channels] - expected[:, channels]) / np.linalg.norm(expected[:, channels])
            assert error < 0.02, (name, channels)


def test_quantised_token_embeddings_take_a_quarter_of_the_memory(tmp_path):
    draw = np.random.default_rng(5)
    model = graph_of(
        helper.make_node("Relu", ["x"], ["known"]),
        helper.make_node("Cast", ["known"], ["ids"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="vocabulary"),
        helper.make_node("Gather", ["few", "ids"], ["places"], name="positions"),
        helper.make_node("Add", ["rows", "places"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["y"], name="wide"),
        constants=[
            ("table", draw.normal(size=(9_000, 128))),
            ("few", draw.normal(size=(512, 128))),
            ("w", draw.normal(size=(128, 64))),
        ],
        width=4,
    )
    assert find_embedding_tables(model.graph) == ["vocabulary"]
    onnx.save(model, str(tmp_path / "fp32.onnx"))
    write_int8(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.35 * (tmp_path / "fp32.onnx").stat().st_size
    feed = {"x": draw.integers(0, 512, (2, 4)).astype(np.float32)}
    found, expected = (open_session(tmp_path / f"{name}.onnx", {}).run(["y"], feed)[0] for name in ("int8", "fp32"))
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_extreme_inputs_have_the_shapes_of_the_spec(engines):
    for spec, stage, _ in engines.values():
        for kind in (spec, replace(spec, candidate_buckets=(16, 32), candidates=32)):
            for name, feed in make_adversarial_feeds(kind, stage, 60, 3).items():
                for tensor in stage.inputs:
                    shape = feed[tensor.name].shape[1:]
                    assert [n for n, d in zip(shape, tensor.dims, strict=True) if d >= 0] == [
                        d for d in tensor.dims if d >= 0
                    ], name
