"""Writes an FP32 ONNX file in other precisions: half for GPUs, 8 bits for CPUs.

The types in the graph are those that run: TensorRT 11 has no precision flags.
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
FP32_OPERATORS = frozenset(
    {"LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "Pow", "Sqrt"}
)
MIN_TABLE_SIZE = 1_000_000  # elements; the embeddings of 30,000 tokens have ten times as many
# Quantising the input of a product that is narrower on one side costs more than its 8-bit weights gain.
MIN_INT8_WIDTH = 64
# CPUs with AVX2 and without VNNI add two products of an unsigned and a signed byte in 16 bits, which end at 32,767.
# Weights of 8 bits go beyond it; those of 7 do not (2 * 255 * 64 = 32,640), so all CPUs compute the same.
PRODUCT_WEIGHTS: Mapping[str, Any] = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}


def write_fp16(source: Path, path: Path) -> None:
    """Writes an FP32 ONNX file in half precision; its inputs and outputs stay FP32.

    LayerNorm, softmax and sums stay FP32, see `select_fp32_nodes`. A value between two of these is never rounded.

    Args:
        source: The FP32 file.
        path: The file to write.
    """
    model = onnx.load(str(source))
    fp32_nodes = select_fp32_nodes(model.graph)
    half = convert_float_to_float16(model, keep_io_types=True, op_block_list=[], node_block_list=sorted(fp32_nodes))
    _join_fp32(half.graph)
    sorted_model = OnnxModel(half)
    # The converter puts its casts behind the nodes that read them, which only ONNX Runtime accepts.
    sorted_model.topological_sort()
    onnx.save(sorted_model.model, str(path))


def select_fp32_nodes(graph: Any) -> set[str]:
    """Returns the names of the nodes that stay FP32 in half precision.

    - Operators that overflow or lose their last digits: `FP32_OPERATORS`.
    - Nodes that a float input reaches before the first matrix product: they scale and clamp features of any size.
    - Nodes that only feed those, except LayerNorm (masks before a softmax), and nodes behind the last matrix product
      (pooling, normalising, the sums of the heads).

    Args:
        graph: An ONNX graph, sorted topologically; its nodes get names where they have none.
    """
    for number, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    fp32_nodes = {node.name for node in graph.node if node.op_type in FP32_OPERATORS}
    reached = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type not in PRODUCTS and reached.intersection(node.input):
            fp32_nodes.add(node.name)
            reached.update(node.output)
    for node in reversed(graph.node):
        readers = [reader for name in node.output for reader in consumers.get(name, [])]
        if node.op_type not in PRODUCTS and all(
            reader.name in fp32_nodes and reader.op_type != "LayerNormalization" for reader in readers
        ):
            fp32_nodes.add(node.name)
    return fp32_nodes


def _join_fp32(graph: Any) -> None:
    """Removes the casts to half and back that the converter puts between FP32 inputs and nodes."""
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast"
        and _cast_target(node) == onnx.TensorProto.FLOAT16
        and (node.name.endswith("_fp16_node") or node.name.startswith("graph_input_cast"))
    }
    widened = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and _cast_target(node) == onnx.TensorProto.FLOAT and node.input[0] in rounded
    }
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = widened.get(name, name)
    _join_outputs(graph, rounded)
    # The casts that no node reads any more: first those back to FP32, then those that only these read.
    for casts in (widened, rounded):
        read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        for node in list(graph.node):
            if node.output[0] in casts and node.output[0] not in read:
                graph.node.remove(node)


def _join_outputs(graph: Any, rounded: Mapping[str, str]) -> None:
    """Removes such casts before outputs of the graph, so that the FP32 node writes the output itself."""
    outputs = {value.name for value in graph.output}
    for cast in [n for n in graph.node if n.op_type == "Cast" and n.output[0] in outputs and n.input[0] in rounded]:
        source, output = rounded[cast.input[0]], cast.output[0]
        graph.node.remove(cast)
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = output if name == source else name


def _cast_target(node: Any) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")


def find_wide_products(graph: Any) -> list[str]:
    """Returns the names of matrix products whose weights have `MIN_INT8_WIDTH` or more on both sides."""
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul" and min(shapes.get(node.input[1], (0,))) >= MIN_INT8_WIDTH
    ]


def find_embedding_tables(graph: Any) -> list[str]:
    """Returns the names of look-ups in large constant tables, such as token embeddings."""
    sizes = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    return [
        node.name for node in graph.node if node.op_type == "Gather" and sizes.get(node.input[0], 0) >= MIN_TABLE_SIZE
    ]


def write_int8(source: Path, path: Path) -> None:
    """Writes an FP32 ONNX file in 8 bits for CPUs: weights quantised by channel, activations at run time.

    Quantised are wide matrix products (all, where none is wide, see `find_wide_products`) and embedding tables (see
    `find_embedding_tables`). Weights of products have 7 bits, see `PRODUCT_WEIGHTS`.

    Args:
        source: The FP32 file.
        path: The file to write.
    """
    graph = onnx.load(str(source)).graph
    products = find_wide_products(graph) or [node.name for node in graph.node if node.op_type == "MatMul"]
    tables = find_embedding_tables(graph)
    quantize_dynamic(
        source,
        path,
        **PRODUCT_WEIGHTS,
        op_types_to_quantize=["MatMul", "Gather"] if tables else ["MatMul"],
        nodes_to_quantize=[*products, *tables],
    )


def write_int8_static(source: Path, path: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Writes an FP32 ONNX file in 8 bits, with ranges of activations that are set beforehand by real inputs.

    Weights of products have 7 bits, see `PRODUCT_WEIGHTS`.

    Args:
        source: The FP32 file.
        path: The file to write.
        feeds: Real inputs by name; their shapes may differ.
    """
    quantize_static(
        source,
        path,
        _CalibrationFeeds(feeds),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        **PRODUCT_WEIGHTS,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=find_wide_products(onnx.load(str(source)).graph),
        # Outputs stay FP32: one range for all channels would round the small ones to 0.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )


class _CalibrationFeeds(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Gives real inputs to the library, one after the other."""

    def __init__(self, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Returns the next inputs; None after the last."""
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)
