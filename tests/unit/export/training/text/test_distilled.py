"""A shallow tower learns its teacher's logits, not the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuserank_export.training.text.candidates import TextData
from fuserank_export.training.text.cross_encoder import logits, open_tower, taught, train_text_tower
from fuserank_export.training.text.fitting import Fit
from fuserank_export.training.text.pairs import Ranked

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher(tiny_encoder, planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "tower"
    train_text_tower(Fit(str(tiny_encoder), out, max_length=32, epochs=8, learning_rate=3e-3), planted)
    return str(out)


def unlabelled(data):
    """The same queries and candidates, every label wrong."""
    ranked = [Ranked(each.text, each.rows, [0] * len(each.rows), []) for each in data.train]
    return TextData(data.texts, ranked, data.validation, data.held_out, data.report)


def test_every_candidate_is_taught_with_the_teachers_logit(teacher, planted):
    tower = open_tower(teacher, None, 32)
    rows = taught(tower, planted)
    assert len(rows) == sum(len(each.rows) for each in planted.train)
    expected = logits(tower, rows["query"][:5], rows["text"][:5])
    np.testing.assert_allclose(rows["label"][:5], expected, atol=0.05)  # bf16 where the CPU has it


def test_a_shallow_tower_ranks_as_its_teacher_does_whatever_the_labels_say(teacher, planted, tiny_encoder, tmp_path):
    settings = Fit(str(tiny_encoder), tmp_path / "out", layers=1, max_length=32, epochs=12, learning_rate=3e-3)
    report = train_text_tower(replace(settings, teacher=teacher), unlabelled(planted))
    tower = open_tower(str(settings.out), None, 32)
    assert tower.config.num_hidden_layers == 1
    assert report.ndcg_at_10["teacher"] > 0.95
    assert report.ndcg_at_10["model"] > 0.95 > report.ndcg_at_10["fusion"]
    assert report.settings["teacher"] == teacher
    texts = ["cream zenith soap", "cream acme soap"]
    learned, known = (logits(each, ["milk", "milk"], texts) for each in (tower, open_tower(teacher, None, 32)))
    assert np.abs(learned - known).max() < 0.3 * np.abs(known).max()
