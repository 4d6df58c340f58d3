"""The last layer, computed for the first token alone, says what the whole layer says of it."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from fuserank_export.encoder.first_token import FirstTokenLayer, replace_last_layer

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_labels": 1}
SIZES |= {"intermediate_size": 64, "max_position_embeddings": 40, "pad_token_id": 0, "attn_implementation": "eager"}


def classifier(kind: str, **changed):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **(SIZES | changed))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.3)  # biases too, which a new model has none of
    return model


def tokens():
    """Rows of unequal length, the last of them of one token."""
    ids = torch.randint(1, 50, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for row, length in enumerate((9, 6, 3, 1)):
        ids[row, length:], mask[row, length:] = 0, 0
    return ids, mask


@pytest.mark.parametrize("kind", ["bert", "camembert", "electra", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("layers", [1, 2])
def test_logits_stay_what_the_library_says(kind, layers):
    model, (ids, mask) = classifier(kind, num_hidden_layers=layers), tokens()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
        assert replace_last_layer(model.base_model)
        found = model(input_ids=ids, attention_mask=mask).logits
    assert isinstance(model.base_model.encoder.layer[-1], FirstTokenLayer)
    assert expected.std() > 0.005  # fifty times what may differ
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["mpnet", "distilbert"])
def test_other_builds_stay_as_they_are(kind):
    model, (ids, mask) = classifier(kind), tokens()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
        assert not replace_last_layer(model.base_model)
        torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, expected)


def test_a_layer_that_would_answer_otherwise_is_put_back(monkeypatch):
    model = classifier("bert")
    last = model.base_model.encoder.layer[-1]
    monkeypatch.setattr(FirstTokenLayer, "forward", lambda self, hidden, *_, **__: hidden[:, :1])
    assert not replace_last_layer(model.base_model)
    assert model.base_model.encoder.layer[-1] is last


def test_an_exported_graph_takes_any_number_and_length_of_rows(tmp_path):
    model, (ids, mask) = classifier("bert"), tokens()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
    replace_last_layer(model.base_model)
    path, dynamic = tmp_path / "model.onnx", {0: "batch", 1: "length"}
    example = (torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64))
    torch.onnx.export(
        model, example, str(path), input_names=["ids", "mask"], output_names=["logits"],
        dynamic_axes={"ids": dynamic, "mask": dynamic}, opset_version=17, dynamo=False,
    )  # fmt: skip
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
