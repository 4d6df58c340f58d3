"""The ranker explains itself exactly, reads what is there and nothing else, and is exported as it was trained."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, POSITION, SIGNALS
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.spec import GraphSpec

torch = pytest.importorskip("torch")

from fuserank_export.training.model.engine import OUTPUTS, RankerEngine, export_engine  # noqa: E402  they need torch
from fuserank_export.training.model.merged import MergedRanker, MergedWeights, heard_signals, merged_logits  # noqa: E402
from fuserank_export.training.model.ranker import GATES, Ranker  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

DIM, EVENTS = 16, 6
SPEC = GraphSpec(embedding_dim=DIM, events=EVENTS)


def ranker(seed=3, calibrated=True):
    """A ranker whose every parameter is drawn, so that nothing cancels by being zero or one."""
    torch.manual_seed(seed)
    made = Ranker(DIM)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        made.mean.normal_()
        made.scale.uniform_(0.5, 2.0)
        if calibrated:
            made.slope.uniform_(0.5, 2.0)
            made.offset.normal_()
    return made.eval()


def ranker_tensors(seed=0, batch=3, candidates=9, events=EVENTS):
    """Inputs by the names of the model's arguments: features missing here and there, a sequence not quite full."""
    draw = np.random.default_rng(seed)
    features = 3 * draw.normal(size=(batch, candidates, len(FEATURES)))
    features[draw.random(features.shape) < 0.4] = np.nan
    reading = draw.normal(size=(batch, candidates))
    reading[:, candidates // 2 :] = np.nan
    moments = draw.uniform(0, 4, (batch, events, 3))
    moments[..., 2] = 1.0
    sequence = draw.normal(size=(batch, events, DIM))
    sequence[:, 4:], moments[:, 4:] = 0.0, 0.0
    arrays = {
        "features": features, "vectors": draw.normal(size=(batch, candidates, DIM)), "events": sequence,
        "moments": moments, "reading": reading,
    }  # fmt: skip
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def scored(model, tensors):
    with torch.no_grad():
        return model(**tensors)


def test_contributions_and_the_calibrated_bias_add_up_to_the_heads():
    model = ranker()
    heads, parts = scored(model, ranker_tensors())
    assert heads.shape == (3, 9, len(HEADS))
    assert parts.shape == (3, 9, len(SIGNALS), len(HEADS))
    torch.testing.assert_close(parts.sum(-2) + model.bias * model.slope + model.offset, heads, atol=1e-4, rtol=0)
    assert float(parts.abs().max()) > 0.1


def worths(model, tensors):
    """What a coalition of signals is worth: the heads where all others are silent, beyond where all are."""
    none = model.bias * model.slope + model.offset

    def worth(coalition):
        model.active.zero_()
        model.active[list(coalition)] = 1.0
        return (scored(model, tensors)[0] - none).detach().double().numpy()

    return worth


def test_a_signals_contribution_is_its_shapley_value_over_all_coalitions():
    """Of the game whose players are the signals, and whose worth is what the ranker says when the others are silent."""
    model, tensors = ranker(), ranker_tensors(batch=1, candidates=2)
    contributions = scored(model, tensors)[1].double().numpy()  # [1, 2, signals, heads]
    worth, players = worths(model, tensors), range(len(SIGNALS))
    main = {s: worth([s]) for s in players}
    pair = {(s, t): worth([s, t]) - main[s] - main[t] for s, t in combinations(players, 2)}
    assert max(np.abs(effect).max() for effect in pair.values()) > 0.01  # signals do meet
    # A coalition is worth its main effects and the pairs within it: the ranker itself says so of some.
    draw = np.random.default_rng(1)
    for _ in range(20):
        inside = np.flatnonzero(draw.random(len(SIGNALS)) < 0.5).tolist()
        pairs = sum((pair[signals] for signals in combinations(inside, 2)), 0.0)
        expected = sum((main[s] for s in inside), 0.0) + pairs
        np.testing.assert_allclose(worth(inside), expected + np.zeros_like(main[0]), atol=1e-4)
    # All 2^signals coalitions, by bit mask.
    count = len(SIGNALS)
    masks = np.arange(2**count)
    member = (masks[:, None] >> np.arange(count)) & 1  # [coalitions, signals]
    value = np.einsum("cs,s...->c...", member, np.stack([main[s] for s in players]))
    for (s, t), effect in pair.items():
        value += np.multiply.outer(member[:, s] & member[:, t], effect)
    size = member.sum(1)
    for s in players:
        without = masks[member[:, s] == 0]
        weight = np.asarray([factorial(k) * factorial(count - k - 1) / factorial(count) for k in size[without]])
        shapley = np.tensordot(weight, value[without | (1 << s)] - value[without], axes=1)
        np.testing.assert_allclose(contributions[:, :, s], shapley, atol=1e-4, err_msg=SIGNALS[s])


def test_a_signal_that_was_not_learned_adds_nothing_for_that_head_not_even_in_pairs():
    model = ranker()
    price, click = SIGNALS.index("price"), HEADS.index("click")
    before = scored(model, ranker_tensors())[1]
    model.active[price, click] = 0.0
    after = scored(model, ranker_tensors())[1]
    assert (after[:, :, price, click] == 0).all()
    others = [h for h in range(len(HEADS)) if h != click]
    torch.testing.assert_close(after[..., others], before[..., others])


def test_missing_and_absurd_features_give_finite_scores():
    for value in (float("nan"), 1e30, -1e30):
        tensors = ranker_tensors() | {"features": torch.full((3, 9, len(FEATURES)), value)}
        tensors["features"][..., GATES] = 1.0  # 0 or 1, whatever the rest is
        assert all(torch.isfinite(out).all() for out in scored(ranker(), tensors))


def test_beyond_four_deviations_more_says_no_more():
    model = ranker()
    column = POSITION["trend"]
    values = {}
    for deviations in (3, 4, 5, 500):
        tensors = ranker_tensors()
        tensors["features"][..., column] = model.mean[column] + deviations * model.scale[column]
        values[deviations] = scored(model, tensors)[0]
    assert not torch.allclose(values[3], values[4])
    torch.testing.assert_close(values[4], values[5])
    torch.testing.assert_close(values[4], values[500])


def test_what_is_missing_is_not_what_is_zero():
    missing, zeros = ranker_tensors(), ranker_tensors()
    missing["features"][..., POSITION["history_frequency"]] = float("nan")
    zeros["features"][..., POSITION["history_frequency"]] = 0.0
    assert not torch.allclose(scored(ranker(), missing)[0], scored(ranker(), zeros)[0])


def changed(name, column=None):
    tensors = ranker_tensors()
    part = tensors[name] if column is None else tensors[name][..., POSITION[column]]
    part.copy_(torch.full_like(part, 0.777))
    return tensors


@pytest.mark.parametrize(
    ("name", "column", "signal"),
    [("features", "price", "price"), ("features", "due", "history"), ("reading", None, "reading"),
     ("events", None, "sequence"), ("vectors", None, "sequence")],
)  # fmt: skip
def test_each_signals_main_effect_sees_its_own_inputs_alone(name, column, signal):
    model = ranker()
    model.meeting.data.zero_()  # without pairs, a contribution is the main effect
    difference = (scored(model, ranker_tensors())[1] - scored(model, changed(name, column))[1]).abs().amax((0, 1, 3))
    assert {name for name, d in zip(SIGNALS, difference.tolist(), strict=True) if d > 0} == {signal}


def test_signals_share_what_they_have_together_so_that_one_changes_the_others_part():
    difference = (scored(ranker(), ranker_tensors())[1] - scored(ranker(), changed("features", "price"))[1]).abs()
    assert (difference.amax((0, 1, 3)) > 0).sum() > 2


# The sequence tower.


def sequence_of(tensors):
    return scored(ranker(), tensors)[1][:, :, SIGNALS.index("sequence")]


def test_an_empty_sequence_gives_finite_scores_whatever_its_padding_holds():
    empty = ranker_tensors()
    empty["events"].zero_()
    empty["moments"].zero_()
    noise = ranker_tensors()
    noise["moments"].zero_()  # none is present, whatever lies there
    outputs = scored(ranker(), empty)
    assert all(torch.isfinite(out).all() for out in outputs)
    torch.testing.assert_close(scored(ranker(), noise)[0], outputs[0])
    assert not torch.allclose(scored(ranker(), ranker_tensors())[0], outputs[0])


def test_what_lies_where_no_event_is_has_no_say():
    padded = ranker_tensors()
    padded["events"][:, 4:] = 9.0
    torch.testing.assert_close(sequence_of(padded), sequence_of(ranker_tensors()))


@pytest.mark.parametrize("order", [[4, 5, 0, 1, 2, 3], [0, 4, 1, 5, 2, 3], [5, 4, 0, 1, 2, 3]])
def test_where_the_padding_stands_does_not_matter(order):
    moved = ranker_tensors()
    moved["events"], moved["moments"] = moved["events"][:, order], moved["moments"][:, order]
    torch.testing.assert_close(sequence_of(moved), sequence_of(ranker_tensors()))


def test_a_longer_padding_changes_nothing():
    longer = ranker_tensors()
    longer["events"] = torch.cat([longer["events"], torch.zeros(3, 9, DIM)], 1)
    longer["moments"] = torch.cat([longer["moments"], torch.zeros(3, 9, 3)], 1)
    torch.testing.assert_close(sequence_of(longer), sequence_of(ranker_tensors()))


def test_when_an_event_was_does_matter():
    later = ranker_tensors()
    later["moments"][:, 0, 0] += 1.0
    assert not torch.allclose(sequence_of(later), sequence_of(ranker_tensors()))


def test_candidates_and_requests_are_judged_each_by_itself():
    tensors, model = ranker_tensors(), ranker()
    whole = scored(model, tensors)[0]
    by_case = ("events", "moments")
    for i, j in ((0, 0), (1, 4), (2, 8)):
        one = {name: t[i : i + 1] if name in by_case else t[i : i + 1, j : j + 1] for name, t in tensors.items()}
        torch.testing.assert_close(scored(model, one)[0][0, 0], whole[i, j], atol=1e-5, rtol=1e-5)


# The engine.


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_merged_towers_answer_as_the_towers_do(scale):
    model = ranker()
    with torch.no_grad():
        model.start.normal_()
        model.rate.uniform_(0.0, 2.0)
        model.rate[:, 9:] = 0.0  # features of few pieces
        model.active.bernoulli_(0.7)
    tensors = ranker_tensors()
    tensors["features"][..., [i for i in range(len(FEATURES)) if i not in GATES]] *= scale
    tensors["features"][0, 0], tensors["moments"][1] = float("nan"), 0.0
    for merged, expected in zip(scored(MergedRanker(model).eval(), tensors), scored(model, tensors), strict=True):
        torch.testing.assert_close(merged, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("silent", [(), (1, 4), (0, -1)])
def test_logits_without_silent_signals_and_their_gradients_are_those_of_the_towers(silent):
    model, tensors = ranker(), ranker_tensors()
    with torch.no_grad():
        model.start.normal_()
        model.rate.uniform_(0.0, 2.0)
        model.slope.uniform_(0.5, 2.0)
        model.active[list(silent)] = 0.0
    heard = heard_signals(model)
    assert len(heard) == len(model.active) - len(silent)
    expected = model(**tensors)[0]
    weight = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad(
            (logits * weight).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
        )
        for logits in (expected, merged_logits(model, MergedWeights.of(model, heard), **tensors))
    ]
    logits = merged_logits(model, MergedWeights.of(model, heard), **tensors)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    for towers, merged in zip(*gradients, strict=True):
        torch.testing.assert_close(merged, towers, atol=1e-4, rtol=1e-4)


def test_towers_that_read_a_column_twice_are_not_merged():
    model = ranker()
    model.towers[1].columns = model.towers[0].columns
    with pytest.raises(ValueError, match="each column once"):
        MergedRanker(model)


@pytest.mark.parametrize(("batch", "candidates"), [(1, 1), (2, 32), (5, 64)])
def test_the_exported_engine_equals_torch_for_any_batch_and_number_of_candidates(exported, batch, candidates):
    session, model = exported
    tensors = ranker_tensors(batch, batch, candidates)
    tensors["reading"] = torch.full((batch, candidates), float("nan"))  # an engine without a text tower reads nothing
    tensors["events"][0], tensors["moments"][0] = 0.0, 0.0
    feeds = {name.upper(): tensor.numpy() for name, tensor in tensors.items() if name != "reading"}
    assert set(feeds) == {tensor.name for tensor in session.get_inputs()}
    outputs = session.run(list(OUTPUTS), feeds)
    for output, expected in zip(outputs, scored(model, tensors), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-4)


@pytest.fixture(scope="module")
def exported(one_thread, tmp_path_factory):
    import onnxruntime as ort

    path, model = tmp_path_factory.mktemp("engine") / "ranker.onnx", ranker()
    export_engine(RankerEngine(model), SPEC, path)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]), model


def test_the_engines_inputs_and_outputs_are_those_of_the_stage(exported):
    session, _ = exported
    stage = next(stage for stage in search_stages(SPEC) if stage.name == "ranker")
    for tensors, session_tensors in ((stage.inputs, session.get_inputs()), (stage.outputs, session.get_outputs())):
        assert [tensor.name for tensor in tensors] == [actual.name for actual in session_tensors]
        for tensor, actual in zip(tensors, session_tensors, strict=True):
            shape = [-1 if isinstance(size, str) else size for size in actual.shape[1:]]
            fixed = [(declared, size) for declared, size in zip(tensor.dims, shape, strict=True) if size >= 0]
            assert all(declared == size for declared, size in fixed), tensor.name
