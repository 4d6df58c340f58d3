"""The tables of `docs/results.md`, whose figures come from the committed reports."""

from __future__ import annotations

from collections.abc import Mapping

# Tables of docs/results.md by name. Each line: what is measured, ours, what it is compared with; braces name figures.
RESULTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
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
    "retrieval": (
        (
            "Groceries, query and user: recall@50",
            "fused {grocery_recall_at_50_fused:.3f}",
            "trending {grocery_recall_at_50_trending:.3f}, collaborative {grocery_recall_at_50_collaborative:.3f}, "
            "graph {grocery_recall_at_50_graph:.3f}, lexical {grocery_recall_at_50_lexical:.3f}, content "
            "{grocery_recall_at_50_content:.3f}, dense {grocery_recall_at_50_dense:.3f}, history "
            "{grocery_recall_at_50_history:.3f}, new {grocery_recall_at_50_new:.3f}, each alone",
        ),
        (
            "… recall@200",
            "fused {grocery_recall_at_200_fused:.3f}",
            "the best alone: graph {grocery_recall_at_200_graph:.3f}",
        ),
        (
            "… recall@50, the same queries without a user",
            "fused {grocery_recall_at_50_fused_no_user:.3f}",
            "with a user {grocery_recall_at_50_fused:.3f}",
        ),
        (
            "Films, human judgements, {movies_queries:,} queries: nDCG@10",
            "fused {movies_ndcg_at_10_fused:.3f}",
            "lexical alone {movies_ndcg_at_10_lexical:.3f}, dense alone {movies_ndcg_at_10_dense:.3f}",
        ),
        (
            "… recall@100",
            "fused {movies_recall_at_100_fused:.3f}",
            "lexical alone {movies_recall_at_100_lexical:.3f}, dense alone {movies_recall_at_100_dense:.3f}",
        ),
        (
            "Chinese shop, {chinese_queries} queries, English encoder: nDCG@10",
            "fused {chinese_ndcg_at_10_fused:.3f}",
            "lexical alone {chinese_ndcg_at_10_lexical:.3f}, dense alone {chinese_ndcg_at_10_dense:.3f}",
        ),
    ),
    "ranking": (
        (
            "Groceries, searches of a known household, 3,000 cases",
            "ranker {grocery_search_ndcg_at_10:.3f}",
            "LambdaMART {grocery_search_ndcg_at_10_baseline_lightgbm:.3f}, fusion "
            "{grocery_search_ndcg_at_10_baseline_rrf:.3f}, own frequency "
            "{grocery_search_ndcg_at_10_baseline_personal_frequency:.3f}, BM25 "
            "{grocery_search_ndcg_at_10_baseline_bm25:.3f}, dense {grocery_search_ndcg_at_10_baseline_dense:.3f}",
        ),
        (
            "… the same from somebody new",
            "ranker {new_user_ndcg_at_10:.3f}",
            "LambdaMART {new_user_ndcg_at_10_baseline_lightgbm:.3f}, fusion {new_user_ndcg_at_10_baseline_rrf:.3f}",
        ),
        (
            "… for items that nobody had had yet",
            "ranker {new_item_ndcg_at_10:.3f}",
            "dense alone {new_item_ndcg_at_10_baseline_dense:.3f}, LambdaMART "
            "{new_item_ndcg_at_10_baseline_lightgbm:.3f}, BM25 {new_item_ndcg_at_10_baseline_bm25:.3f}",
        ),
        (
            "… over dense alone, paired",
            "{new_item_ndcg_at_10_over_dense_difference:+.3f}",
            "95 % interval {new_item_ndcg_at_10_over_dense_low:+.3f} to {new_item_ndcg_at_10_over_dense_high:+.3f}",
        ),
        (
            "Recommendations: all that a household then buys",
            "ranker {grocery_rec_ndcg_at_10:.3f}",
            "LambdaMART {grocery_rec_ndcg_at_10_baseline_lightgbm:.3f}, TIFU-KNN "
            "{grocery_rec_ndcg_at_10_baseline_tifu_knn:.3f}, UP-CF {grocery_rec_ndcg_at_10_baseline_up_cf:.3f}, own "
            "frequency {grocery_rec_ndcg_at_10_baseline_personal_frequency:.3f}",
        ),
        (
            "… only what is new to it",
            "ranker {grocery_rec_new_ndcg_at_10:.3f}",
            "LambdaMART {grocery_rec_new_ndcg_at_10_baseline_lightgbm:.3f}, UP-CF "
            "{grocery_rec_new_ndcg_at_10_baseline_up_cf:.3f}, item-item "
            "{grocery_rec_new_ndcg_at_10_baseline_item_item:.3f}",
        ),
        (
            "Three windows: searches, mean",
            "ranker {grocery_search_ndcg_at_10_windows_mean:.3f}",
            "LambdaMART {grocery_search_ndcg_at_10_baseline_lightgbm_windows_mean:.3f}",
        ),
        (
            "… recommendations",
            "ranker {grocery_rec_ndcg_at_10_windows_mean:.3f}",
            "LambdaMART {grocery_rec_ndcg_at_10_baseline_lightgbm_windows_mean:.3f}, TIFU-KNN "
            "{grocery_rec_ndcg_at_10_baseline_tifu_knn_windows_mean:.3f}",
        ),
        (
            "… recommendations of what is new",
            "ranker {grocery_rec_new_ndcg_at_10_windows_mean:.3f}",
            "LambdaMART {grocery_rec_new_ndcg_at_10_baseline_lightgbm_windows_mean:.3f}",
        ),
        (
            "Films, fine-tuned text tower, {movies_held_out_queries:,.0f} held-out queries",
            "ranker {movies_ndcg_at_10_ranker:.3f}; with the catalogue's numbers {movies_ndcg_at_10:.3f}",
            "LambdaMART without the tower {movies_ndcg_at_10_baseline_lightgbm:.3f}, tower alone "
            "{movies_ndcg_at_10_tower_only:.3f}, fusion {movies_ndcg_at_10_baseline_rrf:.3f}",
        ),
    ),
    "shoppers": (
        (
            "Shoppers' words, held half, {shopper_held_queries} queries: right type among the first ten",
            "{shopper_held_type_in_10_product:.3f}; asked by a household {shopper_held_type_in_10_product_user:.3f}",
            "RRF of BM25 and the encoder {shopper_held_type_in_10_rrf:.3f}, "
            "the encoder {shopper_held_type_in_10_dense:.3f}, BM25 {shopper_held_type_in_10_bm25:.3f}",
        ),
        (
            "… right type first",
            "{shopper_held_type_first_product:.3f}; asked by a household {shopper_held_type_first_product_user:.3f}",
            "RRF of BM25 and the encoder {shopper_held_type_first_rrf:.3f}, "
            "the encoder {shopper_held_type_first_dense:.3f}, BM25 {shopper_held_type_first_bm25:.3f}",
        ),
        (
            "… nDCG@10 by type, size and price",
            "{shopper_held_ndcg_at_10_product:.3f}; asked by a household {shopper_held_ndcg_at_10_product_user:.3f}",
            "RRF of BM25 and the encoder {shopper_held_ndcg_at_10_rrf:.3f}, "
            "the encoder {shopper_held_ndcg_at_10_dense:.3f}, BM25 {shopper_held_ndcg_at_10_bm25:.3f}",
        ),
        (
            "… an item of a wrong department among the first three (less is better)",
            "{shopper_held_absurd_at_3_product:.3f}; asked by a household {shopper_held_absurd_at_3_product_user:.3f}",
            "RRF of BM25 and the encoder {shopper_held_absurd_at_3_rrf:.3f}, "
            "the encoder {shopper_held_absurd_at_3_dense:.3f}, BM25 {shopper_held_absurd_at_3_bm25:.3f}",
        ),
        ("First ten alike for 10, 50 and 200 items", "{shopper_same_first_ten:.3f}", "all of them: 1"),
        (
            "Amazon's queries, no log, {esci_queries} queries: nDCG@10",
            "{esci_ndcg_at_10_product:.3f}; with judgements of other queries {esci_ndcg_at_10_trained:.3f}",
            "RRF {esci_ndcg_at_10_rrf:.3f}, BM25 {esci_ndcg_at_10_bm25:.3f}, the encoder {esci_ndcg_at_10_dense:.3f}",
        ),
        (
            "… recall@100 of exact matches",
            "{esci_recall_at_100_product:.3f}",
            "RRF {esci_recall_at_100_rrf:.3f}, BM25 {esci_recall_at_100_bm25:.3f}, the encoder "
            "{esci_recall_at_100_dense:.3f}",
        ),
        (
            "… {esci_negations} queries that rule something out: share of the first three that have it",
            "{esci_ruled_out_at_3_product:.3f}",
            "RRF {esci_ruled_out_at_3_rrf:.3f}, BM25 {esci_ruled_out_at_3_bm25:.3f}",
        ),
        (
            "One typing error a query: share of nDCG@10 that is lost",
            "{shopper_held_typo_loss:.3f}; Amazon's queries {esci_typo_loss:.3f}",
            "goal 0.1; the tuned half {shopper_tuned_typo_loss:.3f}",
        ),
        (
            "Films with made histories, judged searches asked by users drawn at random: nDCG@10",
            "{films_ndcg_at_10_with_user:.3f}",
            "without a user {films_ndcg_at_10_without_user:.3f}; the ratio {films_user_over_without:.3f}, goal 0.98",
        ),
        (
            "Amazon's queries with made purchases, asked by buyers of other things: nDCG@10",
            "{esci_ndcg_at_10_with_user:.3f}",
            "without a user {esci_ndcg_at_10_without_user:.3f}; the ratio {esci_user_over_without:.3f}, goal 0.98",
        ),
    ),
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
    "live": (
        (
            "An event counts in a reply after, p99: SQLite; Redis",
            "{event_visible_p99_ms:.0f} ms; {event_visible_redis_p99_ms:.0f} ms",
            "goals 50 ms; 250 ms",
        ),
        (
            "A new price, a new item are found after, p99",
            "{price_visible_p99_ms:.0f} ms, {item_visible_p99_ms:.0f} ms",
            "goal 2,000 ms",
        ),
        (
            "`record`, 200 events/s beside 50 searches/s",
            "p50 {record_p50_ms:.1f} ms, p99 {record_p99_ms:.1f} ms",
            "goal: p99 5 ms",
        ),
        (
            "p99 of searches while 200 events/s are followed",
            "{search_p99_ms_while_tailing:.1f} ms, {search_p99_ratio_while_tailing_200_per_s:.2f} times",
            "{search_p99_ms_alone:.1f} ms alone; goal 1.25 times",
        ),
        (
            "Replies that failed or mixed two bundles in 20 switches",
            "{failed_or_mixed_in_20_switches}",
            "of {replies_in_20_switches:,}; goal 0",
        ),
        (
            "A refresh after a change of 1 %",
            "{refresh_seconds:.0f} s, {refresh_share_of_full_export:.2f} of a full export",
            "goal 0.15",
        ),
        ("Memory a million events", "{memory_mb_per_million_events:.0f} MB", "a process that ranks"),
        (
            "28 days of purchases replayed: nDCG@10 of {replay_search_requests:,} searches",
            "{replay_search_live_ndcg_at_10:.4f} ({replay_search_gain_low:+.4f} to {replay_search_gain_high:+.4f})",
            "{replay_search_frozen_ndcg_at_10:.4f} without the events",
        ),
        (
            "… of {replay_recommendation_requests:,} recommendations",
            "{replay_recommendation_live_ndcg_at_10:.4f} ({replay_recommendation_gain_low:+.4f} to "
            "{replay_recommendation_gain_high:+.4f})",
            "{replay_recommendation_frozen_ndcg_at_10:.4f} without the events",
        ),
        (
            "… events sent, events in the log",
            "{replay_events_sent:,}, {replay_events_stored:,}",
            "replies that did not know of all: {replay_stale_replies}",
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
