"""A text tower that cannot serve is refused with the remedy; a valid one is loaded."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fuserank_export.sources import InputError

torch = pytest.importorskip("torch")
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402

from fuserank_export.training.text.tower import load_text_tower  # noqa: E402  they need torch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tower(tiny_encoder, tmp_path):
    """Writes a tiny random tower, changed as a test wants it."""

    def write(labels=1, change=lambda model: None):
        folder = tmp_path / "tower"
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(str(tiny_encoder), num_labels=labels)
        model = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            change(model)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(str(tiny_encoder)).save_pretrained(folder)
        return folder

    return write


def refused(folder):
    with pytest.raises(InputError) as error:
        load_text_tower(str(folder))
    message = str(error.value)
    assert message.startswith(f"--text-tower {str(folder)!r}: ")
    return message


def test_a_valid_tower_loads_with_its_pad_token(tower):
    loaded = load_text_tower(str(tower()))
    assert loaded.pad_id == loaded.tokenizer.token_to_id("[PAD]")
    ids = torch.tensor([[loaded.tokenizer.token_to_id("[CLS]"), loaded.tokenizer.token_to_id("[SEP]")]])
    assert np.isfinite(loaded.tower(ids[None], torch.zeros_like(ids[None]))[0].detach().numpy()).all()


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        message = refused(folder)
        assert "cannot be loaded" in message
        assert "fuserank export train text-tower" in message


def test_a_truncated_weight_file_is_refused(tower):
    folder = tower()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "cannot be loaded" in refused(folder)


def test_a_classifier_of_two_labels_is_refused(tower):
    assert "has 2 labels; allowed: 1" in refused(tower(labels=2))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_with_nan_or_infinity_are_refused(tower, value):
    def spoil(model):
        next(model.parameters()).view(-1)[3] = value

    assert "its weights hold NaN or infinity; restore the weight file" in refused(tower(change=spoil))


def test_a_tokenizer_without_a_pad_token_is_refused(tower):
    folder = tower()
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["pad_token"] = None
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config), "utf-8")
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    assert "has no pad token; add it to the folder's tokenizer files" in refused(folder)


def test_a_tower_without_tokenizer_files_is_refused(tower):
    folder = tower()
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "has no vocabulary; add it to the folder's tokenizer files" in refused(folder)
