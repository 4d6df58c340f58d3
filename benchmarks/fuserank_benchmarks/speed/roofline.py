"""Roofline model of a GPU: the time of a bundle's stages from their bytes and FLOPs and a device's peak rates.

For each engine, every matrix product is counted at the shapes of a bucket. A stage takes the longest of three times:
its FLOPs at the tensor cores' peak, its bytes at the memory's peak, and its kernels' launches. The first two are lower
bounds (Williams, Waterman and Patterson, CACM 2009); the third rests on the assumptions below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from rich.table import Table

HALF, SINGLE = 2, 4  # bytes a number
# Launch of a small kernel from a stream; in a CUDA graph it is nearer to 1 us.
LAUNCH_US = 3.0
# ONNX Runtime and TensorRT fuse a layer's pointwise nodes into its products: about two kernels a product are left.
KERNELS_PER_PRODUCT = 2
RETRIEVAL_KERNELS = 3  # product, top-k, gather


@dataclass(frozen=True)
class Device:
    """A GPU's peak rates from its datasheet; FLOPs are dense, half of the figure with sparsity."""

    name: str
    flops: float  # a second, FP16 on tensor cores
    bandwidth: float  # bytes a second
    source: str


DEVICES = (
    Device(
        "H100 SXM", 989.5e12, 3.35e12, "NVIDIA H100 Tensor Core GPU datasheet: 1,979 TFLOPS with sparsity, 3.35 TB/s"
    ),
    Device("L4", 121e12, 300e9, "NVIDIA L4 Tensor Core GPU datasheet: 242 TFLOPS with sparsity, 300 GB/s"),
)


@dataclass(frozen=True)
class Work:
    """FLOPs, bytes and kernels of a stage for a batch of requests."""

    stage: str
    flops: float
    bytes: float  # weights, inputs and outputs, each read or written once
    kernels: int

    def milliseconds(self, device: Device) -> dict[str, float]:
        """The stage's time under each limit alone."""
        return {
            "compute": self.flops / device.flops * 1e3,
            "memory": self.bytes / device.bandwidth * 1e3,
            "launches": self.kernels * LAUNCH_US / 1e3,
        }


@dataclass(frozen=True)
class Estimate:
    """Estimated time of a batch on a device, engines and retrieval alone."""

    device: str
    batch: int
    milliseconds: float  # of the whole batch, stages one after the other
    bottleneck: str  # stage and limit that take most of it

    @property
    def requests_per_second(self) -> float:
        """Requests a second with one instance of each stage, without overlap."""
        return self.batch / self.milliseconds * 1e3


def estimate(works: Sequence[Work], device: Device, batch: int) -> Estimate:
    """Estimates the time of a batch as the sum of its stages.

    Args:
        works: The stages' work for the whole batch.
        device: The device.
        batch: Number of requests.
    """
    slowest = {}
    for work in works:
        limit, time = max(work.milliseconds(device).items(), key=lambda pair: pair[1])
        slowest[f"{work.stage}: {limit}"] = time
    return Estimate(device.name, batch, sum(slowest.values()), max(slowest, key=lambda name: slowest[name]))


def engine_work(stage: str, model: Any, sizes: Mapping[str, int], batch: int, bytes_each: int = HALF) -> Work:
    """Counts an engine's matrix products.

    Args:
        stage: The stage's name.
        model: The ONNX model.
        sizes: Size of each named dimension of its inputs other than `batch`.
        batch: Number of requests.
        bytes_each: Bytes of a number.

    Raises:
        ValueError: A named dimension has no size.
    """
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    feeds = {tensor.name: _zeros(tensor, sizes) for tensor in model.graph.input}
    results = [tensor.name for tensor in model.graph.output]
    shapes = _shapes(model, feeds, [name for node in products for name in (node.input[0], node.output[0])] + results)
    flops = sum(_product_flops(node, shapes) for node in products)
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}  # only a few rows are read
    weights = sum(prod(weight.dims) for weight in model.graph.initializer if weight.name not in tables)
    passed = sum(array.size for array in feeds.values()) + sum(prod(shapes[name]) for name in results)
    moved = (weights + batch * passed) * bytes_each
    return Work(stage, batch * flops, moved, KERNELS_PER_PRODUCT * len(products))


def retrieval_work(vectors: int, dim: int, batch: int) -> Work:
    """Work of exact fp16 search: all vectors are read once a batch, scores are written and read again."""
    flops = 2.0 * batch * vectors * dim
    return Work("retrieve", flops, vectors * dim * HALF + 2 * batch * vectors * SINGLE, RETRIEVAL_KERNELS)


def bundle_work(folder: Path, batch: int) -> list[Work]:
    """Work of each stage for requests with a query of the shortest bucket and all candidates.

    Args:
        folder: The bundle.
        batch: Number of requests.
    """
    spec = json.loads((folder / "manifest.json").read_text("utf-8"))["spec"]
    sizes = {
        "encoder": {"length": min(spec["length_buckets"])},
        "text_tower": {"pairs": spec["text_candidates"], "length": min(spec["pair_buckets"])},
        "ranker": {"candidates": spec["candidates"]},
    }
    engines = {
        stage: engine_work(stage, onnx.load(folder / "model_repository" / stage / "1" / "model.onnx"), known, batch)
        for stage, known in sizes.items()
        if stage != "text_tower" or spec["text_candidates"]
    }
    vectors = np.load(folder / "index" / "vectors.npy", mmap_mode="r").shape
    return [*engines.values(), retrieval_work(vectors[0], vectors[1], batch)]


def roofline_table(folder: Path, batches: Sequence[int], measured: Mapping[int, float] | None = None) -> Table:
    """Estimates for each device and batch, beside measured milliseconds a batch where there are any."""
    table = Table("device", "batch", "ms", "requests/s", "bottleneck", "MFLOP a request", "MB a batch", "measured ms")
    for batch in batches:
        works = bundle_work(folder, batch)
        flops, moved = (sum(getattr(work, name) for work in works) for name in ("flops", "bytes"))
        for device in DEVICES:
            estimated = estimate(works, device, batch)
            measured_ms = (measured or {}).get(batch)
            table.add_row(
                device.name,
                str(batch),
                f"{estimated.milliseconds:.3f}",
                f"{estimated.requests_per_second:,.0f}",
                estimated.bottleneck,
                f"{flops / batch / 1e6:,.1f}",
                f"{moved / 1e6:,.1f}",
                "" if measured_ms is None else f"{measured_ms:.3f}",
            )
    return table


def _zeros(tensor: Any, sizes: Mapping[str, int]) -> Any:
    """An input of one request, all zeros."""
    shape = []
    for dim in tensor.type.tensor_type.shape.dim:
        if dim.dim_param and dim.dim_param != "batch" and dim.dim_param not in sizes:
            raise ValueError(f"{tensor.name}: no size is known for the dimension {dim.dim_param!r}")
        shape.append(1 if dim.dim_param == "batch" else sizes[dim.dim_param] if dim.dim_param else dim.dim_value)
    return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type))


def _shapes(model: Any, feeds: Mapping[str, Any], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors from a run; ONNX's shape inference loses them where an engine computes with shapes."""
    fixed = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    fixed |= {name: array.shape for name, array in feeds.items()}
    outputs = {tensor.name for tensor in model.graph.output}
    wanted = [name for name in dict.fromkeys(names) if name not in fixed]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs)
    options = ort.SessionOptions()
    # Fused nodes would not return their inner tensors.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(wanted, dict(feeds))
    return fixed | {name: array.shape for name, array in zip(wanted, arrays, strict=True)}


def _product_flops(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> float:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return 2.0 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if transposed else -1]


def assumptions() -> list[str]:
    """Sources of the devices' peak rates and what is assumed of launches, a line each."""
    launches = f"{LAUNCH_US:g} us a launch, {KERNELS_PER_PRODUCT} kernels a matrix product: assumptions"
    return [*(f"{device.name}: {device.source}" for device in DEVICES), launches]
