"""An encoder is loaded with the pooling and length that its folder states, or refused with the remedy."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fuserank_export.encoder.engines import TOLERANCE_FP32
from fuserank_export.encoder.load import EncoderError, load_encoder
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.encoder.onnx_export import export_onnx

torch = pytest.importorskip("torch")

TEXTS = ["whole milk", "绿茶 small", "", "x", "soy drink " * 40, "Ünïcode", "double trash bags. Household", "茶"]


@pytest.fixture
def copied(tiny_encoder, tmp_path):
    """A copy of the encoder's folder, to be broken."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


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
    exported = OnnxEncoder(tmp_path / "model.onnx", encoder.tokenizer, encoder.pad_id, encoder.max_length)
    for text, vector in zip(TEXTS, exported.embed(TEXTS), strict=True):
        tokens = torch.tensor(exported.tokenize([text]))
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


def test_weights_that_are_a_pickle_are_refused(copied):
    from transformers import AutoModel

    torch.save(AutoModel.from_pretrained(copied).state_dict(), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    assert "a folder with config.json, model.safetensors and tokenizer" in refused(copied)
