"""A log's last weeks as live events: each request sees what came before it, and no event is lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torchmetrics")

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.state.settings import StateSettings
from fuserank_evaluation.replay.requests import draw_requests, read_events
from fuserank_evaluation.replay.run import replay_window, report_figures
from support.tiny_shop import LOG_END

START = LOG_END.timestamp() + 86_400
DAY = 86_400.0


def events(rows):
    """Purchases of (user, item, day)."""
    users, items, days = zip(*rows, strict=True)
    moments = [START + DAY * day for day in days]
    return pd.DataFrame({"user_id": users, "item_id": items, "event": "purchase", "seconds": moments})


def test_what_a_basket_holds_of_a_type_answers_a_search_for_it():
    window = events([("a", "milk", 0), ("a", "cheese", 0), ("a", "soap", 0), ("b", "milk", 1), ("b", "unknown", 1)])
    rows, types = {"milk": 0, "cheese": 1, "soap": 2}, {"milk": "dairy", "cheese": "dairy"}
    drawn = draw_requests(window, rows, types, searches=9, recommendations=9, seed=1)
    asked = {(request.user, request.query, request.moment): request.relevant.tolist() for request in drawn}
    assert asked == {
        ("a", "dairy", START): [0, 1],
        ("a", "", START): [0, 1, 2],
        ("b", "dairy", START + DAY): [0],
        ("b", "", START + DAY): [0],
    }
    assert [request.moment for request in drawn] == sorted(request.moment for request in drawn)
    assert len(draw_requests(window, rows, types, searches=1, recommendations=0, seed=1)) == 1


def test_a_log_is_read_in_the_order_of_time(tmp_path):
    moments = pd.to_datetime([START + 60 * DAY, START, START + 59 * DAY], unit="s", utc=True).astype(
        "datetime64[ms, UTC]"
    )
    pd.DataFrame({"user_id": ["c", "a", "b"], "item_id": "x", "event": "view", "timestamp": moments}).to_parquet(
        tmp_path / "log.parquet"
    )
    read, cut = read_events(str(tmp_path / "log.parquet"))
    assert read["user_id"].tolist() == ["a", "b", "c"]
    assert read.loc[read["seconds"] >= cut, "user_id"].tolist() == ["b", "c"]


def test_a_purchase_counts_for_the_requests_after_it_alone(tiny_bundle, tmp_path):
    """Somebody unknown buys the same three things every day: the living graph learns them, the frozen one cannot."""
    bundle = Bundle.open(tiny_bundle)
    ids = [item.decode() for item in bundle.items.ids.tolist()]
    bought = [ids[7], ids[23], ids[41]]
    window = events([("stranger", item, day) for day in range(6) for item in bought])
    rows = {item: row for row, item in enumerate(ids)}
    requests = draw_requests(window, rows, {}, searches=0, recommendations=6, seed=1)
    replay = replay_window(bundle, window, requests, StateSettings(f"sqlite:{tmp_path / 'log'}"))
    assert (replay.sent, replay.stored, replay.stale) == (18, 18, 0)
    assert replay.live[0].tolist() == replay.frozen[0].tolist(), "nothing had happened before the first basket"
    assert all(set(listed[:3].tolist()) == {rows[item] for item in bought} for listed in replay.live[1:])
    figures, meanings = report_figures(replay)
    assert figures["replay_recommendation_live_ndcg_at_10"] > figures["replay_recommendation_frozen_ndcg_at_10"]
    assert figures["replay_recommendation_gain"] == pytest.approx(
        figures["replay_recommendation_live_ndcg_at_10"] - figures["replay_recommendation_frozen_ndcg_at_10"], abs=2e-4
    )
    assert "replay_search_gain" not in figures
    assert set(figures) == set(meanings)
    assert np.isfinite(figures["replay_recommendation_gain_p"])
