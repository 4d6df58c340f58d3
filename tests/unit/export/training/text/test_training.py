"""Text models learn a planted rule, stop early, resume, and are saved in the libraries' formats."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from fuserank_export.sources.report import InputError
from fuserank_export.training.text import cross_encoder, fitting
from fuserank_export.training.text.bi_encoder import CosineScorer, open_encoder, train_encoder
from fuserank_export.training.text.cross_encoder import open_tower, score_pairs, train_text_tower
from fuserank_export.training.text.data.candidates import TextInputFiles, read_text_data
from fuserank_export.training.text.data.pairs import RankedQuery
from fuserank_export.training.text.evaluation import RankingEvaluator, compute_ndcg
from fuserank_export.training.text.settings import TextFitSettings

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def settings(tiny_encoder, tmp_path):
    return TextFitSettings(
        str(tiny_encoder), tmp_path / "out", max_length=32, epochs=8, batch_size=48, learning_rate=3e-3
    )


def weights(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder).state_dict()


def interrupt_at(step):
    """Returns a callback that interrupts a run after a step."""

    def advanced(done, total):
        if done == step:
            raise KeyboardInterrupt

    return advanced


def test_a_tower_learns_to_put_the_planted_right_text_first(planted, settings):
    report = train_text_tower(settings, planted)
    losses = [loss for _, loss in report.losses]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) / 2
    assert report.ndcg_at_10["model"] > 0.95 > report.ndcg_at_10["fusion"]
    tower = open_tower(str(settings.out), None, 32)
    right, wrong = score_pairs(tower, ["milk", "milk"], ["cream zenith soap", "cream acme soap"])
    assert right > 0 > wrong


def test_a_trained_tower_opens_as_a_classifier_with_its_tokenizer(planted, settings):
    train_text_tower(replace(settings, epochs=1), planted)
    assert (settings.out / "tokenizer.json").exists()
    model = AutoModelForSequenceClassification.from_pretrained(settings.out)
    tokenizer = AutoTokenizer.from_pretrained(settings.out)
    assert (model.config.num_labels, tokenizer.model_max_length) == (1, 32)
    tokens = tokenizer("milk", "whole milk acme", return_tensors="pt")
    with torch.no_grad():
        expected = float(model(**tokens).logits)
    scores = score_pairs(open_tower(str(settings.out), None, 32), ["milk"], ["whole milk acme"])
    assert scores[0] == pytest.approx(expected, abs=0.05)  # bf16 where the CPU has it


def test_the_report_has_pairs_steps_seconds_and_a_plot_of_the_loss(planted, settings):
    train_text_tower(replace(settings, epochs=2, learning_rate=3e-4), planted)
    report = json.loads((settings.out / "training.json").read_text())
    assert report["pairs"] == 2 * 6 * 60
    assert report["steps"] == 2 * 10
    assert report["seconds"] > 0
    assert report["pairs_per_second"] == pytest.approx(report["pairs"] / report["seconds"], rel=0.1)
    assert report["best_step"] in [step for step, _ in report["validation"]]
    assert len(report["validation"]) == 5
    assert set(report["versions"]) == set(fitting.LIBRARIES)
    assert (settings.out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_trains_the_same_tower_and_another_does_not(planted, settings):
    first, again, other = (replace(settings, epochs=1, out=settings.out / name) for name in "abc")
    for variant in (first, again, replace(other, seed=14)):
        train_text_tower(variant, planted)
    same, different = weights(first.out), weights(other.out)
    assert all(torch.equal(same[name], value) for name, value in weights(again.out).items())
    assert any(not torch.equal(same[name], value) for name, value in different.items())


def test_an_interrupted_run_resumes_to_the_same_steps_and_weights(planted, settings):
    settings = replace(settings, epochs=2, learning_rate=3e-4)
    whole = replace(settings, out=settings.out.with_name("whole"))
    expected = train_text_tower(whole, planted)
    with pytest.raises(KeyboardInterrupt):
        train_text_tower(settings, planted, interrupt_at(14))  # checkpoints are every 4 steps
    assert not settings.out.exists()
    with pytest.raises(InputError, match=r"out.checkpoints: left by an interrupted run; .* --resume"):
        train_text_tower(settings, planted)
    report = train_text_tower(replace(settings, resume=True), planted)
    assert (report.resumed_from, report.steps) == (12, expected.steps)
    assert report.validation == expected.validation
    resumed = weights(settings.out)
    assert all(torch.equal(resumed[name], value) for name, value in weights(whole.out).items())
    assert not settings.checkpoints.exists()


def test_training_stops_early_when_validation_no_longer_improves(planted, settings):
    report = train_text_tower(replace(settings, learning_rate=0.0), planted)
    assert report.stopped_early
    assert report.best_step == report.validation[0][0]
    steps = [step for step, _ in report.validation]
    assert steps == [16, 32, 48, 64]  # of 80, of which the first half ends nothing
    assert sum(step > 40 for step in steps) == fitting.PATIENCE


def test_few_pairs_are_trained_on_for_the_least_number_of_steps(planted, settings, monkeypatch):
    assert fitting.count_epochs(replace(settings, epochs=None), 60, 6, 300) == 30
    assert fitting.count_epochs(replace(settings, epochs=None), 6_000, 6, 300) == 1
    assert fitting.count_epochs(replace(settings, epochs=2), 60, 6, 300) == 2
    monkeypatch.setattr(cross_encoder, "MIN_STEPS", 40)
    report = train_text_tower(replace(settings, epochs=None), planted)
    assert report.settings["epochs"] == 4 < settings.epochs
    assert 20 <= report.steps <= 40


def test_a_tower_of_fewer_layers_has_the_encoders_first_ones(tiny_encoder, planted, settings):
    train_text_tower(replace(settings, layers=1, epochs=1), planted)
    model = AutoModelForSequenceClassification.from_pretrained(settings.out)
    assert model.config.num_hidden_layers == 1
    assert len(model.bert.encoder.layer) == 1
    fresh = open_tower(str(tiny_encoder), 1, 32).model.bert.encoder.layer[0].state_dict()
    source = AutoModel.from_pretrained(tiny_encoder).encoder.layer[0].state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in source.items())


@pytest.mark.parametrize("layers", [0, 3])
def test_more_layers_than_the_encoder_has_are_an_error(tiny_encoder, layers):
    with pytest.raises(InputError, match=f"--layers: found {layers}; allowed: 1 to 2"):
        open_tower(str(tiny_encoder), layers, 32)


def test_a_missing_encoder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_tower(str(tmp_path / "none"), None, 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded"):
        open_encoder(str(tmp_path / "empty"), None, 32)


def test_a_pair_is_cut_at_the_encoders_longest_input(tiny_encoder):
    tower = open_tower(str(tiny_encoder), None, 512)
    assert np.isfinite(score_pairs(tower, ["milk " * 40], ["cream " * 400])).all()


def test_an_existing_output_is_refused(planted, settings):
    settings.out.mkdir()
    with pytest.raises(InputError, match="exists already"):
        train_text_tower(settings, planted)


def test_an_encoder_learns_to_put_the_planted_right_text_nearest(planted_pairs, settings):
    report = train_encoder(replace(settings, batch_size=8, epochs=40), planted_pairs)
    assert report.ndcg_at_10["model"] > 0.9 > report.ndcg_at_10["before"]
    losses = [loss for _, loss in report.losses]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    encoder = open_encoder(str(settings.out), None, 32)
    right, wrong = CosineScorer("{query}")(encoder, ["milk", "milk"], ["cheese acme", "milk acme"])
    assert right > wrong


def test_a_trained_encoder_can_be_loaded_for_an_export(planted, settings):
    from fuserank_export.encoder.load import load_encoder

    train_encoder(replace(settings, epochs=1), replace(planted, query_template="query: {query}"))
    loaded = load_encoder(str(settings.out))
    assert (loaded.dim, loaded.model.pooling) == (32, "mean")


def test_missed_right_items_lower_the_ndcg_of_every_order():
    evaluator = RankingEvaluator(
        [RankedQuery("q", [0, 1], [0, 1], [2])], ["a", "b", "c"], lambda *_: np.asarray([0.0, 1.0])
    )
    ideal = 1 + 1 / np.log2(3)
    assert evaluator(None)["ndcg@10"] == pytest.approx(1 / ideal)
    assert evaluator.measure_fusion() == pytest.approx((1 / np.log2(3)) / ideal)


def test_ndcg_equals_that_of_ir_measures():
    import ir_measures

    draw = np.random.default_rng(1)
    for _ in range(20):
        labels = draw.integers(0, 2, 15)
        missed = int(draw.integers(0, 4))
        if not labels.sum() + missed:
            continue
        qrels = {"q": {**{str(i): int(label) for i, label in enumerate(labels)}, **{f"m{i}": 1 for i in range(missed)}}}
        run = {"q": {str(i): float(-i) for i in range(15)}}
        expected = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
        assert compute_ndcg(labels, int(labels.sum()) + missed) == pytest.approx(expected, abs=1e-6)


def test_candidates_are_kept_and_found_again_when_the_input_changes(tiny_shop, tiny_encoder, tmp_path):
    from fuserank_export.progress import Progress

    inputs = TextInputFiles(catalog=tiny_shop.catalog, interactions=tiny_shop.interactions)
    first = read_text_data(inputs, str(tiny_encoder), tmp_path, 1, Progress())
    assert first.report["source"] == "catalog"  # its log has four queries
    (kept,) = tmp_path.glob("candidates-*.json")
    before = kept.stat().st_mtime_ns
    again = read_text_data(inputs, str(tiny_encoder), tmp_path, 1, Progress())
    assert (again.train, kept.stat().st_mtime_ns) == (first.train, before)
    read_text_data(replace(inputs, text_template="{title}"), str(tiny_encoder), tmp_path, 1, Progress())
    assert len(list(tmp_path.glob("candidates-*.json"))) == 2
