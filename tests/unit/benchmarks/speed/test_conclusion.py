"""Measured rounds become the report's figures, compared with the better peer, each with its interval."""

from dataclasses import replace

from fuserank_benchmarks.peers.running import STACKS
from fuserank_benchmarks.perf_analyzer.sweep import Point
from fuserank_benchmarks.speed.conclusion import conclude
from fuserank_benchmarks.speed.report import COMPARED, MEANINGS, make_tables


def measured():
    return {
        "tower_throughput": [80.0, 90.0, 100.0],
        "tower_p50_ms": [12.0, 13.0, 14.0],
        "plain_throughput": [300.0, 300.0, 300.0],
        "plain_p50_ms": [3.0, 3.0, 3.0],
        "ceiling_throughput": [100.0, 100.0, 100.0],
        "raw_model_ms": [11.0, 11.0, 11.0],
        "steady_p50_ms": [10.0, 10.0, 10.0],
        "steady_p99_ms": [25.0, 20.0, 30.0],
        "goodput_at_2x": [0.9, 0.95, 1.0],
        "refused_in_time_at_2x": [1.0, 1.0, 1.0],
        "infinity_0_throughput": [50.0, 50.0, 50.0],
        "infinity_16_throughput": [10.0, 10.0, 10.0],
        "infinity_16_p50_ms": [80.0, 80.0, 80.0],
        "sbert_0_throughput": [60.0, 60.0, 60.0],
        "sbert_16_throughput": [9.0, 9.0, 9.0],
        "sbert_16_p50_ms": [52.0, 52.0, 52.0],
        "staged_0_throughput": [30.0, 30.0, 30.0],
        "zipf_tower_throughput": [200.0, 210.0, 220.0],
        "zipf_tower_p50_ms": [6.0, 6.0, 6.0],
        "zipf_sbert_16_throughput": [10.0, 10.0, 10.0],
        "zipf_sbert_16_p50_ms": [50.0, 50.0, 50.0],
        "zipf_staged_16_throughput": [30.0, 30.0, 40.0],
        "zipf_staged_16_p50_ms": [30.0, 30.0, 30.0],
        "shallow_throughput": [200.0, 200.0, 200.0],
        "shallow_p50_ms": [5.2, 5.2, 5.2],
    }


def test_ratios_are_taken_round_by_round_against_the_better_peer():
    figures = conclude(measured(), "tower")
    assert figures["ceiling_ratio"] == 0.9
    assert figures["overhead_ms"] == 2.0
    assert figures["p99_over_p50_at_70"] == 2.5
    assert (figures["throughput_vs_peer"], figures["throughput_vs_peer_peer"]) == (9.0, "infinity")
    assert (figures["p50_vs_peer"], figures["p50_vs_peer_peer"]) == (0.25, "sbert")
    assert (figures["search_only_vs_peer"], figures["search_only_vs_peer_peer"]) == (5.0, "sbert")
    assert figures["throughput_vs_peer_shallow"] == 20.0
    assert figures["p50_vs_peer_shallow"] == 0.1
    assert (figures["throughput_vs_peer_zipf"], figures["throughput_vs_peer_zipf_peer"]) == (6.667, "staged")
    assert (figures["p50_vs_peer_zipf"], figures["p50_vs_peer_zipf_peer"]) == (0.2, "staged")
    assert figures["zipf_tower_throughput"] == 210.0
    for name in COMPARED:
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"], name


def test_ratios_without_peers_or_other_sizes_are_not_measured():
    alone = {
        name: values
        for name, values in measured().items()
        if not name.startswith((*STACKS, "tower", "zipf", "shallow"))
    }
    figures = conclude(alone, "plain")
    for name in ("throughput_vs_peer", "p50_vs_peer_zipf", "search_only_vs_peer", "p50_ratio_1m_to_10k"):
        assert figures[name] is None
    assert figures["ceiling_ratio"] == 3.0


def test_every_figure_of_the_page_is_measured_and_sweeps_are_tables():
    figures = conclude(measured(), "tower")
    of_the_run = {"copy_gb_per_s", "dense_bytes", "start_seconds", "resident_bytes", "resident_bytes_rss"}
    assert set(MEANINGS) <= set(figures) | of_the_run
    point = Point(8, 90, 80, 90, 95, 99, 1, 70, 2)
    tables = make_tables(figures, {"tower": [point]}, [replace(point, load=60)])
    cells = ["90.0", "80.0", "90.0", "95.0", "99.0", "1.0", "70.0"]
    assert ["8.0", *cells] in list(tables["Sweep of tower by perf_analyzer over gRPC"])
    assert ["60.0", *cells] in list(tables["Request rates, Poisson, by perf_analyzer over gRPC"])
