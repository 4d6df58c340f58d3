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
    "reliability": (
        (
            "`single_process`, peak {single_process_peak:.0f} requests/s: goodput at 1, 2, 5 times the peak",
            "{single_process_1x_goodput:.2f}, {single_process_2x_goodput:.2f}, {single_process_5x_goodput:.2f}",
            "goals 0.9 at 2, 0.8 at 5",
        ),
        (
            "… p99 of what is answered, at 2 and 5 times",
            "{single_process_2x_p99_ms:.0f}, {single_process_5x_p99_ms:.0f} ms",
            "deadline 500 ms",
        ),
        (
            "… a refusal at 5 times: median, p99",
            "{single_process_5x_refused_p50_ms:.1f}, {single_process_5x_refused_p99_ms:.0f} ms",
            "goal 10 ms; what expires has waited half its deadline",
        ),
        (
            "… normal again after a burst of 5 times the peak",
            "{single_process_burst_5x_normal_after_seconds:.0f} s",
            "goal 5 s",
        ),
        (
            "`ensemble_cpu`, peak {ensemble_cpu_peak:.0f} requests/s: goodput at 1, 2, 5 times the peak",
            "{ensemble_cpu_1x_goodput:.2f}, {ensemble_cpu_2x_goodput:.2f}, {ensemble_cpu_5x_goodput:.2f}",
            "goals 0.9 at 2, 0.8 at 5",
        ),
        (
            "… p99 of what is answered, at 2 and 5 times",
            "{ensemble_cpu_2x_p99_ms:.0f}, {ensemble_cpu_5x_p99_ms:.0f} ms",
            "deadline 500 ms",
        ),
        (
            "An item stuffed with people's 400 most frequent words: on first pages, among the first three",
            "{planted_400_page_share:.1%}, {planted_400_first_share:.1%}",
            "of 373 queries",
        ),
        (
            "Memory after the warm-up, {soak_minutes:.0f} minutes at 70 % with events, changes and switches",
            "{soak_memory_mb_per_minute:+.0f} MB a minute",
            "goal 1; {soak_failed:,} searches failed",
        ),
        (
            "{connections_opened:,} connections that never finish a request: p99 of a neighbour's searches",
            "{connections_beside_p99_ms:.0f} ms, {connections_beside_failed} failed",
            "without them {connections_before_p99_ms:.0f} ms; they took {connections_memory_mb:.0f} MB",
        ),
        (
            "Fuzzing: cases by chance, inputs that coverage guided",
            "{fuzz_cases:,}, {fuzz_guided_cases:,}",
            "faults left: {fuzz_guided_faults}",
        ),
        (
            "Branches that tests take: `client/`, `ensemble/`",
            "{branch_coverage_client:.1%}, {branch_coverage_ensemble:.1%}",
            "goal 90%",
        ),
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
