"""A shallow tower learns its teacher's logits, not the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_export.training.text.cross_encoder import (
    build_distillation_rows,
    open_tower,
    score_pairs,
    train_text_tower,
)
from fuserank_export.training.text.data.candidates import TextData
from fuserank_export.training.text.data.pairs import RankedQuery
from fuserank_export.training.text.settings import TextFitSettings

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher(tiny_encoder, planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "tower"
    train_text_tower(TextFitSettings(str(tiny_encoder), out, max_length=32, epochs=8, learning_rate=3e-3), planted)
    return str(out)


def unlabelled(data):
    """Returns the same queries and candidates with all labels 0."""
    ranked = [RankedQuery(query.text, query.rows, [0] * len(query.rows), []) for query in data.train]
    return TextData(data.texts, ranked, data.validation, data.held_out, data.report)


def test_distillation_rows_have_the_teachers_logit_of_every_candidate(teacher, planted):
    tower = open_tower(teacher, None, 32)
    rows = build_distillation_rows(tower, planted)
    assert len(rows) == sum(len(query.rows) for query in planted.train)
    expected = score_pairs(tower, rows["query"][:5], rows["text"][:5])
    np.testing.assert_allclose(rows["label"][:5], expected, atol=0.05)  # bf16 where the CPU has it


def test_a_shallow_tower_learns_its_teachers_order_and_not_the_labels(teacher, planted, tiny_encoder, tmp_path):
    settings = TextFitSettings(
        str(tiny_encoder), tmp_path / "out", layers=1, max_length=32, epochs=12, learning_rate=3e-3
    )
    report = train_text_tower(replace(settings, teacher=teacher), unlabelled(planted))
    tower = open_tower(str(settings.out), None, 32)
    assert tower.config.num_hidden_layers == 1
    assert report.ndcg_at_10["teacher"] > 0.95
    assert report.ndcg_at_10["model"] > 0.95 > report.ndcg_at_10["fusion"]
    assert report.settings["teacher"] == teacher
    texts = ["cream zenith soap", "cream acme soap"]
    student, expected = (
        score_pairs(model, ["milk", "milk"], texts) for model in (tower, open_tower(teacher, None, 32))
    )
    assert np.abs(student - expected).max() < 0.3 * np.abs(expected).max()
