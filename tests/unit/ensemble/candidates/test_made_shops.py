"""Whatever columns and log a shop has, channels that know nothing do not spoil what the others know."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.made_shops import ShopPlan, make_shop

# Of precision, mean over a shop's requests, that a fused list may lose against the best single channel's. Of some
# hundred shops the worst lost 0.00, 0.06 and 0.24.
MARGINS = {"query": 0.05, "user": 0.1, "similar": 0.3}
# Brands say nothing of the kinds here, and `similar` takes one for a relation: beside a long log the worst lost 0.57,
# the mean 0.05.
MARGIN_WITH_BRANDS = 0.6
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]

PLANS = st.builds(
    ShopPlan,
    kinds=st.integers(2, 5),
    of_kind=st.integers(3, 8),
    brand_share=st.sampled_from([0.0, 0.5, 1.0]),
    category_share=st.sampled_from([0.0, 0.5, 1.0]),
    dated=st.booleans(),
    events=st.sampled_from([0, 1, 5, 40, 600]),
    grouped=st.booleans(),
    seed=st.integers(0, 1_000),
)


def made(plan):
    """Makes a shop; its indexes are open when its folder goes."""
    with tempfile.TemporaryDirectory() as folder:
        return make_shop(plan, Path(folder))


def requests(shop, kind):
    """The requests of a kind with the kind of item that each means."""
    if kind == "query":
        return [shop.search(item_kind) for item_kind in range(len(shop.centres))], list(range(len(shop.centres)))
    return [shop.anchored(row) for row in range(len(shop.kind))], shop.kind.tolist()


def precision(shop, lists, meant, depth):
    right = [(shop.kind[rows[:depth]] == kind).sum() for rows, kind in zip(lists, meant, strict=True)]
    return float(np.mean(right)) / depth


@given(plan=PLANS)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_what_knows_nothing_spoils_no_answer_and_similar_puts_a_lower_cosine_first_for_a_relation_alone(plan):
    shop = made(plan)
    for kind in ("similar", "user", "query"):
        misled = kind == "similar" and plan.brand_share > 0 and plan.events > 40
        margin = MARGIN_WITH_BRANDS if misled else MARGINS[kind]
        check_no_worse_than_the_best_channel(shop, kind, plan.of_kind - 1, margin)
    check_lower_cosines_come_first_for_a_relation_alone(shop)


def check_no_worse_than_the_best_channel(shop, kind, depth, margin):
    asked, meant = requests(shop, kind)
    fused = [found.rows for found in shop.retriever.retrieve(asked, [32] * len(asked), kind)]
    lists, _ = shop.retriever.search_channels(asked, [kind] * len(asked))
    names = {name for by_channel in lists for name in by_channel}
    alone = {name: precision(shop, [found[name].rows for found in lists], meant, depth) for name in names}
    assert precision(shop, fused, meant, depth) >= max(alone.values()) - margin, (kind, alone)


def check_lower_cosines_come_first_for_a_relation_alone(shop):
    asked, _ = requests(shop, "similar")
    for row, found in enumerate(shop.retriever.retrieve(asked, [64] * len(asked), "similar")):
        rows = found.rows.tolist()
        assert sorted([*rows, row]) == list(range(len(shop.kind))), "every other item is listed"
        cosines = shop.vectors[rows] @ shop.vectors[row]
        nearest_behind = np.maximum.accumulate(cosines[::-1])[::-1]
        early = np.flatnonzero(cosines < nearest_behind - 1e-3)
        assert all(shop.are_related(row, rows[position]) for position in early)


@pytest.mark.parametrize("seed", range(3))
def test_with_titles_alone_similar_is_by_cosine_and_the_catalogues_order_says_nothing(seed):
    shop = made(ShopPlan(grouped=True, seed=seed))
    asked, _ = requests(shop, "similar")
    for kind in ("similar", "user"):
        for row, found in enumerate(shop.retriever.retrieve(asked, [64] * len(asked), kind)):
            cosines = shop.vectors[found.rows] @ shop.vectors[row]
            assert (np.diff(cosines) <= 1e-3).all()
            assert found.channel_counts["graph"] == found.channel_counts.get("trending", 0) == 0
