"""Any encoder that is exported says the same as in torch, in every precision; any that cannot be is refused by name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fuserank_export.encoder.load import (
    TOLERANCE_FP32,
    EncoderError,
    OnnxEncoder,
    export_onnx,
    load_encoder,
    write_engines,
    write_fp16,
    write_int8,
)

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


@pytest.fixture
def copied(tiny_encoder, tmp_path):
    """A copy of the encoder's folder, to be broken."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


def opened(encoder, path):
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
    exported = opened(encoder, engines[0] / "model.onnx")
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
    exported = opened(encoder, engines[0] / "model.onnx")
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


def sentence_transformers_layout(folder, mode="pooling_mode_cls_token", extra=None):
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    if extra:
        modules.append({"idx": 3, "name": "3", "path": f"3_{extra}", "type": f"sentence_transformers.models.{extra}"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    settings = {f"pooling_mode_{each}": f"pooling_mode_{each}" == mode for each in modes}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **settings}))


@pytest.mark.parametrize(("mode", "pooling"), [("pooling_mode_cls_token", "cls"), ("pooling_mode_mean_tokens", "mean")])
def test_pooling_follows_the_sentence_transformers_folder_and_is_what_the_name_says(copied, tmp_path, mode, pooling):
    sentence_transformers_layout(copied, mode)
    encoder = load_encoder(str(copied))
    export_onnx(encoder, tmp_path / "model.onnx")
    exported = opened(encoder, tmp_path / "model.onnx")
    for text, vector in zip(TEXTS, exported.embed(TEXTS), strict=True):
        tokens = torch.tensor(exported.tokens([text]))
        with torch.no_grad():
            expected = encoder.model(tokens, torch.ones_like(tokens))[0].numpy()
        np.testing.assert_allclose(vector, expected, atol=TOLERANCE_FP32)
    ids = np.asarray([[2, 20, 21, 3, 0, 0]])
    mask = (ids > 0).astype(np.int64)
    with torch.no_grad():
        hidden = encoder.model.transformer(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state[0].numpy()
    pooled = hidden[0] if pooling == "cls" else hidden[:4].mean(0)
    np.testing.assert_allclose(exported.run(ids, mask)[0], pooled / np.linalg.norm(pooled), atol=1e-5)


def test_a_pooling_that_is_asked_for_overrides_the_folders(copied):
    sentence_transformers_layout(copied)
    assert load_encoder(str(copied)).model.pooling == "cls"
    assert load_encoder(str(copied), "mean").model.pooling == "mean"


def test_a_plain_folder_is_pooled_by_the_mean(tiny_encoder):
    assert load_encoder(str(tiny_encoder)).model.pooling == "mean"


def test_the_shortest_of_all_stated_lengths_holds(copied):
    assert load_encoder(str(copied)).max_length == 64
    (copied / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": false}')
    assert load_encoder(str(copied)).max_length == 48


def refused(source, pooling="auto"):
    with pytest.raises(EncoderError) as error:
        load_encoder(str(source), pooling)
    return str(error.value)


def test_a_layer_that_is_not_supported_is_refused_by_its_name(copied):
    sentence_transformers_layout(copied, extra="Dense")
    text = refused(copied)
    assert "modules.json: found a Dense layer; allowed: Transformer, Pooling, Normalize" in text


@pytest.mark.parametrize("mode", ["pooling_mode_max_tokens", "pooling_mode_lasttoken"])
def test_a_pooling_that_is_not_supported_is_refused_by_its_name(copied, mode):
    sentence_transformers_layout(copied, mode)
    text = refused(copied)
    assert mode.removeprefix("pooling_mode_") in text
    assert "allowed: mean or cls" in text


def test_a_tokenizer_without_a_pad_token_is_refused_with_the_remedy(copied):
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = copied / name
        if path.is_file():
            settings = {k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}
            path.write_text(json.dumps(settings))
    text = refused(copied)
    assert "no pad token" in text
    assert "tokenizer_config.json" in text


def test_a_missing_folder_is_refused_with_what_to_give(tmp_path):
    text = refused(tmp_path / "no such encoder")
    assert "no such encoder" in text
    assert "no such folder" in text
    assert "give one with config.json, weights and tokenizer" in text
    assert "\n" not in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copied, value):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(copied)
    with torch.no_grad():
        model.encoder.layer[1].output.dense.weight[3, 3] = value
    model.save_pretrained(copied)
    assert "NaN or infinity" in refused(copied)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_folder_is_refused_and_not_crashed_on(copied, name, damage):
    path = copied / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    assert str(copied) in refused(copied)


def test_an_export_that_differs_from_torch_is_refused(encoder, tmp_path, monkeypatch):
    from fuserank_export.encoder import load as module

    def broken(encoder, path):
        export_onnx(encoder, path)
        model = onnx.load(str(path))
        weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2)
        values = onnx.numpy_helper.to_array(weight)[::-1].copy()
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        onnx.save(model, str(path))

    monkeypatch.setattr(module, "export_onnx", broken)
    with pytest.raises(EncoderError, match=r"model\.onnx: differs from torch by .*; allowed: 1e-04"):
        write_engines(encoder, tmp_path, TEXTS)
