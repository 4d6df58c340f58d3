"""Text models learn what is planted, stop and resume as they should, and are written as other tools read them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from fuserank_export.sources.report import InputError
from fuserank_export.training.text import fitting
from fuserank_export.training.text.bi_encoder import Cosines, open_encoder, train_encoder
from fuserank_export.training.text.candidates import Inputs, text_data
from fuserank_export.training.text.cross_encoder import logits, open_tower, train_text_tower
from fuserank_export.training.text.evaluation import RankingEvaluator, ndcg
from fuserank_export.training.text.fitting import Fit
from fuserank_export.training.text.pairs import Ranked

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def settings(tiny_encoder, tmp_path):
    return Fit(str(tiny_encoder), tmp_path / "out", max_length=32, epochs=8, batch_size=48, learning_rate=3e-3)


def weights(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder).state_dict()


def killed_at(step):
    """Ends a run as a killed one ends: between steps, with what was kept by then."""

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
    right, wrong = logits(tower, ["milk", "milk"], ["cream zenith soap", "cream acme soap"])
    assert right > 0 > wrong


def test_a_tower_opens_as_a_classifier_with_one_logit_and_its_tokenizer(planted, settings):
    train_text_tower(replace(settings, epochs=1), planted)
    assert (settings.out / "tokenizer.json").exists()
    model = AutoModelForSequenceClassification.from_pretrained(settings.out)
    tokenizer = AutoTokenizer.from_pretrained(settings.out)
    assert (model.config.num_labels, tokenizer.model_max_length) == (1, 32)
    tokens = tokenizer("milk", "whole milk acme", return_tensors="pt")
    with torch.no_grad():
        expected = float(model(**tokens).logits)
    found = logits(open_tower(str(settings.out), None, 32), ["milk"], ["whole milk acme"])
    assert found[0] == pytest.approx(expected, abs=0.05)  # bf16 where the CPU has it


def test_the_report_says_what_the_training_took_and_draws_its_curve(planted, settings):
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
    for each in (first, again, replace(other, seed=14)):
        train_text_tower(each, planted)
    same, different = weights(first.out), weights(other.out)
    assert all(torch.equal(same[name], value) for name, value in weights(again.out).items())
    assert any(not torch.equal(same[name], value) for name, value in different.items())


def test_an_interrupted_run_resumes_to_the_same_steps_and_weights(planted, settings):
    settings = replace(settings, epochs=2, learning_rate=3e-4)
    whole = replace(settings, out=settings.out.with_name("whole"))
    expected = train_text_tower(whole, planted)
    with pytest.raises(KeyboardInterrupt):
        train_text_tower(settings, planted, killed_at(14))  # checkpoints are every 4 steps
    assert not settings.out.exists()
    with pytest.raises(InputError, match=r"out.checkpoints: left by an interrupted run; .* --resume"):
        train_text_tower(settings, planted)
    report = train_text_tower(replace(settings, resume=True), planted)
    assert (report.resumed_from, report.steps) == (12, expected.steps)
    assert report.validation == expected.validation
    found = weights(settings.out)
    assert all(torch.equal(found[name], value) for name, value in weights(whole.out).items())
    assert not settings.checkpoints.exists()


def test_training_stops_early_where_the_validation_queries_gain_nothing_more(planted, settings):
    report = train_text_tower(replace(settings, learning_rate=0.0), planted)
    assert report.stopped_early
    assert report.best_step == report.validation[0][0]
    steps = [step for step, _ in report.validation]
    assert steps == [16, 32, 48, 64]  # of 80, of which the first half ends nothing
    assert sum(step > 40 for step in steps) == fitting.PATIENCE


def test_few_pairs_are_passed_over_until_the_head_has_begun_to_learn(planted, settings):
    assert fitting.passes(replace(settings, epochs=None), 60, 6, 300) == 30
    assert fitting.passes(replace(settings, epochs=None), 6_000, 6, 300) == 1
    assert fitting.passes(replace(settings, epochs=2), 60, 6, 300) == 2
    report = train_text_tower(replace(settings, epochs=None), planted)
    assert report.settings["epochs"] == 30
    assert report.steps >= fitting.LEAST_STEPS // 2


def test_layers_are_the_encoders_first(tiny_encoder, planted, settings):
    train_text_tower(replace(settings, layers=1, epochs=1), planted)
    model = AutoModelForSequenceClassification.from_pretrained(settings.out)
    assert model.config.num_hidden_layers == 1
    assert len(model.bert.encoder.layer) == 1
    fresh = open_tower(str(tiny_encoder), 1, 32).model.bert.encoder.layer[0].state_dict()
    source = AutoModel.from_pretrained(tiny_encoder).encoder.layer[0].state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in source.items())


@pytest.mark.parametrize("layers", [0, 3])
def test_a_number_of_layers_that_the_encoder_has_not_is_an_error(tiny_encoder, layers):
    with pytest.raises(InputError, match=f"--layers: found {layers}; allowed: 1 to 2"):
        open_tower(str(tiny_encoder), layers, 32)


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_tower(str(tmp_path / "none"), None, 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded"):
        open_encoder(str(tmp_path / "empty"), None, 32)


def test_a_pair_is_cut_at_the_positions_that_the_encoder_has(tiny_encoder):
    tower = open_tower(str(tiny_encoder), None, 512)
    assert np.isfinite(logits(tower, ["milk " * 40], ["cream " * 400])).all()


def test_a_taken_place_is_refused(planted, settings):
    settings.out.mkdir()
    with pytest.raises(InputError, match="exists already"):
        train_text_tower(settings, planted)


def test_an_encoder_learns_to_put_the_planted_right_text_nearest(planted_pairs, settings):
    report = train_encoder(replace(settings, batch_size=8, epochs=40), planted_pairs, "{query}")
    assert report.ndcg_at_10["model"] > 0.9 > report.ndcg_at_10["before"]
    losses = [loss for _, loss in report.losses]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    encoder = open_encoder(str(settings.out), None, 32)
    right, wrong = Cosines("{query}")(encoder, ["milk", "milk"], ["cheese acme", "milk acme"])
    assert right > wrong


def test_a_trained_encoder_is_one_that_a_bundle_can_be_made_with(planted, settings):
    from fuserank_export.encoder.load import load_encoder

    train_encoder(replace(settings, epochs=1), planted, "query: {query}")
    loaded = load_encoder(str(settings.out))
    assert (loaded.dim, loaded.model.pooling) == (32, "mean")


def test_missed_right_items_count_against_every_order():
    evaluator = RankingEvaluator([Ranked("q", [0, 1], [0, 1], [2])], ["a", "b", "c"], lambda *_: np.asarray([0.0, 1.0]))
    ideal = 1 + 1 / np.log2(3)
    assert evaluator(None)["ndcg@10"] == pytest.approx(1 / ideal)
    assert evaluator.fused() == pytest.approx((1 / np.log2(3)) / ideal)


def test_ndcg_is_that_of_trec():
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
        assert ndcg(labels, int(labels.sum()) + missed) == pytest.approx(expected, abs=1e-6)


def test_candidates_are_found_once_and_again_where_the_input_changed(tiny_shop, tiny_encoder, tmp_path):
    from fuserank_export.progress import Progress

    inputs = Inputs(tiny_shop.catalog, tiny_shop.interactions)
    first = text_data(inputs, str(tiny_encoder), tmp_path, 1, Progress())
    assert first.report["source"] == "catalog"  # its log has four queries
    (kept,) = tmp_path.glob("candidates-*.json")
    before = kept.stat().st_mtime_ns
    again = text_data(inputs, str(tiny_encoder), tmp_path, 1, Progress())
    assert (again.train, kept.stat().st_mtime_ns) == (first.train, before)
    text_data(replace(inputs, text_template="{title}"), str(tiny_encoder), tmp_path, 1, Progress())
    assert len(list(tmp_path.glob("candidates-*.json"))) == 2
