"""A small query encoder is one more engine, on the CPU of every target, and the full one is served beside it."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fuserank_ensemble.graph.stages import ENCODER, QUERY_ENCODER, engine_stages, models, search_stages
from fuserank_ensemble.spec import TARGETS, GraphSpec
from fuserank_export.repository.model_config import config_files

SPEC = GraphSpec(query_encoder="distilled")
ENSEMBLES = [target for target in TARGETS if target != "single_process"]


def config_of(name: str, target: str) -> pb.ModelConfig:
    files = dict(config_files(SPEC))
    own = files.get(f"{name}/configs/{target}.pbtxt")
    return text_format.Parse(own or files[f"{name}/config.pbtxt"], pb.ModelConfig())


def test_queries_go_through_it_in_the_ensemble():
    steps = [step.model_name for step in config_of("search", "ensemble_cpu").ensemble_scheduling.step]
    assert steps == ["preprocess", QUERY_ENCODER, "retrieve", "ranker", "finalize"]
    assert [stage.name for stage in search_stages(SPEC)] == steps


@pytest.mark.parametrize("target", ENSEMBLES)
def test_it_runs_on_the_cpu_of_every_ensemble(target: str):
    config = config_of(QUERY_ENCODER, target)
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert not config.optimization.execution_accelerators.gpu_execution_accelerator


@pytest.mark.parametrize("target", TARGETS)
def test_the_full_encoder_is_served_beside_it_for_all_other_texts(target: str):
    served = {stage.name for stage in models(SPEC, target)}
    assert ENCODER in served
    assert (QUERY_ENCODER in served) == (target != "single_process")  # there it is a part of the process
    calls = {name for stage in models(SPEC, target) for name in stage.calls}
    assert QUERY_ENCODER not in calls


def test_a_full_graph_has_one_encoder():
    assert [stage.name for stage in engine_stages(GraphSpec())] == [ENCODER, "ranker"]
    assert QUERY_ENCODER not in {stage.name for target in TARGETS for stage in models(GraphSpec(), target)}
