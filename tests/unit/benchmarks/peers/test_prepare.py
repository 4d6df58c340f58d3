"""The files for the HTTP peers hold the bundle's own catalogue, texts and habits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fuserank_benchmarks.peers.endpoint import fusion
from fuserank_benchmarks.peers.prepare import write_catalog, write_model
from support.tiny_shop import TinyShop


@pytest.fixture(scope="module")
def inputs(tiny_bundle: Path, tiny_shop: TinyShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("peers")
    write_catalog(tiny_bundle, list(tiny_shop.favourites), out)
    return out


def test_items_keep_their_ids_and_titles(inputs: Path, tiny_shop: TinyShop) -> None:
    catalog = fusion.Catalog.open(inputs)

    titles = dict(zip(catalog.item_ids, catalog.titles, strict=True))
    assert titles == {item: row["title"] for item, row in tiny_shop.items.items()}


def test_a_cross_encoder_reads_the_text_that_the_bundle_embeds(inputs: Path, tiny_shop: TinyShop) -> None:
    catalog = fusion.Catalog.open(inputs)

    row = list(catalog.item_ids).index("i00")
    assert catalog.texts[row] == "whole milk small. Food, Dairy"


def test_every_item_is_found_by_the_text_that_is_its_own(inputs: Path) -> None:
    catalog, text = fusion.Catalog.open(inputs), np.load(inputs / "text.npy")

    for row in (0, 17, 59):
        assert row in catalog.items_of([int(text[row])])


def test_the_most_bought_item_of_a_user_comes_first(inputs: Path, tiny_shop: TinyShop) -> None:
    catalog = fusion.Catalog.open(inputs)

    for user, (favourite, *_) in tiny_shop.favourites.items():
        assert catalog.item_ids[catalog.habits_of(user)[0]] == favourite


def test_an_unknown_user_has_no_habits(inputs: Path) -> None:
    assert not len(fusion.Catalog.open(inputs).habits_of("nobody"))


def test_the_onnx_tower_scores_as_the_torch_one(tiny_tower: Path, tmp_path: Path) -> None:
    import onnxruntime as ort
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    write_model(tiny_tower, tmp_path / "tower", head=True)

    # Another batch and another length than those of the export.
    tokens = AutoTokenizer.from_pretrained(tiny_tower)(
        ["whole milk", "dish soap", "rice"], ["oat drink large", "paper", "soap"], return_tensors="pt", padding=True
    )
    session = ort.InferenceSession(str(tmp_path / "tower" / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    fed = {each.name: tokens[each.name].numpy() for each in session.get_inputs()}
    with torch.inference_mode():
        wanted = AutoModelForSequenceClassification.from_pretrained(tiny_tower).eval()(**tokens).logits.numpy()
    np.testing.assert_allclose(session.run(["logits"], fed)[0], wanted, atol=1e-4)
