"""Tables of `docs/results.md`: what live events and a living catalogue bring and cost."""

from __future__ import annotations

from collections.abc import Mapping

LIVE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
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
}
