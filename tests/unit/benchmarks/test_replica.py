"""Cores, replicas and network of a load follow from the measured figures by the page's arithmetic."""

from __future__ import annotations

from fuserank_benchmarks.replica import MEANINGS, size_loads

FIGURES = {
    "replica_cpu_ms": 6.0,
    "replica_cpu_ms_without_engines": 3.0,
    "replica_cpu_ms_retrieve": 2.4,
    "replica_memory_mib": 1024.0,
    "replica_request_bytes": 200.0,
    "replica_reply_bytes": 1_800.0,
}


def test_cores_replicas_memory_and_network_are_as_worked_out_by_hand():
    ((head, *rows),) = size_loads(FIGURES).values()
    by_rate = {row[0]: row[1:] for row in rows}
    # 1,000 a second of 6 ms are 6 busy cores, planned at 60 %: 10. Five replicas of 2 cores hold them, and one more.
    assert by_rate["1,000"] == ["10.0", "6", "6.0", "5.0", "5", "16.0"]
    assert by_rate["10,000"] == ["100.0", "51", "51.0", "50.0", "41", "160.0"]
    assert "6.0 ms / 0.6" in head[1]
    assert "2000 bytes" in head[-1]


def test_every_figure_is_explained():
    assert set(FIGURES) <= set(MEANINGS)
