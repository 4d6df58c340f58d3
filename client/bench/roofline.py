"""What a GPU should do with a bundle, on paper: bytes and FLOPs a request, milliseconds, requests/s, the bottleneck.

The roofline model (Williams et al. 2009): a step takes as long as its arithmetic or its memory traffic, whichever is
longer. Weights are read once a batch, all else once a request. Hold it against reality with `make bench` on the GPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ensemble.bundle import Bundle

FP16 = 2  # bytes
FEATURE_BYTES = 4
# What well-written kernels reach of the datasheet's figures; small matrices reach less. Assumed, to be measured.
COMPUTE_SHARE, MEMORY_SHARE = 0.5, 0.8
# A layer is about ten kernels, each some microseconds to launch; a CUDA graph launches them all at once.
KERNELS_A_LAYER, LAUNCH_SECONDS, GRAPH_LAUNCH_SECONDS = 10, 3e-6, 10e-6


@dataclass(frozen=True)
class Device:
    """A GPU's datasheet.

    Attributes:
        fp16_flops: FLOP/s of its tensor cores in FP16 without sparsity.
        bandwidth: Bytes/s of its memory.
    """

    name: str
    fp16_flops: float
    bandwidth: float
    source: str


DEVICES: Mapping[str, Device] = {
    "h100": Device(
        "H100 SXM", 989.4e12, 3.35e12, "NVIDIA H100 Tensor Core GPU datasheet, half its figure with sparsity"
    ),
    "l4": Device("L4", 121e12, 300e9, "NVIDIA L4 Tensor Core GPU datasheet, half its figure with sparsity"),
}


@dataclass(frozen=True)
class Network:
    """A network and what it reads in one request.

    Attributes:
        parameters: In matrix products; a table of embeddings is only looked up.
        layers: With attention.
        hidden: Width of a layer.
        rows: Sequences, or candidates, a request.
        tokens: Of a row; 1 for what is no sequence.
    """

    parameters: int
    layers: int
    hidden: int
    rows: int
    tokens: int

    @property
    def flops(self) -> float:
        """Of a request: two a parameter and token, and attention's two products, each 2 tokens^2 hidden a layer."""
        attention = 4 * self.layers * self.tokens**2 * self.hidden
        return float(self.rows * (2 * self.parameters * self.tokens + attention))

    @property
    def weight_bytes(self) -> float:
        """Read once a batch."""
        return float(FP16 * self.parameters)

    @property
    def activation_bytes(self) -> float:
        """Of a request: about ten tensors of a layer written and read again."""
        return float(2 * 10 * FP16 * self.rows * self.tokens * self.hidden * max(1, self.layers))


@dataclass(frozen=True)
class Step:
    """One step of a request on a device.

    Attributes:
        flops: Of a request.
        shared_bytes: Read once a batch.
        own_bytes: Read and written for each request.
        layers: Which are launched one after the other.
    """

    flops: float
    shared_bytes: float
    own_bytes: float
    layers: int

    def seconds(self, device: Device, batch: int) -> tuple[float, float]:
        """Arithmetic's and memory's time of a batch."""
        arithmetic = batch * self.flops / (device.fp16_flops * COMPUTE_SHARE)
        memory = (self.shared_bytes + batch * self.own_bytes) / (device.bandwidth * MEMORY_SHARE)
        return arithmetic, memory


def network_step(network: Network) -> Step:
    """A network's step."""
    return Step(network.flops, network.weight_bytes, network.activation_bytes, network.layers)


def retrieval_step(vectors: int, dim: int) -> Step:
    """Exact search over FP16 vectors: every vector once a batch, and each request's scores."""
    return Step(2.0 * vectors * dim, float(FP16 * vectors * dim), 2.0 * FEATURE_BYTES * vectors, 1)


def estimate(steps: Mapping[str, Step], device: Device, batch: int, cuda_graphs: bool = True) -> dict[str, Any]:
    """Expected figures of a batch.

    Args:
        steps: By name, one after the other.
        device: Where.
        batch: Requests.
        cuda_graphs: Whether a step is launched at once or kernel by kernel.
    """
    times: dict[str, float] = {}
    limits: dict[str, str] = {}
    for name, step in steps.items():
        arithmetic, memory = step.seconds(device, batch)
        launch = GRAPH_LAUNCH_SECONDS if cuda_graphs else max(1, step.layers) * KERNELS_A_LAYER * LAUNCH_SECONDS
        # Launching goes on while the device works: the longer of the two is what is waited for.
        parts = {"arithmetic": arithmetic, "memory": memory, "launching": launch}
        limits[name] = max(parts, key=lambda part: parts[part])
        times[name] = parts[limits[name]]
    slowest = max(times, key=lambda name: times[name])
    total = sum(times.values())
    return {
        "device": device.name,
        "batch": batch,
        "ms": round(total * 1e3, 4),
        "requests_per_second": round(batch / total, 1),
        "bottleneck": f"{slowest}: {limits[slowest]}",
        "step_us": {name: round(seconds * 1e6, 2) for name, seconds in times.items()},
    }


def bundle_steps(bundle: Bundle, tokens: int = 16, pair_tokens: int = 64) -> dict[str, Step]:
    """The steps of a bundle's request, sizes read from its engines and its index.

    Args:
        bundle: The bundle.
        tokens: Length bucket of the query.
        pair_tokens: Length bucket of a pair, where there is a text tower.
    """
    spec, dense = bundle.spec, bundle.manifest["search"]["dense"]
    encoder, encoder_layers = _sizes(bundle.repository / "encoder" / "1" / "model.onnx")
    ranker, ranker_layers = _sizes(bundle.repository / "ranker" / "1" / "model.onnx")
    dim = spec.embedding_dim
    pairs = spec.text_candidates
    network = Network(ranker, ranker_layers, dim, pairs, pair_tokens) if pairs else None
    scoring = network or Network(ranker, 0, spec.events, spec.candidates, 1)
    return {
        "encoder": network_step(Network(encoder, encoder_layers, dim, 1, tokens)),
        "retrieve": retrieval_step(int(dense["vectors"]), dim),
        "ranker": network_step(scoring),
    }


def _sizes(path: Path) -> tuple[int, int]:
    """Parameters of an engine's matrix products, and its attention layers (one softmax each)."""
    import onnx  # noqa: PLC0415  an extra of the export, which wrote the engine

    graph = onnx.load(str(path)).graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    multiplied = {name for node in graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input}
    parameters = 0
    for name, dims in weights.items():
        if name in multiplied and len(dims) == 2:
            parameters += dims[0] * dims[1]
    return parameters, sum(node.op_type == "Softmax" for node in graph.node)


def main() -> None:
    """Prints what each device should do with a bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/demo"))
    parser.add_argument("--device", choices=[*DEVICES, "all"], default="all")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    given = parser.parse_args()
    steps = bundle_steps(Bundle.open(given.bundle))
    chosen = [device for name, device in DEVICES.items() if given.device in (name, "all")]
    found = {
        "steps": {name: asdict(step) for name, step in steps.items()},
        "expected": [estimate(steps, device, batch) for device in chosen for batch in given.batch],
        "sources": {device.name: device.source for device in chosen},
    }
    print(json.dumps(found, indent=2))  # noqa: T201  the command's answer


if __name__ == "__main__":
    main()
