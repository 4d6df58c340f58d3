"""The roofline model's arithmetic, against numbers worked out by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fuserank_benchmarks.speed.roofline import (
    LAUNCH_US,
    Device,
    Work,
    bundle_work,
    engine_work,
    estimate,
    retrieval_work,
)


def small_engine():
    """Rows of a table of 100 x 8, times 8 x 3, times their own transpose."""
    nodes = [
        helper.make_node("Gather", ["table", "IDS"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["low"]),
        helper.make_node("Transpose", ["low"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["low", "turned"], ["OUT"]),
    ]
    weights = {"table": np.ones((100, 8), np.float32), "weight": np.ones((8, 3), np.float32)}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("IDS", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("OUT", TensorProto.FLOAT, ["batch", "length", "length"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def test_an_engine_counts_its_products_and_not_its_lookup_table():
    work = engine_work("small", small_engine(), {"length": 5}, batch=4)
    assert work.flops == 4 * (2 * 5 * 8 * 3 + 2 * 5 * 3 * 5)
    assert work.bytes == 2 * (8 * 3 + 4 * (5 + 5 * 5))  # the weight once a batch, ids and the result for each request
    assert work.kernels == 4


def test_a_dimension_without_a_size_is_named():
    with pytest.raises(ValueError, match="IDS: no size is known for the dimension 'length'"):
        engine_work("small", small_engine(), {}, batch=1)


def test_retrieval_reads_the_vectors_once_a_batch():
    one, many = retrieval_work(1_000, 64, 1), retrieval_work(1_000, 64, 10)
    assert (one.flops, one.bytes) == (128_000, 128_000 + 8_000)
    assert (many.flops, many.bytes) == (1_280_000, 128_000 + 80_000)


def test_each_stage_takes_its_longest_time_and_the_stages_add_up():
    device = Device("d", flops=1e12, bandwidth=1e9, source="")
    works = [Work("a", flops=5e9, bytes=1e6, kernels=10), Work("b", flops=1e9, bytes=3e6, kernels=10)]
    estimated = estimate(works, device, batch=4)
    assert estimated.milliseconds == pytest.approx(5 + 3)  # a computes 5 ms, b reads 3 ms
    assert estimated.requests_per_second == pytest.approx(500)
    assert estimated.bottleneck == "a: compute"
    busy = estimate([Work("c", 1.0, 1.0, kernels=1_000)], device, batch=1)
    assert busy.milliseconds == pytest.approx(LAUNCH_US)
    assert busy.bottleneck == "c: launches"


@pytest.mark.parametrize("which", ["tiny_bundle", "tower_bundle"])
def test_stages_of_a_bundle_are_counted_with_and_without_a_text_tower(which, request):
    pytest.importorskip("torch")
    folder = request.getfixturevalue(which)
    one, many = bundle_work(folder, 1), bundle_work(folder, 4)
    assert [work.stage for work in one] == ["encoder", "retrieve", "ranker"]
    for single, batch in zip(one, many, strict=True):
        assert batch.flops == pytest.approx(4 * single.flops)
        assert single.bytes < batch.bytes < 4 * single.bytes
