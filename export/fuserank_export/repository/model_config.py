"""From the spec to Triton's `config.pbtxt`: one class, one small method a concern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fuserank_ensemble.graph.stages import SEARCH_INPUTS, SEARCH_OUTPUTS, Stage, Tensor, models, search_stages
from fuserank_ensemble.spec import ENGINE_KINDS, GPU_TARGETS, TARGETS, EngineKind, GraphSpec, Target
from fuserank_export.engines.buckets import Bucket, list_buckets, warmup_file

ENGINE_FILES: Mapping[EngineKind, str] = {
    "cpu": "model.onnx",
    "cuda": "model.fp16.onnx",
    "tensorrt": "model.plan",
}
EngineFiles = Mapping[tuple[EngineKind, str], str]  # by kind and stage, where it is not the kind's own of ENGINE_FILES
# While no TensorRT engine has been built, ONNX Runtime on CUDA serves.
NO_PLANS: EngineFiles = {("tensorrt", stage): ENGINE_FILES["cuda"] for stage in ("encoder", "text_tower", "ranker")}
_DTYPES = {
    "BYTES": pb.TYPE_STRING,
    "INT32": pb.TYPE_INT32,
    "INT64": pb.TYPE_INT64,
    "FP32": pb.TYPE_FP32,
}
ENGINE_CACHE = "/var/cache/fuserank"  # of ONNX Runtime's TensorRT accelerator, see docs/engines-and-gpu.md


class StageConfig:
    """Describes one stage for one target."""

    def __init__(self, spec: GraphSpec, stage: Stage, target: Target, engine_file: str | None = None) -> None:
        self._spec, self._stage, self._target = spec, stage, target
        self._on_gpu = target in GPU_TARGETS and stage.on_device
        self._engine_file = engine_file or ENGINE_FILES[ENGINE_KINDS[target] if stage.on_device else "cpu"]

    def message(self) -> pb.ModelConfig:
        """The whole configuration."""
        config = pb.ModelConfig(name=self._stage.name, max_batch_size=self._spec.max_batch)
        self._set_backend(config)
        self._set_signature(config)
        self._set_batching(config)
        self._set_instances(config)
        self._set_threads(config)
        self._set_accelerator(config)
        self._set_warmup(config)
        return config

    def _set_backend(self, config: pb.ModelConfig) -> None:
        if self._stage.kind == "python":
            config.backend = "python"
        else:
            config.backend = "tensorrt" if self._engine_file.endswith(".plan") else "onnxruntime"
            config.default_model_filename = self._engine_file

    def _set_signature(self, config: pb.ModelConfig) -> None:
        set_signature(config, self._stage.inputs, self._stage.outputs)

    def _set_batching(self, config: pb.ModelConfig) -> None:
        queue = self._stage.queue
        config.dynamic_batching.max_queue_delay_microseconds = queue.delay_us
        if queue.batch:
            config.dynamic_batching.preferred_batch_size.append(queue.batch)
        # What people wait for, unless a request says that it is of a job that nobody waits for.
        config.dynamic_batching.priority_levels, config.dynamic_batching.default_priority_level = 2, 1
        policy = config.dynamic_batching.default_queue_policy
        policy.max_queue_size = queue.max_size
        policy.default_timeout_microseconds = queue.timeout_us
        policy.timeout_action = pb.ModelQueuePolicy.REJECT
        policy.allow_timeout_override = True  # a request with a deadline waits for less

    def _set_instances(self, config: pb.ModelConfig) -> None:
        kind = pb.ModelInstanceGroup.KIND_GPU if self._on_gpu else pb.ModelInstanceGroup.KIND_CPU
        group = config.instance_group.add(count=self._stage.instances[self._target in GPU_TARGETS], kind=kind)
        if config.backend == "tensorrt":
            # One optimisation profile a bucket: a wide dynamic range is slow (TensorRT#1166).
            group.profile.extend(str(i) for i in range(len(self._buckets)))

    def _set_threads(self, config: pb.ModelConfig) -> None:
        if config.backend == "onnxruntime" and not self._on_gpu:
            # Without spinning, so that idle threads leave the cores to the other stages.
            config.parameters["intra_op_thread_count"].string_value = str(self._stage.threads)
            config.parameters["session.intra_op.allow_spinning"].string_value = "0"
            if self._stage.name == "text_tower":
                config.parameters["pad_token_id"].string_value = str(self._spec.pair_pad_token_id)

    def _set_accelerator(self, config: pb.ModelConfig) -> None:
        """TensorRT inside ONNX Runtime: it builds its own engines at the first start, and keeps them."""
        if self._stage.kind != "engine" or not self._on_gpu or self._target != "ensemble_ort_tensorrt":
            return
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        # Precision is in the ONNX. The provider would build anew for each new shape, so that it is told all of them.
        # "1" and not a larger number: every subgraph that TensorRT can take.
        settings = {
            "precision_mode": "FP32",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": f"{ENGINE_CACHE}/{self._stage.name}",
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": ENGINE_CACHE,
        }
        for end, batch in (("min", 1), ("opt", typical_batch(self._spec)), ("max", self._spec.max_batch)):
            settings[f"trt_profile_{end}_shapes"] = ",".join(
                f"{tensor}:{'x'.join(map(str, (batch, *dims)))}"
                for bucket in self._buckets
                for tensor, dims in bucket.shapes.items()
            )
        for name, value in settings.items():
            accelerator.parameters[name] = value

    def _set_warmup(self, config: pb.ModelConfig) -> None:
        """The first real request is no slower than the tenth; `repository.warmup` has the requests of Python stages."""
        if self._stage.kind == "engine":
            for bucket in self._buckets:
                for batch in self._warm_batches():
                    # Triton repeats the file's one row to the size of the batch.
                    sample = config.model_warmup.add(name=f"bucket_{bucket.name}_batch_{batch}", batch_size=batch)
                    for tensor in self._stage.inputs:
                        dims = bucket.shapes[tensor.name]
                        value = _warm_input(tensor, dims, warmup_file(tensor.name, dims))
                        sample.inputs[tensor.name].CopyFrom(value)
            return
        # The files hold what the stages hand on with the default number of candidates and the shortest queries.
        lengths = {"INPUT_IDS": self._spec.length_buckets[0], "ATTENTION_MASK": self._spec.length_buckets[0]}
        for kind in self._stage.warmups:
            sample = config.model_warmup.add(name=kind, batch_size=1)
            for tensor in self._stage.inputs:
                dims = tuple(lengths.get(tensor.name, self._spec.candidates) if d < 0 else d for d in tensor.dims)
                value = _warm_input(tensor, dims, f"{kind}.{tensor.name}")
                sample.inputs[tensor.name].CopyFrom(value)

    def _warm_batches(self) -> tuple[int, ...]:
        """One request and a full batch, except where that would only hold up the start and keep its memory.

        On a CPU that is a batch of pairs; and in the single process an engine of its own answers `similar` alone.
        """
        alone = self._target == "single_process" or (
            self._stage.name == "text_tower" and self._target not in GPU_TARGETS
        )
        return (1,) if alone else (1, self._spec.max_batch)

    @property
    def _buckets(self) -> list[Bucket]:
        return list_buckets(self._spec, self._stage)


def typical_batch(spec: GraphSpec) -> int:
    """The batch that TensorRT tunes a profile for: what forms under load, between one request and the most."""
    return max(1, spec.max_batch // 4)


def _warm_input(tensor: Tensor, dims: tuple[int, ...], file: str) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(data_type=_DTYPES[tensor.dtype], dims=dims, input_data_file=file)


def set_signature(config: pb.ModelConfig, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    """Writes the tensors of a model's interface."""
    for tensor in inputs:
        config.input.add(name=tensor.name, data_type=_DTYPES[tensor.dtype], dims=tensor.dims)
    for tensor in outputs:
        config.output.add(name=tensor.name, data_type=_DTYPES[tensor.dtype], dims=tensor.dims)


def ensemble_config(spec: GraphSpec) -> pb.ModelConfig:
    """The `search` ensemble: the stages in a row, tensors joined by name."""
    config = pb.ModelConfig(name="search", platform="ensemble", max_batch_size=spec.max_batch)
    set_signature(config, SEARCH_INPUTS, SEARCH_OUTPUTS)
    # Triton refuses an ensemble with a tensor that nobody takes.
    taken = {tensor.name for stage in search_stages(spec) for tensor in stage.inputs} | {t.name for t in SEARCH_OUTPUTS}
    for stage in search_stages(spec):
        step = config.ensemble_scheduling.step.add(model_name=stage.name, model_version=-1)
        for tensor in stage.inputs:
            step.input_map[tensor.name] = tensor.name
        for tensor in stage.outputs:
            if tensor.name in taken:
                step.output_map[tensor.name] = tensor.name
    return config


def config_files(
    spec: GraphSpec, engines: EngineFiles = MappingProxyType({}), heavy: bool = True
) -> Iterator[tuple[str, str]]:
    """Every configuration file of a model repository.

    Args:
        spec: The graph.
        engines: Engine files by kind and stage, where they are not those of `ENGINE_FILES`.
        heavy: Whether a text tower takes its time, see `RankerCost.heavy`.

    Yields:
        Path within the repository and text. `config.pbtxt` is that of `ensemble_cpu`; `configs/` holds what another
        target has differently, to be chosen at start with `--model-config-name`: Triton falls back to `config.pbtxt`.
    """
    yield "search/config.pbtxt", rendered(ensemble_config(spec))
    defaults: dict[str, str] = {}
    for target in sorted(TARGETS, key=lambda target: target != "ensemble_cpu"):
        for stage in models(spec, target, heavy):
            engine = engines.get((ENGINE_KINDS[target], stage.name))
            text = rendered(StageConfig(spec, stage, target, engine).message())
            if target == "ensemble_cpu":
                defaults[stage.name] = text
                yield f"{stage.name}/config.pbtxt", text
            elif text != defaults.get(stage.name):
                yield f"{stage.name}/configs/{target}.pbtxt", text


def rendered(config: pb.ModelConfig) -> str:
    """The message as Triton's text format, maps in a stable order."""
    header = "# Written from the graph's spec by `fuserank export repository`. Edit the spec, not this file.\n"
    return header + str(text_format.MessageToString(config, use_index_order=True))
