"""Tables of `docs/results.md`: what many items and many events cost."""

from __future__ import annotations

from collections.abc import Mapping

SCALE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "vectors": (
        (
            "A million vectors: recall@100",
            "{dense_recall_at_100_1m:.3f}",
            "exact search: 1, at {exact_qps_1m:.1f} requests/s",
        ),
        (
            "… requests/s, one at a time",
            "{dense_qps_1m:,.0f}",
            "{dense_speedup_vs_exact_1m:.0f} times exact search on the same thread",
        ),
        (
            "… bytes an item in memory",
            "{dense_bytes_per_item_1m:.0f}",
            "fp16 of 384 dimensions: 768",
        ),
        (
            "100 thousand vectors: recall@100, requests/s",
            "{dense_recall_at_100_100k:.3f}, {dense_qps_100k:,.0f}",
            "{dense_speedup_vs_exact_100k:.1f} times exact search",
        ),
        (
            "The retrieve stage at 92,331 items, query and user",
            "p50 {retrieve_p50_ms_92k} ms alone",
            "{retrieve_ms_per_request_batch16_92k} ms each in batches of 16",
        ),
        (
            "Words of a million items, 1 to 4 a query",
            "p50 {lexical_p50_ms_1m} ms",
            "p99 {lexical_p99_ms_1m} ms",
        ),
        ("Completion of a prefix, {suggest_phrases:,} phrases", "p50 {suggest_p50_ms} ms", "p99 {suggest_p99_ms} ms"),
    ),
    "export": (
        (
            "1,000 items, 10,000 events",
            "{export_1k_quiet_seconds:.0f} s, {export_1k_quiet_peak_mib:,} MiB",
            "CPU time {export_1k_quiet_cpu_seconds:.0f} s",
        ),
        (
            "4,000 items, 310,000 events",
            "{export_4k_quiet_seconds:.0f} s, {export_4k_quiet_peak_mib:,} MiB",
            "CPU time {export_4k_quiet_cpu_seconds:.0f} s; goal 180 s",
        ),
        (
            "… beside a process that keeps a core busy",
            "{export_4k_busy_seconds:.0f} s, {export_4k_busy_over_quiet:.2f} times as long",
            "goal 2.5 times",
        ),
        (
            "92,000 items, 1.5 million events",
            "{export_92k_quiet_seconds:.0f} s, {export_92k_quiet_peak_mib:,} MiB",
            "CPU time {export_92k_quiet_cpu_seconds:.0f} s",
        ),
        (
            "A million items, 10 million events, without embedding",
            "{export_1m_quiet_seconds:.0f} s, {export_1m_quiet_peak_mib:,} MiB",
            "without mapped files {export_1m_quiet_peak_anonymous_mib:,} MiB; goal 2,048 MiB",
        ),
    ),
}
