"""TensorRT's profiles and keys, and on a GPU the engines that are built."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import search_stages
from fuserank_ensemble.serving.engines import Machine
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.engines.parity.adversarial import make_adversarial_feeds
from fuserank_export.engines.parity.layers import relative_error
from fuserank_export.engines.parity.reference import ReferenceSession
from fuserank_export.engines.precision import write_fp16
from fuserank_export.engines.soundness import EngineError
from fuserank_export.engines.tensorrt.build import PlanSession, build, find_profile, make_engine_key, to_polygraphy
from fuserank_export.engines.tensorrt.profiles import hash_profiles, make_profiles
from fuserank_export.repository.model_config import config_files

SPEC = GraphSpec(text_candidates=16, candidates=128, candidate_buckets=(32, 128), pair_buckets=(1, 48))
STAGES = [stage for stage in search_stages(SPEC) if stage.kind == "engine"]
CONFIGS = {name: text_format.Parse(text, pb.ModelConfig()) for name, text in config_files(SPEC)}
gpu = pytest.mark.skipif(
    not Machine.here().compute_capability or find_spec("tensorrt") is None, reason="needs an NVIDIA GPU and TensorRT"
)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_bucket_has_a_profile_that_the_configuration_numbers(stage):
    config = CONFIGS[f"{stage.name}/configs/ensemble_tensorrt.pbtxt"]
    found = make_profiles(SPEC, stage)
    assert config.backend == "tensorrt"
    assert list(config.instance_group[0].profile) == [str(i) for i in range(len(found))]
    assert len(found) == len({str(profile.most) for profile in found})


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_warm_up_request_is_in_exactly_one_profile(stage):
    """What Triton sends at start, and no wider, is what the engine is built for."""
    found, seen = make_profiles(SPEC, stage), set()
    for sample in CONFIGS[f"{stage.name}/configs/ensemble_tensorrt.pbtxt"].model_warmup:
        feed = {name: np.zeros((sample.batch_size, *value.dims)) for name, value in sample.inputs.items()}
        taking = [i for i, profile in enumerate(found) if profile.takes(feed)]
        assert len(taking) == 1
        assert find_profile(found, feed) == taking[0]
        seen.add(taking[0])
    assert seen == set(range(len(found)))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_within_a_profile_only_the_batch_varies(stage):
    for profile in make_profiles(SPEC, stage):
        for name, least in profile.least.items():
            assert (least[0], profile.most[name][0]) == (1, SPEC.max_batch)
            assert least[1:] == profile.typical[name][1:] == profile.most[name][1:]
            assert 1 <= profile.typical[name][0] <= SPEC.max_batch


def test_shapes_between_buckets_fit_no_profile():
    found = make_profiles(SPEC, STAGES[0])
    feed = {name: np.zeros((1, 17)) for name in ("INPUT_IDS", "ATTENTION_MASK")}
    with pytest.raises(EngineError, match="fit no profile of 8, 16, 32, 64, 128; pad them"):
        find_profile(found, feed)


def test_polygraphy_gets_the_same_shapes():
    pytest.importorskip("polygraphy")
    for ours, theirs in zip(make_profiles(SPEC, STAGES[1]), to_polygraphy(make_profiles(SPEC, STAGES[1])), strict=True):
        for name in ours.least:
            shapes = theirs[name]
            assert tuple(shapes.min) == ours.least[name]
            assert tuple(shapes.opt) == ours.typical[name]
            assert tuple(shapes.max) == ours.most[name]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_onnx_runtimes_tensorrt_gets_the_shapes_of_every_bucket(stage):
    config = CONFIGS[f"{stage.name}/configs/ensemble_ort_tensorrt.pbtxt"]
    assert config.backend == "onnxruntime"
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    for end, of in (("min", "least"), ("opt", "typical"), ("max", "most")):
        told = accelerator.parameters[f"trt_profile_{end}_shapes"].split(",")
        expected = [
            f"{name}:{'x'.join(map(str, dims))}"
            for profile in make_profiles(SPEC, stage)
            for name, dims in getattr(profile, of).items()
        ]
        assert told == expected


def test_a_key_covers_the_machine_the_file_and_the_profiles(tmp_path):
    path, machine = tmp_path / "model.onnx", Machine("9.0", "10.13.2")
    path.write_bytes(b"one")
    first = make_engine_key(path, make_profiles(SPEC, STAGES[0]), machine)
    assert first == make_engine_key(path, make_profiles(SPEC, STAGES[0]), machine)
    assert first != make_engine_key(path, make_profiles(SPEC, STAGES[1]), machine)
    assert first != make_engine_key(path, make_profiles(SPEC, STAGES[0]), Machine("9.0", "11.0.0"))
    path.write_bytes(b"two")
    assert first != make_engine_key(path, make_profiles(SPEC, STAGES[0]), machine)
    assert hash_profiles(make_profiles(SPEC, STAGES[0])) != hash_profiles(
        make_profiles(GraphSpec(max_batch=8), STAGES[0])
    )


@pytest.fixture(scope="module")
def plans(tower_bundle, tmp_path_factory):
    """Half-precision engines of the tiny shop with a text tower: bundle, ONNX and plan by stage."""
    bundle, cache = Bundle.open(tower_bundle, verify=()), tmp_path_factory.mktemp("engines")
    out = {}
    for stage in search_stages(bundle.spec):
        if stage.kind == "engine":
            onnx = cache / f"{stage.name}.onnx"
            write_fp16(bundle.repository / stage.name / "1" / "model.onnx", onnx)
            out[stage.name] = (bundle, stage, onnx, build(onnx, make_profiles(bundle.spec, stage), cache))
    return out


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", ["encoder", "ranker"])
def test_a_built_engine_agrees_with_the_rounded_graph(plans, name):
    bundle, stage, onnx, built = plans[name]
    session = PlanSession(built.path, make_profiles(bundle.spec, stage), bundle.spec.max_batch)
    output = stage.outputs[0].name
    for kind, feed in make_adversarial_feeds(bundle.spec, stage, 60, 3).items():
        expected = ReferenceSession(onnx).run([output], feed)[0]
        error = relative_error(session.run([output], feed)[0], expected)
        print(f"{name}, {kind}: {error:.2g}")
        assert error < 0.02, kind


@pytest.mark.gpu
@gpu
def test_a_batch_larger_than_the_profile_is_split(plans):
    bundle, stage, onnx, built = plans["encoder"]
    session = PlanSession(built.path, make_profiles(bundle.spec, stage), bundle.spec.max_batch)
    rows, length = bundle.spec.max_batch * 2 + 3, bundle.spec.length_buckets[0]
    feed = {"INPUT_IDS": np.full((rows, length), 7), "ATTENTION_MASK": np.ones((rows, length), np.int64)}
    found = session.run(["EMBEDDING"], feed)[0]
    assert relative_error(found, ReferenceSession(onnx).run(["EMBEDDING"], feed)[0]) < 0.02


@pytest.mark.gpu
@gpu
def test_a_built_engine_is_cached_and_a_truncated_one_refused(plans):
    bundle, stage, onnx, built = plans["encoder"]
    before = built.path.stat().st_mtime_ns
    assert build(onnx, make_profiles(bundle.spec, stage), built.path.parents[1]) == built
    assert built.path.stat().st_mtime_ns == before
    cut = built.path.with_name("cut.plan")
    cut.write_bytes(built.path.read_bytes()[: built.path.stat().st_size // 2])
    with pytest.raises(EngineError, match=r"cut.plan: TensorRT cannot load it .* remove it and build it again"):
        PlanSession(cut, make_profiles(bundle.spec, stage), bundle.spec.max_batch)
