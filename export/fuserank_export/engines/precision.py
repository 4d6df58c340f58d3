"""An FP32 ONNX in other precisions: half for GPUs, 8 bits for CPUs. What is written into the graph is what runs.

TensorRT 11 has no precision flags, so the graph itself says what is computed in what.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})
# These overflow or lose their last digits in half precision (TensorRT#2564, #4493).
KEPT_IN_FP32 = frozenset(
    {"LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "Pow", "Sqrt"}
)
# A product with a narrower side than this gains nothing from 8 bits: quantising its input costs more.
SMALLEST_TABLE = 1_000_000  # numbers: a vocabulary of 30,000 tokens has ten times as many
NARROWEST_INT8 = 64
# CPUs with AVX2 and without VNNI add two products of an unsigned and a signed byte in 16 bits, which end at 32,767.
# Weights of 8 bits go beyond it; those of 7 do not (2 * 255 * 64 = 32,640), so all CPUs compute the same.
PRODUCT_WEIGHTS: Mapping[str, Any] = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}


def write_fp16(source: Path, path: Path) -> None:
    """Writes the half-precision variant of an FP32 ONNX; its inputs and outputs stay FP32.

    In FP32 stay LayerNorm, softmax and sums, see `kept_in_fp32`. A value between two of these is never rounded.

    Args:
        source: The FP32 file.
        path: The file to write.
    """
    model = onnx.load(str(source))
    kept = kept_in_fp32(model.graph)
    half = convert_float_to_float16(model, keep_io_types=True, op_block_list=[], node_block_list=sorted(kept))
    _join_fp32(half.graph)
    sorted_model = OnnxModel(half)
    # The converter appends its casts behind the nodes that read them, which only ONNX Runtime forgives.
    sorted_model.topological_sort()
    onnx.save(sorted_model.model, str(path))


def kept_in_fp32(graph: Any) -> set[str]:
    """Names of the nodes that stay FP32 in the half-precision variant.

    - Operators that overflow or lose their last digits: `KEPT_IN_FP32`.
    - The scaling of raw numbers: what a float input reaches before the first matrix product. Features may be of any
      size; behind their clamp they are not.
    - What only feeds those but for LayerNorm (masks before a softmax), and what no matrix product comes after (pooling,
      normalising, the sums of the heads).

    Args:
        graph: An ONNX graph; its nodes get names where they have none.
    """
    for number, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    kept = {node.name for node in graph.node if node.op_type in KEPT_IN_FP32}
    reached = {each.name for each in graph.input if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    for node in graph.node:  # in order: ONNX graphs are sorted
        if node.op_type not in PRODUCTS and reached.intersection(node.input):
            kept.add(node.name)
            reached.update(node.output)
    for node in reversed(graph.node):
        readers = [reader for name in node.output for reader in consumers.get(name, [])]
        if node.op_type not in PRODUCTS and all(
            reader.name in kept and reader.op_type != "LayerNormalization" for reader in readers
        ):
            kept.add(node.name)
    return kept


def _join_fp32(graph: Any) -> None:
    """Lets FP32 inputs and nodes hand values on as they are: the converter casts each to half and back."""
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast"
        and _target(node) == onnx.TensorProto.FLOAT16
        and (node.name.endswith("_fp16_node") or node.name.startswith("graph_input_cast"))
    }
    widened = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and _target(node) == onnx.TensorProto.FLOAT and node.input[0] in rounded
    }
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = widened.get(name, name)
    _join_outputs(graph, rounded)
    # The casts that nobody reads any more: first those back to FP32, then those that only they read.
    for made in (widened, rounded):
        read = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
        for node in list(graph.node):
            if node.output[0] in made and node.output[0] not in read:
                graph.node.remove(node)


def _join_outputs(graph: Any, rounded: Mapping[str, str]) -> None:
    """The same where the value is an output of the graph: the FP32 node writes it itself."""
    outputs = {each.name for each in graph.output}
    for cast in [n for n in graph.node if n.op_type == "Cast" and n.output[0] in outputs and n.input[0] in rounded]:
        source, output = rounded[cast.input[0]], cast.output[0]
        graph.node.remove(cast)
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = output if name == source else name


def _target(node: Any) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")


def wide_products(graph: Any) -> list[str]:
    """Names of the matrix products with weights that are wide on both sides: those that 8 bits make faster."""
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul" and min(shapes.get(node.input[1], (0,))) >= NARROWEST_INT8
    ]


def tables(graph: Any) -> list[str]:
    """Names of the look-ups in large constant tables: token embeddings, in 8 bits a quarter of the memory."""
    sizes = {each.name: math.prod(each.dims) for each in graph.initializer}
    return [
        node.name for node in graph.node if node.op_type == "Gather" and sizes.get(node.input[0], 0) >= SMALLEST_TABLE
    ]


def write_int8(source: Path, path: Path) -> None:
    """Writes the 8-bit variant for CPUs: weights quantised by channel, activations while running.

    Where no matrix product is wide (see `wide_products`), all are taken; so are `tables`. Weights of products hold
    7 bits, see `PRODUCT_WEIGHTS`.

    Args:
        source: The FP32 file.
        path: The file to write.
    """
    graph = onnx.load(str(source)).graph
    products = wide_products(graph) or [node.name for node in graph.node if node.op_type == "MatMul"]
    looked_up = tables(graph)
    quantize_dynamic(
        source,
        path,
        **PRODUCT_WEIGHTS,
        op_types_to_quantize=["MatMul", "Gather"] if looked_up else ["MatMul"],
        nodes_to_quantize=[*products, *looked_up],
    )


def write_int8_static(source: Path, path: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Writes the 8-bit variant whose activations' ranges are known beforehand, from real inputs.

    Weights of products hold 7 bits, see `PRODUCT_WEIGHTS`.

    Args:
        source: The FP32 file.
        path: The file to write.
        feeds: Real inputs by name; they need not have one shape.
    """
    quantize_static(
        source,
        path,
        _Feeds(feeds),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        **PRODUCT_WEIGHTS,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=wide_products(onnx.load(str(source)).graph),
        # What comes out is added to and normalised: one range for all channels would flatten the small ones.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Hands real inputs to the library, one after the other."""

    def __init__(self, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next inputs; None where there are no more."""
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)
