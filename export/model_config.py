"""From the spec to Triton's `config.pbtxt`: one class, one small method a concern."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from ensemble.spec import SEARCH_INPUTS, SEARCH_OUTPUTS, TARGETS, GraphSpec, Stage, Target, Tensor

ENGINE_FILES = {
    "cpu": "model.onnx",
    "cuda": "model.fp16.onnx",
    "tensorrt": "model.plan",
}
_DTYPES = {
    "BYTES": pb.TYPE_STRING,
    "INT32": pb.TYPE_INT32,
    "INT64": pb.TYPE_INT64,
    "FP32": pb.TYPE_FP32,
}
_PAIRS = ("PAIR_IDS", "PAIR_TYPES")  # what the ranker's text tower reads; their length has buckets of its own


class StageConfig:
    """Describes one stage for one target."""

    def __init__(self, spec: GraphSpec, stage: Stage, target: Target, engine_file: str | None = None) -> None:
        self._spec, self._stage, self._target = spec, stage, target
        self._engine_file = engine_file or ENGINE_FILES[target]

    def message(self) -> pb.ModelConfig:
        """The whole configuration."""
        config = pb.ModelConfig(name=self._stage.name, max_batch_size=self._spec.max_batch)
        self._set_backend(config)
        self._set_signature(config)
        self._set_batching(config)
        self._set_instances(config)
        self._set_threads(config)
        self._set_warmup(config)
        return config

    def _set_backend(self, config: pb.ModelConfig) -> None:
        if self._stage.kind == "python":
            config.backend = "python"
        else:
            config.backend = "tensorrt" if self._target == "tensorrt" else "onnxruntime"
            config.default_model_filename = self._engine_file

    def _set_signature(self, config: pb.ModelConfig) -> None:
        set_signature(config, self._stage.inputs, self._stage.outputs)

    def _set_batching(self, config: pb.ModelConfig) -> None:
        queue = self._stage.queue
        config.dynamic_batching.max_queue_delay_microseconds = queue.delay_us
        policy = config.dynamic_batching.default_queue_policy
        policy.max_queue_size = queue.max_size
        policy.default_timeout_microseconds = queue.timeout_us
        policy.timeout_action = pb.ModelQueuePolicy.REJECT

    def _set_instances(self, config: pb.ModelConfig) -> None:
        on_gpu = self._target != "cpu" and self._stage.on_device
        kind = pb.ModelInstanceGroup.KIND_GPU if on_gpu else pb.ModelInstanceGroup.KIND_CPU
        group = config.instance_group.add(count=self._stage.instances[self._target != "cpu"], kind=kind)
        if config.backend == "tensorrt":
            # One optimisation profile a bucket: a wide dynamic range is slow (TensorRT#1166).
            group.profile.extend(str(i) for i in range(len(self._shapes())))

    def _set_threads(self, config: pb.ModelConfig) -> None:
        if config.backend == "onnxruntime" and self._target == "cpu":
            # Without spinning, so that idle threads leave the cores to the other stages.
            config.parameters["intra_op_thread_count"].string_value = str(self._stage.threads)
            config.parameters["session.intra_op.allow_spinning"].string_value = "0"

    def _set_warmup(self, config: pb.ModelConfig) -> None:
        """The first real request is no slower than the tenth: see `export.warmup` for the Python stages."""
        if self._stage.kind == "engine":
            for size, shapes in self._shapes():
                for batch in self._warm_batches():
                    sample = config.model_warmup.add(name=f"bucket_{size}_batch_{batch}", batch_size=batch)
                    for tensor, dims in zip(self._stage.inputs, shapes, strict=True):
                        sample.inputs[tensor.name].CopyFrom(_warm_input(tensor, dims, zero_data=True))
            return
        # The files hold what the stages hand on with the default number of candidates and the shortest queries.
        lengths = {"INPUT_IDS": self._spec.length_buckets[0], "ATTENTION_MASK": self._spec.length_buckets[0]}
        for kind in self._stage.warmups:
            sample = config.model_warmup.add(name=kind, batch_size=1)
            for tensor in self._stage.inputs:
                dims = tuple(lengths.get(tensor.name, self._spec.candidates) if d < 0 else d for d in tensor.dims)
                value = _warm_input(tensor, dims, input_data_file=f"{kind}.{tensor.name}")
                sample.inputs[tensor.name].CopyFrom(value)

    def _warm_batches(self) -> tuple[int, ...]:
        """One request and a full batch; on a CPU no full batch of pairs, whose texts would hold up the start."""
        return (1,) if self._reads_pairs and self._target == "cpu" else (1, self._spec.max_batch)

    @property
    def _reads_pairs(self) -> bool:
        return any(tensor.name in _PAIRS for tensor in self._stage.inputs)

    def _shapes(self) -> list[tuple[str, list[tuple[int, ...]]]]:
        """The buckets by name and, for each, the shapes of the inputs."""
        buckets = self._spec.candidate_buckets if self._stage.name == "ranker" else self._spec.length_buckets
        lengths = self._spec.pair_buckets if self._reads_pairs else (0,)

        def shape(tensor: Tensor, size: int, length: int) -> tuple[int, ...]:
            return tuple((length if tensor.name in _PAIRS else size) if d < 0 else d for d in tensor.dims)

        return [
            (f"{size}_pairs_{length}" if length else str(size), [shape(t, size, length) for t in self._stage.inputs])
            for size in buckets
            for length in lengths
        ]


def _warm_input(tensor: Tensor, dims: tuple[int, ...], **source: bool | str) -> pb.ModelWarmup.Input:
    return pb.ModelWarmup.Input(data_type=_DTYPES[tensor.dtype], dims=dims, **source)


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
    for stage in spec.stages():
        step = config.ensemble_scheduling.step.add(model_name=stage.name, model_version=-1)
        for tensor in stage.inputs:
            step.input_map[tensor.name] = tensor.name
        for tensor in stage.outputs:
            step.output_map[tensor.name] = tensor.name
    return config


def config_files(spec: GraphSpec, cpu_engine: str = ENGINE_FILES["cpu"]) -> Iterator[tuple[str, str]]:
    """Every configuration file of a model repository.

    Args:
        spec: The graph.
        cpu_engine: The engine file that the encoder uses on a CPU: FP32 or INT8.

    Yields:
        Path within the repository and text. `config.pbtxt` is the CPU's; `configs/` has one a target, to be chosen
        at start with `--model-config-name`.
    """
    yield "search/config.pbtxt", rendered(ensemble_config(spec))
    for stage in spec.models():
        for target in TARGETS:
            engine = cpu_engine if target == "cpu" and stage.name == "encoder" else None
            text = rendered(StageConfig(spec, stage, target, engine).message())
            yield f"{stage.name}/configs/{target}.pbtxt", text
            if target == "cpu":
                yield f"{stage.name}/config.pbtxt", text


def rendered(config: pb.ModelConfig) -> str:
    """The message as Triton's text format, maps in a stable order."""
    header = "# Written from ensemble/spec.py by `python -m export repository`. Edit the spec, not this file.\n"
    return header + str(text_format.MessageToString(config, use_index_order=True))
