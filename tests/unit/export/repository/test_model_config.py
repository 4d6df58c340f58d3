"""One spec is the source of every configuration: what is checked in is its output, and its steps fit together."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fuserank_ensemble.graph.stages import HOST_MS, WARMUPS, models, search_stages
from fuserank_ensemble.spec import ENGINE_KINDS, TARGETS, GraphSpec
from fuserank_export.repository.model_config import ENGINE_FILES, StageConfig, config_files, rendered
from fuserank_export.repository.write import model_files, write_repository

CHECKED_IN = Path(__file__).parents[4] / "model_repository"
SPEC = GraphSpec()
BY_STAGE = [target for target in TARGETS if target != "single_process"]  # targets that run a process a stage
PYTHON = [stage.name for stage in search_stages(SPEC) if stage.kind == "python"]
ENGINES = [stage.name for stage in search_stages(SPEC) if stage.kind == "engine"]


def parsed(spec=SPEC, **more):
    return {name: text_format.Parse(text, pb.ModelConfig()) for name, text in config_files(spec, **more)}


CONFIGS = parsed()


def config_of(stage, target, configs=CONFIGS):
    """What Triton reads with `--model-config-name`: it falls back to `config.pbtxt`."""
    return configs.get(f"{stage}/configs/{target}.pbtxt") or configs[f"{stage}/config.pbtxt"]


def test_the_checked_in_repository_is_the_specs_output_byte_for_byte():
    written = {name: text.encode() for name, text in (*model_files(), *config_files(SPEC))}
    checked_in = {
        str(path.relative_to(CHECKED_IN)): path.read_bytes() for path in CHECKED_IN.rglob("*.*") if path.name != ".keep"
    }
    assert sorted(checked_in) == sorted(written), "run: fuserank export repository --out model_repository"
    differing = [name for name in written if written[name] != checked_in[name]]
    assert not differing, "run: fuserank export repository --out model_repository"


def test_the_same_spec_is_written_the_same_each_time():
    assert list(config_files(SPEC)) == list(config_files(GraphSpec.from_dict(json.loads(json.dumps(SPEC.to_dict())))))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_names_its_folder_and_the_specs_largest_batch(name):
    config = CONFIGS[name]
    assert config.name == name.split("/")[0]
    assert config.max_batch_size == SPEC.max_batch
    assert config.input
    assert config.output


@pytest.mark.parametrize("stage", [stage.name for stage in search_stages(SPEC)])
def test_a_configuration_is_written_only_where_it_differs_from_the_default(stage):
    texts = dict(config_files(SPEC))
    default = next(model for model in models(SPEC, "ensemble_cpu") if model.name == stage)
    assert texts[f"{stage}/config.pbtxt"] == rendered(StageConfig(SPEC, default, "ensemble_cpu").message())
    for target in TARGETS:
        for model in models(SPEC, target):
            if model.name == stage:
                own = rendered(StageConfig(SPEC, model, target).message())
                assert texts.get(f"{stage}/configs/{target}.pbtxt", texts[f"{stage}/config.pbtxt"]) == own
                assert texts.get(f"{stage}/configs/{target}.pbtxt") != texts[f"{stage}/config.pbtxt"]


def test_every_step_of_the_ensemble_gets_what_an_earlier_one_made_in_the_same_shape():
    search = CONFIGS["search/config.pbtxt"]
    known = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in search.input}
    for step in search.ensemble_scheduling.step:
        stage = CONFIGS[f"{step.model_name}/config.pbtxt"]
        assert set(step.input_map) == {tensor.name for tensor in stage.input}
        assert set(step.output_map) == {tensor.name for tensor in stage.output}
        for tensor in stage.input:
            assert known[step.input_map[tensor.name]] == (tensor.data_type, list(tensor.dims)), tensor.name
        for tensor in stage.output:
            assert step.output_map[tensor.name] not in known, "a tensor is made once"
            known[step.output_map[tensor.name]] = (tensor.data_type, list(tensor.dims))
    for tensor in search.output:
        assert known[tensor.name] == (tensor.data_type, list(tensor.dims))


def test_in_one_process_search_has_the_ensembles_interface():
    ensemble, whole = CONFIGS["search/config.pbtxt"], CONFIGS["search/configs/single_process.pbtxt"]
    assert (list(whole.input), list(whole.output)) == (list(ensemble.input), list(ensemble.output))
    assert whole.backend == "python"
    assert {sample.name for sample in whole.model_warmup} == set(WARMUPS)
    assert {model.name for model in models(SPEC, "single_process")} == {
        "search",
        "encoder",
        "retrieve",
        "similar",
        "suggest",
        "embed",
        "rerank",
        "record",
        "catalog",
        "profile",
    }


def test_every_request_input_is_one_fixed_string_so_that_batches_form():
    inputs = CONFIGS["search/config.pbtxt"].input
    assert [tensor.name for tensor in inputs] == ["QUERY", "USER_ID", "OPTIONS"]
    assert all(list(t.dims) == [1] and t.data_type == pb.TYPE_STRING for t in inputs)
    assert not any(tensor.allow_ragged_batch or tensor.optional for tensor in inputs)


@pytest.mark.parametrize("target", BY_STAGE)
def test_engines_run_on_the_targets_backend_and_python_stages_stay_python(target):
    for name in ENGINES:
        config = config_of(name, target)
        assert config.backend == ("tensorrt" if target == "ensemble_tensorrt" else "onnxruntime")
        assert config.default_model_filename == ENGINE_FILES[ENGINE_KINDS[target]]
    for name in PYTHON:
        assert config_of(name, target).backend == "python"


@pytest.mark.parametrize("on_gpu", [False, True])
def test_on_a_gpu_the_engines_are_there_a_large_index_too_and_the_rest_on_the_cpu(on_gpu):
    gpu, cpu = pb.ModelInstanceGroup.KIND_GPU, pb.ModelInstanceGroup.KIND_CPU
    configs = parsed(replace(SPEC, search_on_gpu=on_gpu))
    for target in BY_STAGE:
        device = cpu if target == "ensemble_cpu" else gpu
        assert {s.name: config_of(s.name, target, configs).instance_group[0].kind for s in search_stages(SPEC)} == {
            "preprocess": cpu,
            "encoder": device,
            "retrieve": device if on_gpu else cpu,
            "ranker": device,
            "finalize": cpu,
        }


@pytest.mark.parametrize(
    ("cores", "on_gpu", "processes"),
    [(1, False, (1, 1, 1)), (4, False, (1, 3, 1)), (16, False, (1, 13, 2)), (16, True, (1, 1, 2))],
)
def test_beside_a_gpu_stages_of_the_host_have_processes_as_their_cost_asks(cores, on_gpu, processes):
    spec = replace(SPEC, host_cores=cores, search_on_gpu=on_gpu)
    counts = {stage.name: stage.instances for stage in search_stages(spec)}
    assert tuple(counts[name] for name in HOST_MS) == tuple((1, count) for count in processes)


@pytest.mark.parametrize("name", [n for n in CONFIGS if n != "search/config.pbtxt"])
def test_a_full_queue_refuses_at_once_and_an_old_request_is_not_served_late(name):
    policy = CONFIGS[name].dynamic_batching.default_queue_policy
    assert 0 < policy.max_queue_size <= 1_024
    assert 0 < policy.default_timeout_microseconds <= 5_000_000
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override
    assert CONFIGS[name].dynamic_batching.priority_levels == 2


@pytest.mark.parametrize("target", BY_STAGE)
@pytest.mark.parametrize("name", ENGINES)
def test_warm_up_covers_each_bucket_of_an_engine_alone_and_in_a_full_batch(name, target):
    config = config_of(name, target)
    buckets = SPEC.candidate_buckets if name == "ranker" else SPEC.length_buckets
    varying = "FEATURES" if name == "ranker" else "INPUT_IDS"
    warmed = {(s.batch_size, s.inputs[varying].dims[0]) for s in config.model_warmup}
    assert warmed == {(batch, bucket) for batch in (1, SPEC.max_batch) for bucket in buckets}
    declared = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.input}
    for sample in config.model_warmup:
        assert set(sample.inputs) == set(declared)
        for tensor, value in sample.inputs.items():
            data_type, dims = declared[tensor]
            assert value.data_type == data_type
            assert [v for v, d in zip(value.dims, dims, strict=True) if d >= 0] == [d for d in dims if d >= 0]
    if target == "ensemble_tensorrt":
        assert list(config.instance_group[0].profile) == [str(i) for i in range(len(buckets))]


@pytest.mark.parametrize("name", PYTHON)
def test_python_stages_are_warmed_with_each_kind_of_real_request(name):
    config = CONFIGS[f"{name}/config.pbtxt"]
    assert {sample.name for sample in config.model_warmup} == set(WARMUPS)
    for sample in config.model_warmup:
        assert set(sample.inputs) == {tensor.name for tensor in config.input}
        assert all(value.input_data_file for value in sample.inputs.values())
        assert all(dim > 0 for value in sample.inputs.values() for dim in value.dims)


def test_a_bundle_holds_every_warm_up_file_in_the_size_its_configuration_declares(tiny_bundle):
    size = {pb.TYPE_FP32: 4, pb.TYPE_INT32: 4, pb.TYPE_INT64: 8}
    for stage in PYTHON:
        for path in sorted((tiny_bundle / "model_repository" / stage).rglob("*.pbtxt")):
            for sample in text_format.Parse(path.read_text(), pb.ModelConfig()).model_warmup:
                for name, value in sample.inputs.items():
                    content = tiny_bundle / "model_repository" / stage / "warmup" / value.input_data_file
                    written = content.stat().st_size
                    if value.data_type in size:
                        assert written == size[value.data_type] * math.prod(value.dims), (
                            stage,
                            sample.name,
                            name,
                        )
                    else:
                        assert written == 4 + int.from_bytes(content.read_bytes()[:4], "little"), (stage, name)


def test_a_text_tower_is_an_engine_before_the_ranker_with_a_bucket_a_length():
    spec = replace(SPEC, text_candidates=16, pair_buckets=(24, 48, 96))
    configs = parsed(spec)
    steps = [step.model_name for step in configs["search/config.pbtxt"].ensemble_scheduling.step]
    assert steps == ["preprocess", "encoder", "retrieve", "text_tower", "ranker", "finalize"]
    for target in BY_STAGE:
        config = config_of("text_tower", target, configs)
        assert {tensor.name: list(tensor.dims) for tensor in config.input} == {
            "PAIR_IDS": [16, -1],
            "PAIR_TYPES": [16, -1],
        }
        warmed = {(s.batch_size, *s.inputs["PAIR_IDS"].dims) for s in config.model_warmup}
        batches = (1,) if target == "ensemble_cpu" else (1, spec.max_batch)
        assert warmed == {(batch, 16, length) for batch in batches for length in (24, 48, 96)}
        assert [list(t.dims) for t in config_of("ranker", target, configs).input if t.name == "TEXT_SCORES"] == [[16]]
    assert len(config_of("text_tower", "ensemble_tensorrt", configs).instance_group[0].profile) == 3
    assert "text_tower" not in {model.name for model in models(spec, "single_process")}


@pytest.mark.parametrize(
    ("towers", "heavy", "taken", "waiting"),
    [(0, True, 16, 32), (0, False, 16, 32), (16, True, 3, 16), (16, False, 8, 32)],
)
def test_one_process_takes_and_queues_what_it_answers_soon(towers, heavy, taken, waiting):
    configs = parsed(replace(SPEC, text_candidates=towers), heavy=heavy)
    config = configs["search/configs/single_process.pbtxt"]
    assert config.dynamic_batching.default_queue_policy.max_queue_size == waiting
    assert list(config.dynamic_batching.preferred_batch_size) == [taken]
    # Where each stage is a process, the ranker batches by itself.
    others = parsed(replace(SPEC, text_candidates=towers), heavy=not heavy)
    for name, text in configs.items():
        assert text == others[name] or name == "search/configs/single_process.pbtxt"


def test_a_change_of_the_spec_reaches_every_configuration_it_concerns():
    spec = replace(SPEC, embedding_dim=768, length_buckets=(8,), candidate_buckets=(50,), candidates=50, max_batch=4)
    configs = parsed(spec, engines={("cpu", "encoder"): "model.int8.onnx"})
    assert {c.max_batch_size for c in configs.values()} == {4}
    assert list(configs["encoder/config.pbtxt"].output[0].dims) == [768]
    assert list(configs["retrieve/config.pbtxt"].input[0].dims) == [768]
    assert {s.inputs["INPUT_IDS"].dims[0] for s in configs["encoder/config.pbtxt"].model_warmup} == {8}
    assert {s.inputs["FEATURES"].dims[0] for s in configs["ranker/config.pbtxt"].model_warmup} == {50}
    # The INT8 engine is the encoder's, on the CPU alone: in one process or in several.
    files = {name: c.default_model_filename for name, c in configs.items() if c.default_model_filename}
    int8 = {name for name, file in files.items() if file == "model.int8.onnx"}
    assert int8 == {
        "encoder/config.pbtxt",
        "encoder/configs/single_process.pbtxt",
    }


def test_a_written_repository_has_every_configuration_and_every_stages_model(tmp_path):
    write_repository(tmp_path / "repository", SPEC)
    for name, text in config_files(SPEC):
        assert (tmp_path / "repository" / name).read_text("utf-8") == text
    for stage in PYTHON:
        model = Path(stage) / "1" / "model.py"
        assert (tmp_path / "repository" / model).read_bytes() == (CHECKED_IN / model).read_bytes()
    assert (tmp_path / "repository" / "search" / "1" / "model.py").is_file()


def test_rewriting_the_configurations_restores_a_file_that_was_edited_by_hand(tmp_path):
    write_repository(tmp_path, SPEC)
    edited = tmp_path / "ranker" / "config.pbtxt"
    edited.write_text("name: 'mine'")
    write_repository(tmp_path, SPEC)
    assert edited.read_text() == dict(config_files(SPEC))["ranker/config.pbtxt"]
