"""The fit of the ranker: it learns what was planted, stops when it should, goes on where it was, and repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fuserank_ensemble.candidates.features import POSITION, SIGNALS
from fuserank_ensemble.contract.options import HEADS
from support.planted_sequences import DIM, EVENTS, VECTORS, planted, share_right

torch = pytest.importorskip("torch")

from fuserank_export.training.fitting.dataset import CaseDataset, ranker_inputs  # noqa: E402  they need torch
from fuserank_export.training.fitting.fit import fit, predicted, ranking_loss  # noqa: E402
from fuserank_export.training.fitting.settings import FitSettings  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = FitSettings(epochs=3, batch=32, patience=3)
# As many steps as the planted pattern takes, in few epochs: each is measured and kept.
LONG = FitSettings(epochs=4, batch=32, least_steps=75, patience=4)


def fitted(settings=SHORT, seed=5, learned=None, later=None, advanced=lambda epoch: None):
    return fit(learned or planted(160, 1), later or planted(64, 2), VECTORS, settings, seed, advanced)[:2]


def assert_same(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.fixture(scope="module")
def pattern(one_thread):
    return fitted(LONG, learned=planted(800, 1), later=planted(200, 2))


def test_what_follows_from_the_latest_item_is_learned(pattern):
    ranker, _ = pattern
    unseen = planted(300, 9)
    share = share_right(predicted(ranker, unseen, VECTORS), unseen)
    print(f"right candidate first: {share:.3f} of unseen cases, by chance {1 / 8:.3f}")
    assert share > 0.8


def test_it_is_the_sequence_that_says_so(pattern):
    ranker, _ = pattern
    unseen = planted(300, 9)
    shuffled = replace(unseen, events=np.roll(unseen.events, 1, axis=0))
    assert share_right(predicted(ranker, shuffled, VECTORS), unseen) < 0.3
    older = replace(unseen, events=np.roll(unseen.events, 1, axis=1))  # the same items, another one the latest
    assert share_right(predicted(ranker, older, VECTORS), unseen) < 0.4


def test_every_epoch_is_reported_and_has_its_losses():
    reported = []
    _, history = fitted(advanced=reported.append)
    assert reported == [1, 2, 3]
    assert [entry["epoch"] for entry in history if "eval_loss" in entry] == [1, 2, 3]
    assert [entry["epoch"] for entry in history if "loss" in entry] == [1, 2, 3]
    assert history[-1]["eval_loss"] < history[0]["loss"]


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    one, other, third = (fitted(seed=seed)[0] for seed in (5, 5, 6))
    assert_same(one, other)
    assert not torch.equal(one.bias, third.bias)


def drawn(cases, least=1):
    """How often each case comes in an epoch."""
    taken = CaseDataset(cases, VECTORS, least).__getitems__(list(range(len(CaseDataset(cases, VECTORS, least)))))
    marks = taken["features"][:, 0, 0].numpy()
    return [int((marks == mark).sum()) for mark in cases.features[:, 0, 0]]


def marked(kinds):
    """Cases of these kinds, each with a number of its own."""
    cases = planted(len(kinds), 1)
    features = cases.features.copy()
    features[:, 0, 0] = np.arange(len(kinds))
    return replace(cases, kinds=np.asarray(kinds), features=features)


def test_few_cases_come_as_often_as_an_epoch_is_to_be_long():
    cases = marked(["query"] * 10)
    assert drawn(cases) == [1] * 10
    assert drawn(cases, 12) == [1] * 10, "so nearly enough that none comes twice"
    assert drawn(cases, 13) == [2] * 10
    assert drawn(cases, 35) == [3] * 10


@pytest.mark.parametrize(("searches", "times"), [(2, 1), (5, 1), (8, 2), (12, 3), (40, 3)])
def test_recommendations_come_more_often_where_there_are_fewer_of_them(searches, times):
    cases = marked(["both"] * searches + ["user", "discover", "user", "user"])
    assert drawn(cases) == [1] * searches + [times] * 4


def test_a_measured_set_is_taken_as_it_is():
    assert drawn(marked(["both"] * 9 + ["user"]), 0) == [1] * 10


def test_a_feature_is_read_piece_by_piece_of_its_range_and_a_missing_one_fills_none():
    cases = planted(160, 1)
    ranker, _ = fitted(FitSettings(epochs=1, batch=32), learned=cases)
    ends = ranker.start + 1 / ranker.rate.where(ranker.rate > 0, torch.inf)
    assert (ranker.rate > 0).any()
    for feature in range(cases.features.shape[-1]):
        used = ranker.rate[feature] > 0
        starts, stops = ranker.start[feature][used], ends[feature][used]
        assert torch.allclose(starts[1:], stops[:-1], atol=1e-5)  # no gap between two pieces
        values = cases.features[..., feature]
        if used.any():
            assert np.nanmin(values) == pytest.approx(float(starts[0]), abs=1e-5)
            assert np.nanmax(values) == pytest.approx(float(stops[-1]), rel=1e-4, abs=1e-5)


def test_values_as_near_as_float32_can_have_them_leave_the_ranker_with_numbers():
    """As of something that wore off long ago: what is left of it cannot be told from nothing."""
    cases = planted(160, 1)
    features = cases.features.copy()
    features[..., POSITION["history_recency"]] = np.float32(1e-45) * (
        np.arange(features[..., 0].size).reshape(160, -1) % 3
    )
    cases = replace(cases, features=features)
    ranker, _ = fitted(FitSettings(epochs=1, batch=32), learned=cases)
    assert np.isfinite(predicted(ranker, cases, VECTORS)).all()


class StoppedError(Exception):
    """What stops a training half way."""


@pytest.mark.parametrize("stop", [2, 3])
def test_an_interrupted_fit_goes_on_to_the_weights_of_an_uninterrupted_one(tmp_path, stop):
    settings = FitSettings(epochs=4, batch=32, patience=4, checkpoints=tmp_path)

    def advanced(epoch):
        if epoch == stop:
            raise StoppedError

    with pytest.raises(StoppedError):
        fitted(settings, advanced=advanced)
    assert list(tmp_path.glob("*/checkpoint-*"))
    reported = []
    resumed, history = fitted(settings, advanced=reported.append)
    assert reported == list(range(stop, 5))
    whole, expected = fitted(replace(settings, checkpoints=None))
    assert_same(resumed, whole)
    assert [entry["eval_loss"] for entry in history if "eval_loss" in entry] == [
        entry["eval_loss"] for entry in expected if "eval_loss" in entry
    ]


@pytest.mark.parametrize("other", ["settings", "seed"])
def test_a_fit_does_not_go_on_from_the_checkpoints_of_another(tmp_path, other):
    settings = replace(SHORT, checkpoints=tmp_path)
    fitted(settings)
    reported = []
    changed = {
        "settings": {"settings": replace(settings, learning_rate=1e-3)},
        "seed": {"settings": settings, "seed": 6},
    }[other]
    fitted(**changed, advanced=reported.append)
    assert reported == [1, 2, 3]


def test_a_fit_goes_on_where_the_last_bits_of_features_differ_as_after_another_number_of_threads(tmp_path):
    settings, cases = replace(SHORT, checkpoints=tmp_path), planted(160, 1)
    fitted(settings, learned=cases)
    nudged = replace(cases, features=np.nextafter(cases.features, np.float32(np.inf)))
    reported = []
    fitted(settings, learned=nudged, advanced=reported.append)
    assert reported == []


def test_mixed_precision_learns_the_same_pattern():
    ranker, _ = fitted(
        replace(LONG, bf16=True, epochs=3, learning_rate=6e-3), learned=planted(800, 1), later=planted(100, 2)
    )
    assert all(value.dtype == torch.float32 for value in ranker.state_dict().values())
    unseen = planted(300, 9)
    assert share_right(predicted(ranker, unseen, VECTORS), unseen) > 0.8


CONTRADICTED = FitSettings(epochs=20, batch=32, learning_rate=2e-2, patience=2)


def contradicted(settings=CONTRADICTED, **more):
    """What is learned is noise, so that the loss on later cases soon rises."""
    return fitted(settings, learned=planted(96, 1, noise=1.0), later=planted(64, 2, noise=1.0), **more)


def test_training_ends_when_later_cases_say_so_and_the_best_epoch_is_kept():
    ranker, history = contradicted()
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    print("losses on later cases", [round(loss, 3) for loss in losses])
    assert len(losses) < 20
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + CONTRADICTED.patience
    later = planted(64, 2, noise=1.0)
    logits = torch.from_numpy(predicted(ranker, later, VECTORS))
    plain = (logits - ranker.offset) / ranker.slope
    loss = ranking_loss(plain, torch.from_numpy(later.labels))
    # The trainer's figure is the mean over its batches of 32, this one is over all.
    assert float(loss) == pytest.approx(min(losses), abs=0.02)


def test_patience_is_not_renewed_by_an_interruption(tmp_path):
    settings = replace(CONTRADICTED, checkpoints=tmp_path)
    _, whole = contradicted()
    ended = max(entry["epoch"] for entry in whole)

    def advanced(epoch):
        if epoch == ended:
            raise StoppedError

    with pytest.raises(StoppedError):
        contradicted(settings, advanced=advanced)
    _, resumed = contradicted(settings)
    assert max(entry["epoch"] for entry in resumed) == ended


def test_calibration_lowers_the_log_loss_on_held_out_cases_and_keeps_the_order(pattern):
    ranker, _ = pattern
    later = planted(200, 2)
    logits = predicted(ranker, later, VECTORS)
    plain = (logits - ranker.offset.numpy()) / ranker.slope.numpy()
    for head in ("click", "purchase"):
        h = HEADS.index(head)
        labels = later.labels[..., h].ravel()
        before, after = (log_loss(labels, 1 / (1 + np.exp(-scores[..., h].ravel()))) for scores in (plain, logits))
        print(f"{head}: log loss {before:.4f} before, {after:.4f} after calibration")
        assert after < before
        assert ranker.slope[h] > 0
        # Probabilities mean what they say: their mean is the share of right candidates.
        assert (1 / (1 + np.exp(-logits[..., h]))).mean() == pytest.approx(labels.mean(), abs=5e-3)
    # A head without labels is not calibrated.
    assert (float(ranker.slope[0]), float(ranker.offset[0])) == (1.0, 0.0)


def test_only_what_varies_in_training_has_a_say_and_only_for_heads_with_labels(pattern):
    active = pattern[0].active.numpy()
    reported = {signal for signal, row in zip(SIGNALS, active, strict=True) if row.any()}
    assert reported == {"popularity", "request", "sequence"}
    assert (active[:, HEADS.index("relevance")] == 0).all()


def test_without_any_history_the_sequence_has_no_say():
    learned = planted(160, 1)
    learned.events[:], learned.moments[:] = -1, 0.0
    ranker, _ = fitted(replace(SHORT, epochs=1), learned=learned)
    assert (ranker.active[SIGNALS.index("sequence")] == 0).all()
    assert (ranker.active[SIGNALS.index("popularity")][1:] == 1).all()


def test_features_are_scaled_by_what_is_present_in_training_alone():
    learned = planted(160, 1)
    column = POSITION["price"]
    learned.features[::2, :, column] = 3.0
    learned.features[::4, :, column] = 5.0
    learned.rows[-1, 4:] = -1
    learned.features[-1, 4:, column] = 1e6  # beyond the candidates: not there
    ranker, _ = fitted(replace(SHORT, epochs=1), learned=learned)
    assert float(ranker.mean[column]) == pytest.approx(4.0, abs=1e-5)
    assert float(ranker.scale[column]) == pytest.approx(1.0, abs=1e-5)


def test_inputs_are_the_text_vectors_that_cases_name_and_zeros_where_they_name_none():
    cases = planted(6, 4)
    cases.texts[0, 5:], cases.events[1, 2:] = -1, -1
    made = ranker_inputs(cases, VECTORS, np.asarray([1, 0]))
    assert made["vectors"].shape == (2, cases.texts.shape[1], DIM)
    assert made["events"].shape == (2, EVENTS, DIM)
    np.testing.assert_array_equal(made["vectors"][1, :5], VECTORS[cases.texts[0, :5]].astype(np.float32))
    np.testing.assert_array_equal(made["events"][0, :2], VECTORS[cases.events[1, :2]].astype(np.float32))
    assert (made["vectors"][1, 5:] == 0).all()
    assert (made["events"][0, 2:] == 0).all()
    assert all(tensor.dtype == torch.float32 for tensor in made.values())


def test_the_loss_is_the_sum_of_a_pointwise_and_a_listwise_part_worked_out_by_hand():
    logits = torch.tensor([[[2.0], [0.0], [9.0]]])
    labels = torch.tensor([[[1.0], [0.0], [float("nan")]]])
    pointwise = (np.log1p(np.exp(-2.0)) + np.log(2.0)) / 2
    listwise = np.log1p(np.exp(-2.0))  # of the two known candidates; the third takes no part
    assert float(ranking_loss(logits, labels)) == pytest.approx(pointwise + listwise, rel=1e-5)


@pytest.mark.parametrize("labels", [[float("nan")] * 3, [0.0] * 3], ids=["no labels", "nothing right"])
def test_a_list_without_a_right_answer_has_no_listwise_loss(labels):
    logits = torch.tensor([[[2.0], [0.0], [-1.0]]], requires_grad=True)
    loss = ranking_loss(logits, torch.tensor(labels).reshape(1, 3, 1))
    loss.backward()
    expected = 0.0 if np.isnan(labels[0]) else np.log1p(np.exp([2.0, 0.0, -1.0])).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert torch.isfinite(logits.grad).all()
