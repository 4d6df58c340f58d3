"""The roofline's arithmetic, against numbers worked out by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "bench"))  # as for a script of that folder

from roofline import COMPUTE_SHARE, MEMORY_SHARE, Device, Network, Step, estimate, network_step, retrieval_step

TOY = Device("toy", fp16_flops=1e12 / COMPUTE_SHARE, bandwidth=1e9 / MEMORY_SHARE, source="none")


def test_a_networks_flops_are_its_products_and_its_attention():
    network = Network(parameters=1_000, layers=2, hidden=8, rows=3, tokens=4)
    # 3 x (2 x 1000 x 4 + 4 x 2 x 16 x 8)
    assert network.flops == 3 * (8_000 + 1_024)
    assert network.weight_bytes == 2_000


def test_retrieval_reads_every_vector_once_a_batch():
    step = retrieval_step(vectors=1_000, dim=10)
    assert (step.flops, step.shared_bytes, step.own_bytes) == (20_000, 20_000, 8_000)
    arithmetic, memory = step.seconds(TOY, batch=4)
    assert arithmetic == pytest.approx(80_000 / 1e12)
    assert memory == pytest.approx((20_000 + 32_000) / 1e9)


def test_the_longer_of_arithmetic_and_memory_is_the_bottleneck():
    steps = {"slow": Step(1e9, 0, 1e7, 1), "quick": Step(1e3, 1e3, 0, 1)}
    found = estimate(steps, TOY, batch=2)
    # slow: 2e9 / 1e12 = 2 ms of arithmetic, 2e7 / 1e9 = 20 ms of memory; quick is launched in 10 us
    assert found["bottleneck"] == "slow: memory"
    assert found["ms"] == pytest.approx(20.01)
    assert found["requests_per_second"] == pytest.approx(2 / 0.02001, rel=1e-3)


def test_without_cuda_graphs_small_networks_wait_for_their_launches():
    steps = {"small": network_step(Network(1_000, layers=6, hidden=8, rows=1, tokens=4))}
    assert estimate(steps, TOY, 1, cuda_graphs=False)["step_us"]["small"] == pytest.approx(6 * 10 * 3)
    assert estimate(steps, TOY, 1)["step_us"]["small"] < 180
