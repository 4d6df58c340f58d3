"""A shop's own signal is one tower more: it explains itself, is exported, and is silent where it knows nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fuserank_ensemble.candidates.features import FEATURES, FeatureLayout
from fuserank_ensemble.contract.options import HEADS
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.interactions.sequence import MOMENT_DIM
from fuserank_ensemble.retrieval.own_features import OwnFeature
from fuserank_ensemble.spec import GraphSpec

torch = pytest.importorskip("torch")

from fuserank_export.training.model.engine import OUTPUTS, RankerEngine, export_engine  # noqa: E402  they need torch
from fuserank_export.training.model.merged import MergedRanker  # noqa: E402
from fuserank_export.training.model.ranker import Ranker  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

DIM, EVENTS = 16, 6
OWN = tuple(OwnFeature(f"shop.{name}", "shop", name, name, "number") for name in ("rating", "margin"))
LAYOUT = FeatureLayout(OWN)
SPEC = GraphSpec(embedding_dim=DIM, events=EVENTS, own_features=OWN)
SHOP = LAYOUT.signals.index("shop")
COLUMNS = LAYOUT.columns("shop")


@pytest.fixture(scope="module")
def model(one_thread):
    torch.manual_seed(3)
    made = Ranker(DIM, LAYOUT)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        made.mean.normal_()
        made.scale.uniform_(0.5, 2.0)
        made.slope.uniform_(0.5, 2.0)
        made.offset.normal_()
    return made.eval()


def inputs(batch=3, candidates=9):
    """What the ranker reads; the second half of the candidates has no value in any of the shop's own columns."""
    draw = np.random.default_rng(0)
    shapes = ((candidates, len(LAYOUT.features)), (candidates, DIM), (EVENTS, DIM), (EVENTS, MOMENT_DIM), (candidates,))
    arrays = [draw.normal(size=(batch, *shape)).astype(np.float32) for shape in shapes]
    arrays[0][draw.random(arrays[0].shape) < 0.3] = np.nan
    arrays[0][:, candidates // 2 :, COLUMNS] = np.nan
    arrays[0][:, : candidates // 2, COLUMNS[0]] = 0.5
    arrays[4][...] = np.nan
    names = ("features", "vectors", "events", "moments", "reading")
    return dict(zip(names, map(torch.from_numpy, arrays), strict=True))


def scored(ranker, tensors):
    with torch.no_grad():
        return ranker(**tensors)


def test_contributions_add_up_with_the_shops_own_signal_among_them(model):
    heads, parts = scored(model, inputs())
    assert parts.shape == (3, 9, len(LAYOUT.signals), len(HEADS))
    torch.testing.assert_close(parts.sum(-2) + model.bias * model.slope + model.offset, heads, atol=1e-4, rtol=0)
    assert float(parts[:, :4, SHOP].abs().min()) > 0


def test_an_item_of_which_the_shop_says_nothing_gets_exactly_nothing_from_it(model):
    heads, parts = scored(model, inputs())
    assert (parts[:, 4:, SHOP] == 0).all()
    # Nor does it meet other signals there: what these say is what they say in a ranker whose own signal is silent.
    silent = inputs()
    silent["features"][..., COLUMNS] = float("nan")
    torch.testing.assert_close(scored(model, silent)[0][:, 4:], heads[:, 4:])
    assert not torch.allclose(scored(model, silent)[0][:, :4], heads[:, :4])


def test_one_missing_value_is_not_all_that_is_missing(model):
    tensors = inputs()
    tensors["features"][..., COLUMNS[1]] = float("nan")
    parts = scored(model, tensors)[1]
    assert (parts[:, :4, SHOP] != 0).all()
    assert (parts[:, 4:, SHOP] == 0).all()


def test_merged_towers_and_the_exported_engine_answer_as_the_towers_do(model, tmp_path):
    import onnxruntime as ort

    tensors, expected = inputs(2, 32), scored(model, inputs(2, 32))
    for merged, torch_output in zip(scored(MergedRanker(model).eval(), tensors), expected, strict=True):
        torch.testing.assert_close(merged, torch_output, atol=1e-5, rtol=1e-5)
    export_engine(RankerEngine(model), SPEC, tmp_path / "ranker.onnx")
    session = ort.InferenceSession(str(tmp_path / "ranker.onnx"), providers=["CPUExecutionProvider"])
    feeds = {name.upper(): tensor.numpy() for name, tensor in tensors.items() if name != "reading"}
    for output, torch_output in zip(session.run(list(OUTPUTS), feeds), expected, strict=True):
        np.testing.assert_allclose(output, torch_output, atol=1e-4)
    stage = next(stage for stage in search_stages(SPEC) if stage.name == "ranker")
    declared = {tensor.name: tensor.dims for tensor in (*stage.inputs, *stage.outputs)}
    assert declared["FEATURES"] == (-1, len(FEATURES) + 2)
    assert declared["CONTRIBUTIONS"] == (-1, len(LAYOUT.signals), len(HEADS))
