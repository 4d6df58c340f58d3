"""What a GPU should give, on paper: bytes and FLOPs of a request from a bundle's own engines, against a device's roofs.

For each engine, every matrix product is counted at the shapes of a bucket. A stage takes the longest of three times:
its FLOPs at the tensor cores' peak, its bytes at the memory's peak, and its kernels' launches. The first two are
bounds that no program beats (Williams, Waterman and Patterson, CACM 2009); the third is an assumption, named below.
Run alone it prints the table for a bundle.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

HALF, SINGLE = 2, 4  # bytes a number
# A small kernel's launch from a stream. In a CUDA graph it is nearer to 1 us; a kernel of a few us hides neither.
LAUNCH_US = 3.0
# ONNX Runtime and TensorRT fuse a layer's pointwise nodes into its products: about two kernels a product are left.
KERNELS_PER_PRODUCT = 2
RETRIEVAL_KERNELS = 3  # the product, the choice of the best, and their gathering


@dataclass(frozen=True)
class Device:
    """A GPU as its datasheet has it; FLOPs are dense, half of what NVIDIA prints with sparsity."""

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
    """What a stage does for a batch of requests."""

    stage: str
    flops: float
    bytes: float  # read and written once: weights, and what goes in and out
    kernels: int

    def milliseconds(self, device: Device) -> dict[str, float]:
        """The stage's time under each roof alone."""
        return {
            "compute": self.flops / device.flops * 1e3,
            "memory": self.bytes / device.bandwidth * 1e3,
            "launches": self.kernels * LAUNCH_US / 1e3,
        }


@dataclass(frozen=True)
class Expected:
    """What a device should give for a batch, engines and retrieval alone."""

    device: str
    batch: int
    milliseconds: float  # of the whole batch, stages one after the other
    bottleneck: str  # stage and roof that take most of it

    @property
    def requests_per_second(self) -> float:
        """Of one instance of each stage, nothing overlapped."""
        return self.batch / self.milliseconds * 1e3


def expected(works: Sequence[Work], device: Device, batch: int) -> Expected:
    """Adds the stages of a batch.

    Args:
        works: The stages' work for the whole batch.
        device: Whose roofs hold.
        batch: Requests.
    """
    slowest = {}
    for work in works:
        roof, time = max(work.milliseconds(device).items(), key=lambda each: each[1])
        slowest[f"{work.stage}: {roof}"] = time
    return Expected(device.name, batch, sum(slowest.values()), max(slowest, key=lambda name: slowest[name]))


def engine_work(stage: str, model: Any, sizes: Mapping[str, int], batch: int, bytes_each: int = HALF) -> Work:
    """Counts an engine's matrix products.

    Args:
        stage: The stage's name.
        model: The ONNX model.
        sizes: A value for each of its inputs' named dimensions, but for `batch`.
        batch: Requests.
        bytes_each: Of a weight, an input and an output.

    Raises:
        ValueError: Where a named dimension has no size.
    """
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    feeds = {each.name: _zeros(each, sizes) for each in model.graph.input}
    results = [each.name for each in model.graph.output]
    shapes = _shapes(model, feeds, [name for node in products for name in (node.input[0], node.output[0])] + results)
    flops = sum(_product_flops(node, shapes) for node in products)
    gathered = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}  # tables: a few rows are read
    weights = sum(prod(each.dims) for each in model.graph.initializer if each.name not in gathered)
    passed = sum(array.size for array in feeds.values()) + sum(prod(shapes[name]) for name in results)
    moved = (weights + batch * passed) * bytes_each
    return Work(stage, batch * flops, moved, KERNELS_PER_PRODUCT * len(products))


def retrieval_work(vectors: int, dim: int, batch: int) -> Work:
    """Exact fp16 search: all vectors are read once a batch, the scores are written and read again."""
    flops = 2.0 * batch * vectors * dim
    return Work("retrieve", flops, vectors * dim * HALF + 2 * batch * vectors * SINGLE, RETRIEVAL_KERNELS)


def bundle_work(folder: Path, batch: int) -> list[Work]:
    """A request with a query of the shortest bucket and the usual candidates.

    Args:
        folder: The bundle.
        batch: Requests.
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


def table(folder: Path, batches: Sequence[int], measured: Mapping[int, float] | None = None) -> Table:
    """Expected figures of each device and batch, beside measured ms a batch where there are any."""
    shown = Table("device", "batch", "ms", "requests/s", "bottleneck", "MFLOP a request", "MB a batch", "measured ms")
    for batch in batches:
        works = bundle_work(folder, batch)
        flops, moved = (sum(getattr(work, name) for work in works) for name in ("flops", "bytes"))
        for device in DEVICES:
            is_expected = expected(works, device, batch)
            real = (measured or {}).get(batch)
            shown.add_row(
                device.name,
                str(batch),
                f"{is_expected.milliseconds:.3f}",
                f"{is_expected.requests_per_second:,.0f}",
                is_expected.bottleneck,
                f"{flops / batch / 1e6:,.1f}",
                f"{moved / 1e6:,.1f}",
                "" if real is None else f"{real:.3f}",
            )
    return shown


def _zeros(described: Any, sizes: Mapping[str, int]) -> Any:
    """An input of one request."""
    shape = []
    for dim in described.type.tensor_type.shape.dim:
        if dim.dim_param and dim.dim_param != "batch" and dim.dim_param not in sizes:
            raise ValueError(f"{described.name}: no size is known for the dimension {dim.dim_param!r}")
        shape.append(1 if dim.dim_param == "batch" else sizes[dim.dim_param] if dim.dim_param else dim.dim_value)
    return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(described.type.tensor_type.elem_type))


def _shapes(model: Any, feeds: Mapping[str, Any], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that tensors really have: ONNX's own inference loses them where an engine computes with shapes."""
    fixed = {each.name: tuple(each.dims) for each in model.graph.initializer}
    fixed |= {name: array.shape for name, array in feeds.items()}
    known = {each.name for each in model.graph.output}
    wanted = [name for name in dict.fromkeys(names) if name not in fixed]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in known)
    options = ort.SessionOptions()
    # Fusing would take away the very tensors that are asked for.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(wanted, dict(feeds))
    return fixed | {name: array.shape for name, array in zip(wanted, arrays, strict=True)}


def _product_flops(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> float:
    turned = any(each.name == "transA" and each.i for each in node.attribute)
    return 2.0 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if turned else -1]


def main() -> None:
    """Prints what each device should give for a bundle."""
    parser = argparse.ArgumentParser(description="What a GPU should give, on paper.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    console = Console(width=max(130, Console().width))
    console.print(table(arguments.bundle, arguments.batch))
    for device in DEVICES:
        console.print(f"{device.name}: {device.source}", highlight=False)
    console.print(
        f"{LAUNCH_US:g} us a launch, {KERNELS_PER_PRODUCT} kernels a matrix product: assumptions", highlight=False
    )


if __name__ == "__main__":
    main()
