"""A small query encoder learns vectors that a sum of words explains, and its engine is what torch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fuserank_ensemble.graph.engine import open_session
from fuserank_export.encoder.onnx_encoder import pad_tokens
from fuserank_export.query_encoder.distil import distil
from fuserank_export.query_encoder.model import export_query_encoder

BEGIN, END, WORDS, UNUSED = 0, 1, range(2, 40), 40
NAMES = ("INPUT_IDS", "ATTENTION_MASK")


@pytest.fixture(scope="module")
def taught():
    draw = np.random.default_rng(5)
    meanings = draw.normal(size=(41, 16))
    texts = [[BEGIN, word, END] for word in WORDS]
    texts += [[BEGIN, *draw.choice(list(WORDS), int(draw.integers(2, 6))).tolist(), END] for _ in range(1_500)]
    sums = np.stack([meanings[text[1:-1]].sum(0) for text in texts])
    vectors = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return texts, vectors, distil(texts, vectors, 41, 7)


def test_what_a_sum_of_words_explains_is_learned(taught):
    assert taught[2].cosine > 0.95
    assert taught[2].texts < len(taught[0])


def test_a_token_that_no_text_has_changes_nothing_but_the_mean(taught):
    assert not taught[2].encoder.table[UNUSED].any()


def test_the_engine_agrees_with_torch_in_batches_of_any_length(taught, tmp_path):
    texts, _, distilled = taught
    export_query_encoder(distilled.encoder, tmp_path / "1" / "model.onnx")
    session = open_session(tmp_path / "1" / "model.onnx", {})
    rows = texts[36:44]
    with torch.no_grad():
        expected = distilled.encoder.embed([torch.tensor(row) for row in rows]).numpy()
    ids, mask = pad_tokens(rows, 0)
    (together,) = session.run(["EMBEDDING"], {"INPUT_IDS": ids, "ATTENTION_MASK": mask})
    np.testing.assert_allclose(together, expected, atol=2e-3)  # its table is in half precision
    for row, vector in zip(rows, together, strict=True):
        (alone,) = session.run(["EMBEDDING"], dict(zip(NAMES, pad_tokens([row], 0), strict=True)))
        np.testing.assert_allclose(alone[0], vector, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_nothing_but_padding_is_no_number_that_is_none(taught, tmp_path):
    export_query_encoder(taught[2].encoder, tmp_path / "1" / "model.onnx")
    feed = dict.fromkeys(NAMES, np.zeros((1, 8), np.int64))
    assert np.isfinite(open_session(tmp_path / "1" / "model.onnx", {}).run(["EMBEDDING"], feed)[0]).all()
