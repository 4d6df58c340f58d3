"""An exported encoder answers as torch does in every precision, and an export that does not is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fuserank_export.encoder import engines as encoder_engines
from fuserank_export.encoder.engines import TOLERANCE_FP32, write_engines
from fuserank_export.encoder.load import EncoderError, load_encoder
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.encoder.onnx_export import export_onnx
from fuserank_export.engines.precision import write_fp16, write_int8

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

TEXTS = ["whole milk", "绿茶 small", "", "x", "soy drink " * 40, "Ünïcode", "double trash bags. Household", "茶"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return load_encoder(str(tiny_encoder))


@pytest.fixture(scope="module")
def engines(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    return folder, write_engines(encoder, folder, TEXTS)


def open_exported(encoder, path):
    return OnnxEncoder(path, encoder.tokenizer, encoder.pad_id, encoder.max_length)


def test_each_precision_is_written_and_agrees_with_torch_as_far_as_it_can(engines):
    folder, report = engines
    assert set(report) == {"fp32", "fp16", "int8"}
    assert report["fp32"]["max_abs_diff"] <= TOLERANCE_FP32
    assert report["fp16"]["max_abs_diff"] <= 5e-3
    assert report["int8"]["mean_cosine"] >= 0.98
    for entry in report.values():
        assert (folder / entry["file"]).stat().st_size == entry["bytes"]
        assert entry["min_cosine"] <= entry["mean_cosine"] <= 1.0 + 1e-6
    assert report["int8"]["max_abs_diff"] > report["fp32"]["max_abs_diff"]


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 64), (7, 3), (33, 16)])
def test_batch_and_length_are_free_and_padding_changes_nothing(encoder, engines, batch, length):
    exported = open_exported(encoder, engines[0] / "model.onnx")
    draw = np.random.default_rng(batch)
    ids = draw.integers(5, 40, (batch, length))
    mask = np.ones_like(ids)
    with torch.no_grad():
        expected = encoder.model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    found = exported.run(ids, mask)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE_FP32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    if length < 64:
        widened = [np.pad(each, [(0, 0), (0, 64 - length)]) for each in (ids, mask)]
        np.testing.assert_allclose(exported.run(*widened), expected, atol=TOLERANCE_FP32)


def test_texts_come_back_in_their_order_whatever_the_batches(encoder, engines):
    exported = open_exported(encoder, engines[0] / "model.onnx")
    done = []
    together = exported.embed(TEXTS, batch=3, advanced=done.append)
    assert sum(done) == len(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(exported.embed([text])[0], vector, atol=1e-5)
    assert exported.embed(["soy drink " * 400]).shape == (1, encoder.dim)


def types_in(model):
    """Element types of all tensors that the graph itself makes or holds."""
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {v.name: v.type.tensor_type.elem_type for v in [*inferred.graph.value_info, *inferred.graph.input]}
    kinds |= {v.name: v.type.tensor_type.elem_type for v in inferred.graph.output}
    return kinds | {tensor.name: tensor.data_type for tensor in inferred.graph.initializer}


def test_half_precision_keeps_layer_norm_and_softmax_in_fp32_and_multiplies_in_fp16(engines):
    model = onnx.load(str(engines[0] / "model.fp16.onnx"))
    kinds = types_in(model)
    made = {name: node for node in model.graph.node for name in node.output}
    seen = {"LayerNormalization": 0, "Softmax": 0, "MatMul": 0}
    for node in model.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax"):
            for name in node.input:
                source = made.get(name)
                cast = source is not None and source.op_type == "Cast"
                to = {a.name: a.i for a in source.attribute}["to"] if cast else kinds.get(name)
                assert to == onnx.TensorProto.FLOAT, f"{node.op_type} {node.name} reads {name}"
            seen[node.op_type] += 1
        elif node.op_type == "MatMul" and any(kinds.get(n) == onnx.TensorProto.FLOAT16 for n in node.input):
            seen["MatMul"] += 1
    assert seen["LayerNormalization"] == 5  # of the embeddings, and two in each of two layers
    assert seen["Softmax"] == 2
    assert seen["MatMul"] >= 12


def test_every_precision_has_the_same_interface(engines):
    folder, report = engines
    for entry in report.values():
        graph = onnx.load(str(folder / entry["file"])).graph
        kinds = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.output]}
        assert kinds == {
            "INPUT_IDS": onnx.TensorProto.INT64,
            "ATTENTION_MASK": onnx.TensorProto.INT64,
            "EMBEDDING": onnx.TensorProto.FLOAT,
        }


def test_int8_and_fp16_files_are_smaller(tmp_path, tiny_encoder):
    from transformers import AutoModel, BertConfig

    # Wide enough that the weights, and not the graph, make the file's size.
    source = shutil.copytree(tiny_encoder, tmp_path / "wide")
    config = BertConfig.from_pretrained(source)
    config.hidden_size, config.intermediate_size = 256, 1024
    AutoModel.from_config(config).save_pretrained(source)
    wide = load_encoder(str(source))
    export_onnx(wide, tmp_path / "fp32.onnx")
    write_fp16(tmp_path / "fp32.onnx", tmp_path / "fp16.onnx")
    write_int8(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    sizes = {name: (tmp_path / f"{name}.onnx").stat().st_size for name in ("fp32", "fp16", "int8")}
    assert sizes["int8"] < 0.5 * sizes["fp32"]
    assert sizes["fp16"] < 0.65 * sizes["fp32"]


def test_an_export_that_differs_from_torch_is_refused(encoder, tmp_path, monkeypatch):
    def broken(encoder, path):
        export_onnx(encoder, path)
        model = onnx.load(str(path))
        weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2)
        values = onnx.numpy_helper.to_array(weight)[::-1].copy()
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        onnx.save(model, str(path))

    monkeypatch.setattr(encoder_engines, "export_onnx", broken)
    with pytest.raises(EncoderError, match=r"model\.onnx: differs from torch by .*; allowed: 1e-04"):
        write_engines(encoder, tmp_path, TEXTS)
