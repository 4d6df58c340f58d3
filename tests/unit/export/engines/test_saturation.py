"""8-bit products give the same on every x86-64 CPU: none of their sums leaves the 16 bits that AVX2 adds pairs in."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.graph.stages import search_stages
from fuserank_export.engines import precision
from fuserank_export.engines.candidates import open_fp32, write_candidates
from fuserank_export.engines.parity.adversarial import make_adversarial_feeds
from fuserank_export.engines.precision import find_wide_products

INT16 = np.iinfo(np.int16)


@pytest.fixture(scope="module")
def int8_files(tower_bundle, tmp_path_factory):
    """Every INT8 file that an export and `export engines` write for a shop with a text tower, by name."""
    bundle = Bundle.open(tower_bundle, verify=())
    folder = tmp_path_factory.mktemp("int8")
    files = {"exported": bundle.repository / "encoder" / "1" / "model.int8.onnx"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "MIN_INT8_WIDTH", 24)  # the tiny shop's matrices are 32 wide
        for stage in (stage for stage in search_stages(bundle.spec) if stage.kind == "engine"):
            fp32 = open_fp32(bundle, stage)
            feeds = list(make_adversarial_feeds(bundle.spec, stage, 60, 3).values())
            for engine in write_candidates(fp32, "int8", "cpu", folder, feeds, {}):
                files[f"{stage.name}, {engine.method}"] = engine.path
                assert len(product_weights(engine.path)) == len(find_wide_products(onnx.load(str(fp32.path)).graph))
    return files


def product_weights(path):
    """The 8-bit weights `[inputs, outputs]` of a file's matrix products, quantised while running or by ranges."""
    graph = onnx.load(str(path)).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    dequantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    names = [node.input[1] for node in graph.node if node.op_type == "MatMulInteger"]
    products = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
    names += [dequantized[name] for name in products if name in dequantized]
    return [weights[name] for name in names if name in weights]


def saturating_product(activations, weights):
    """The product of bytes as AVX2 computes it (`vpmaddubsw`): two neighbours are added in 16 bits, which saturate."""
    terms = activations[:, :, None].astype(np.int32) * weights[None].astype(np.int32)
    return np.clip(terms[:, 0::2] + terms[:, 1::2], INT16.min, INT16.max).sum(1)


@pytest.mark.parametrize(
    "name", ["exported", "encoder, dynamic", "encoder, static", "text_tower, dynamic", "text_tower, static"]
)
def test_no_8_bit_product_saturates_on_a_cpu_without_vnni(int8_files, name):
    matrices = product_weights(int8_files[name])
    assert matrices
    draw = np.random.default_rng(7)
    for weights in matrices:
        # Activations take either end of their range: what adds up to most.
        activations = draw.choice(np.array([0, 255], np.uint8), (64, len(weights)))
        exact = activations.astype(np.int32) @ weights.astype(np.int32)
        np.testing.assert_array_equal(saturating_product(activations, weights), exact)
        largest = int(np.abs(weights.astype(np.int32)).max())
        assert 32 < largest <= INT16.max // (2 * 255)


def test_weights_of_8_bits_would_saturate():
    activations, weights = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    assert saturating_product(activations, weights) == INT16.max < 2 * 255 * 127
