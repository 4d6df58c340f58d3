"""The first real request costs no more than the tenth: every bucket of every engine has run before readiness."""

from __future__ import annotations

import tritonclient.grpc as triton

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.spec import GraphSpec
from support.busy_machine import cpu_seconds
from support.running import BESIDE, endpoints, raw_inputs, tritonserver, url

# What is asked for is that nothing is left to load, not that two moments are alike.
SLACK = 2.0


def queries(spec: GraphSpec, number: int) -> list[bytes]:
    """One for each bucket of lengths: a word a token, with room for the special ones.

    Each number has queries of its own, for the embedding of one that was asked before is in a cache.
    """
    words = [b"tea" if number >> bit & 1 else b"milk" for bit in range(4)]
    return [b" ".join([*words, *[b"milk"] * (length - 8)]) for length in spec.length_buckets]


def test_the_first_request_of_each_bucket_costs_no_more_than_the_tenth(bundle_root):
    spec = Bundle.open(bundle_root, verify=()).spec
    with (
        Server(bundle_root, endpoints(), "ensemble_cpu", without=BESIDE) as server,
        triton.InferenceServerClient(url(server)) as client,
    ):
        for stage, buckets in (("encoder", spec.length_buckets), ("ranker", spec.candidate_buckets)):
            before = client.get_inference_statistics(stage, as_json=True)["model_stats"][0]
            # One request and a full batch of each bucket, before anyone has asked anything.
            assert int(before["inference_count"]) >= len(buckets) * (1 + spec.max_batch), stage
        process = tritonserver(server.endpoints.grpc)
        assert process is not None
        pids = [process.pid, *(child.pid for child in process.children(recursive=True))]
        times: list[list[float]] = [[] for _ in spec.length_buckets]
        for number in range(10):
            for query, milliseconds in zip(queries(spec, number), times, strict=True):
                before_it = cpu_seconds(pids)
                client.infer("search", raw_inputs(query, b"u01", b'{"k": 10}'))
                milliseconds.append((cpu_seconds(pids) - before_it) * 1_000)
    for length, milliseconds in zip(spec.length_buckets, times, strict=True):
        print(f"{length} tokens: first {milliseconds[0]:.1f} ms, tenth {milliseconds[9]:.1f} ms")
    first, later = (
        sum(milliseconds[0] for milliseconds in times),
        sum(sum(milliseconds[5:]) / 5 for milliseconds in times),
    )
    print(f"all buckets: first {first:.1f} ms of CPU time, sixth to tenth {later:.1f} ms on average")
    assert 0 < first <= SLACK * later
