"""Tables of `docs/results.md`: how fast a server is, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping

SERVING: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "speed": (
        (
            "No text tower",
            "{plain_throughput:.0f} requests/s, p50 {plain_p50_ms:.1f} ms, p99 {plain_p99_ms:.1f} ms",
            "sentence-transformers {sbert_0_throughput:.0f}, {sbert_0_p50_ms:.1f} ms; Infinity "
            "{infinity_0_throughput:.0f}, {infinity_0_p50_ms:.1f} ms; staged calls {staged_0_throughput:.0f}, "
            "{staged_0_p50_ms:.1f} ms",
        ),
        (
            "… requests/s over the better peer's",
            "{search_only_vs_peer:.2f} ({search_only_vs_peer_low:.2f} to {search_only_vs_peer_high:.2f})",
            "goal 6",
        ),
        (
            "A text tower of three layers reads 16 pairs",
            "{tower_throughput:.0f} requests/s, p50 {tower_p50_ms:.1f} ms, p99 {tower_p99_ms:.1f} ms",
            "sentence-transformers {sbert_16_throughput:.0f}, {sbert_16_p50_ms:.1f} ms; Infinity "
            "{infinity_16_throughput:.0f}, {infinity_16_p50_ms:.1f} ms; staged calls {staged_16_throughput:.0f}, "
            "{staged_16_p50_ms:.1f} ms",
        ),
        (
            "… requests/s over the better peer's",
            "{throughput_vs_peer:.2f} ({throughput_vs_peer_low:.2f} to {throughput_vs_peer_high:.2f})",
            "goal 5",
        ),
        (
            "… p50 over the better peer's",
            "{p50_vs_peer:.2f} ({p50_vs_peer_low:.2f} to {p50_vs_peer_high:.2f})",
            "goal 0.25",
        ),
        (
            "The same, queries repeat as in web search logs",
            "{zipf_tower_throughput:.0f} requests/s, p50 {zipf_tower_p50_ms:.1f} ms",
            "sentence-transformers {zipf_sbert_16_throughput:.0f}, {zipf_sbert_16_p50_ms:.1f} ms; Infinity "
            "{zipf_infinity_16_throughput:.0f}, {zipf_infinity_16_p50_ms:.1f} ms; staged calls "
            "{zipf_staged_16_throughput:.0f}, {zipf_staged_16_p50_ms:.1f} ms",
        ),
        (
            "… requests/s over the better peer's",
            "{throughput_vs_peer_zipf:.2f} ({throughput_vs_peer_zipf_low:.2f} to {throughput_vs_peer_zipf_high:.2f})",
            "goal 5",
        ),
        (
            "… p50 over the better peer's",
            "{p50_vs_peer_zipf:.2f} ({p50_vs_peer_zipf_low:.2f} to {p50_vs_peer_zipf_high:.2f})",
            "goal 0.25",
        ),
        (
            "A text tower of one layer, distilled from that of three",
            "{shallow_throughput:.0f} requests/s, p50 {shallow_p50_ms:.1f} ms, p99 {shallow_p99_ms:.1f} ms",
            "the peers as above, with three layers",
        ),
        (
            "… requests/s over the better peer's",
            "{throughput_vs_peer_shallow:.2f} ({throughput_vs_peer_shallow_low:.2f} to "
            "{throughput_vs_peer_shallow_high:.2f})",
            "goal 5",
        ),
        (
            "… p50 over the better peer's",
            "{p50_vs_peer_shallow:.2f} ({p50_vs_peer_shallow_low:.2f} to {p50_vs_peer_shallow_high:.2f})",
            "goal 0.25",
        ),
    ),
    "hybrid": (
        (
            "Queries differ, 16 callers and one",
            "{hybrid_throughput:.0f} requests/s, p50 {hybrid_p50_ms:.1f} ms",
            "{hybrid_peer_throughput:.0f} requests/s, p50 {hybrid_peer_p50_ms:.1f} ms",
        ),
        (
            "… requests/s over the peer's",
            "{throughput_vs_hybrid_peer:.1f} ({throughput_vs_hybrid_peer_low:.1f} to "
            "{throughput_vs_hybrid_peer_high:.1f})",
            "goal 10",
        ),
        (
            "… p50 over the peer's",
            "{p50_vs_hybrid_peer:.2f} ({p50_vs_hybrid_peer_low:.2f} to {p50_vs_hybrid_peer_high:.2f})",
            "–",
        ),
        (
            "Queries repeat as in web search logs",
            "{zipf_hybrid_throughput:.0f} requests/s, p50 {zipf_hybrid_p50_ms:.1f} ms",
            "{zipf_hybrid_peer_throughput:.0f} requests/s, p50 {zipf_hybrid_peer_p50_ms:.1f} ms",
        ),
        (
            "… requests/s over the peer's",
            "{throughput_vs_hybrid_peer_zipf:.1f} ({throughput_vs_hybrid_peer_zipf_low:.1f} to "
            "{throughput_vs_hybrid_peer_zipf_high:.1f})",
            "goal 10",
        ),
        (
            "CPU time a request, all server processes: queries differ, repeat",
            "{hybrid_cpu_ms:.1f} ms, {zipf_hybrid_cpu_ms:.1f} ms",
            "{hybrid_peer_cpu_ms:.1f} ms, {zipf_hybrid_peer_cpu_ms:.1f} ms",
        ),
        ("Memory of all processes", "{hybrid_resident_gb:.2f} GB", "{hybrid_peer_resident_gb:.2f} GB"),
        (
            "nDCG@10 of {hybrid_cases:,} searches by households",
            "{hybrid_search_ndcg_at_10:.3f}",
            "{hybrid_peer_search_ndcg_at_10:.3f}; difference {hybrid_search_ndcg_at_10_difference:+.3f} "
            "({hybrid_search_ndcg_at_10_low:+.3f} to {hybrid_search_ndcg_at_10_high:+.3f})",
        ),
        (
            "nDCG@10 of Amazon's {hybrid_esci_queries} queries, no log",
            "{hybrid_esci_ndcg_at_10:.3f}",
            "{hybrid_peer_esci_ndcg_at_10:.3f}, without LightGBM; difference "
            "{hybrid_esci_ndcg_at_10_difference:+.3f} ({hybrid_esci_ndcg_at_10_low:+.3f} to "
            "{hybrid_esci_ndcg_at_10_high:+.3f})",
        ),
    ),
    "limits": (
        (
            "Whole graph at saturation over bare engines, with a text tower",
            "{ceiling_ratio:.2f} ({ceiling_ratio_low:.2f} to {ceiling_ratio_high:.2f})",
            "{ceiling_throughput:.0f} requests/s of encoder and ranker bare in ONNX Runtime; goal 0.85",
        ),
        (
            "p50 beyond the engines' own time, with a text tower",
            "{overhead_ms:.1f} ms ({overhead_ms_low:.1f} to {overhead_ms_high:.1f})",
            "the engines alone {raw_model_ms:.1f} ms; goal 1.5 ms",
        ),
        (
            "p99 over p50 at 70 % of the peak rate",
            "{p99_over_p50_at_70:.1f} ({p99_over_p50_at_70_low:.1f} to {p99_over_p50_at_70_high:.1f})",
            "goal 3",
        ),
        (
            "Answers within 500 ms at twice the peak rate, over the peak",
            "{goodput_at_2x:.2f} ({goodput_at_2x_low:.2f} to {goodput_at_2x_high:.2f})",
            "goal 0.9",
        ),
        ("… of the rest, refused within 10 ms", "{refused_in_time_at_2x:.3f}", "all of them: 1"),
        ("Start until ready, with a text tower", "{start_seconds:.1f} s", "goal 6 s"),
        (
            "Memory of all processes, shared pages once",
            "{resident_gb_tower:.2f} GB with a text tower, {resident_gb_plain:.2f} GB without",
            "goal 1.2 GB",
        ),
        (
            "p50 at a million items over ten thousand, engines in FP32",
            "{p50_ratio_1m_to_10k:.2f} ({p50_ratio_1m_to_10k_low:.2f} to {p50_ratio_1m_to_10k_high:.2f})",
            "{items_1m_p50_ms:.1f} ms against {items_10k_p50_ms:.1f} ms; goal 1.5",
        ),
        (
            "A million items: memory, start",
            "{resident_gb_items_1m:.1f} GB, {start_seconds_items_1m:.0f} s",
            "ten thousand items: {resident_gb_items_10k:.1f} GB, {start_seconds_items_10k:.0f} s",
        ),
    ),
    "demo": (
        ("Catalogue", "{items:,} items", "{texts:,} distinct texts"),
        ("ONNX against torch, FP32, largest difference", "{encoder_max_abs_diff_fp32:.1e}", "torch"),
        ("Start to first answer", "{start_seconds_demo:.1f} s", "goal 6 s"),
        (
            "Query and user, one request at a time",
            "p50 {p50_ms_c1} ms, p99 {p99_ms_c1} ms",
            "encoder and ranker alone {raw_model_ms_demo} ms; all the rest {overhead_ms_demo} ms",
        ),
        (
            "Sixteen callers, on the same cores",
            "{requests_per_second_c16} requests/s",
            "{batches_formed} requests an execution",
        ),
        (
            "nDCG@10 of later purchases, query and user",
            "ranker {ranker_ndcg_at_10_both:.3f}",
            "fusion alone {fusion_ndcg_at_10_both:.3f}",
        ),
    ),
    "replica": (
        (
            "Requests/s of one core, 16 callers elsewhere",
            "{replica_requests_per_second}",
            "CPU time of a request {replica_cpu_ms} ms",
        ),
        (
            "CPU time a request of `encoder`, `retrieve`, `ranker`",
            "{replica_cpu_ms_encoder}, {replica_cpu_ms_retrieve}, {replica_cpu_ms_ranker} ms",
            "the whole {replica_cpu_ms} ms",
        ),
        (
            "… that stays on the CPU by a GPU",
            "{replica_cpu_ms_without_engines} ms",
            "the whole {replica_cpu_ms} ms",
        ),
        ("Memory of all processes", "{replica_memory_mib} MiB", "the bundle's files: {replica_bundle_mib} MiB"),
        ("A request and its reply of ten items", "{replica_request_bytes} and {replica_reply_bytes:,} bytes", "–"),
    ),
}
