"""Tables of `docs/results.md`: how good is what is found, and its order."""

from __future__ import annotations

from collections.abc import Mapping

QUALITY: Mapping[str, tuple[tuple[str, str, str], ...]] = {
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
            "… calibration of `probability` over their 200 candidates: expected calibration error, 15 bins",
            "{purchase_ece:.4f}",
            "0: as often taken as said",
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
}
