"""Measurements are read from perf_analyzer's output, and errors name what it needs."""

import json

import pytest

from fuserank_benchmarks.perf_analyzer import program
from fuserank_benchmarks.perf_analyzer.sweep import Sweep, read_points, write_inputs

TABLE = """Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,\
request/response,response wait
2,54.9146,13,7966,2000,214,24478,3636,4,36013,53704,64499,80996,17,36264
"""
PRINTED = """
Request concurrency: 2
  Client:
    Request count: 297
  Server:
    Inference count: 297
    Execution count: 297
    Avg request latency: 36004 usec (overhead 0 usec + queue 9789 usec + compute 28305 usec)

  Composing models:
  encoder, version: 1
      Inference count: 300
      Execution count: 100
      Successful request count: 297
      Avg request latency: 11852 usec (overhead 2 usec + queue 2488 usec + compute input 20 usec + compute infer 8774 \
usec + compute output 567 usec)
"""


def test_a_point_has_times_of_client_and_server_in_milliseconds():
    (point,) = read_points(TABLE, "")
    assert (point.load, point.throughput) == (2, 54.9146)
    assert (point.p50_ms, point.p99_ms) == (36.013, 80.996)
    assert point.compute_ms == pytest.approx((214 + 24478 + 3636) / 1e3)
    assert point.queue_ms == 2.0
    assert point.send_receive_ms == pytest.approx((13 + 7966 + 4) / 1e3)
    assert point.stages == {}  # one model has no composing ones


def test_composing_models_have_their_queue_compute_and_batch():
    (point,) = read_points(TABLE, PRINTED)
    assert list(point.stages) == ["encoder"]
    encoder = point.stages["encoder"]
    assert (encoder.queue_us, encoder.compute_us, encoder.batch) == (2488, 20 + 8774 + 567, 3.0)


def test_a_table_of_request_rates_is_read():
    (point,) = read_points(TABLE.replace("Concurrency", "Request Rate"), PRINTED.replace("concurrency", "Rate"))
    assert point.load == 2
    assert "encoder" in point.stages


def test_a_table_without_measurements_is_an_error():
    with pytest.raises(program.PerfAnalyzerError, match="no measurement"):
        read_points(TABLE.splitlines()[0], "")


def test_requests_are_written_as_perf_analyzer_reads_them(tmp_path):
    written = json.loads(write_inputs(tmp_path / "in.json", [("milk", "", "{}")]).read_text("utf-8"))
    assert written["data"][0]["QUERY"] == {"content": ["milk"], "shape": [1]}
    assert written["data"][0]["USER_ID"]["content"] == [""]


def test_shared_memory_and_streaming_are_options():
    assert "--shared-memory" not in Sweep([1]).arguments()
    assert {"--shared-memory", "--streaming"} <= set(Sweep([1], shared_memory=True, streaming=True).arguments())


def test_an_unsupported_system_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(program.shutil, "which", lambda _: None)
    monkeypatch.setattr(program.platform, "system", lambda: "Darwin")
    with pytest.raises(program.PerfAnalyzerError, match=r"not on PATH.*found Darwin.*put perf_analyzer on PATH"):
        program.find_perf_analyzer(tmp_path)


def test_without_apt_the_error_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(program.shutil, "which", lambda _: None)
    monkeypatch.setattr(program.platform, "system", lambda: "Linux")
    monkeypatch.setattr(program.platform, "machine", lambda: "x86_64")
    with pytest.raises(program.PerfAnalyzerError, match="libb64-0d"):
        program.find_perf_analyzer(tmp_path)
