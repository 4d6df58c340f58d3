"""What stands before a nearer item in an answer of `similar` says in words what relates it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from fuserank_ensemble.contract.controls import Language
from fuserank_ensemble.graph.similar_reasons import related_channels
from fuserank_ensemble.interactions.history import HistorySnapshot
from fuserank_ensemble.ranking.relations import (
    Entity,
    RelationFinder,
    Relations,
    SimilarItem,
    comes_early,
    explain_similar,
)
from fuserank_ensemble.retrieval.graph.index import GraphIndex
from support.made_shops import BRANDS, KINDS, NOW, ShopPlan, make_shop

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # `implicit` warns at every start; the tests' matrices are tiny.
    pytest.mark.filterwarnings("ignore:OpenBLAS:RuntimeWarning"),
]

SHOPS = {
    "brands": ShopPlan(brand_share=1.0, seed=3),
    "some brands and categories": ShopPlan(brand_share=0.5, category_share=0.5, grouped=False, seed=4),
    # More items than factors, so that the channel of users generalises.
    "a log": ShopPlan(kinds=5, of_kind=20, events=2_400, seed=5),
    "all": ShopPlan(brand_share=0.5, category_share=0.5, events=600, seed=6),
}


def finder_of(shop, folder):
    """What `similar` opens of a bundle, over a made shop."""
    users = int(shop.users.max(initial=-1)) + 1
    ids = np.asarray([b"u%03d" % user for user in range(users)])
    histories = HistorySnapshot.from_log(ids, shop.users, shop.had, np.full(len(shop.had), NOW, np.int64))
    graph = folder / "graph"
    return RelationFinder(shop.retriever.items, GraphIndex.open(graph) if graph.exists() else None, histories)


def explained(shop, finder, anchor, language):
    """Each item of the answer for an item: its row, whether it stands before a nearer one, and its signals."""
    (answer,) = shop.retriever.retrieve([shop.anchored(anchor)], [64], "similar")
    cosines = shop.vectors[answer.rows] @ shop.vectors[anchor]
    early = comes_early(cosines)
    relations = finder.of_item(anchor, answer.rows)
    for row, cosine, is_early, of_row, features in zip(
        answer.rows.tolist(), cosines.tolist(), early.tolist(), relations, answer.features, strict=True
    ):
        item = SimilarItem(cosine, is_early, related_channels(features), of_row)
        yield row, is_early, {signal["name"]: signal for signal in explain_similar(item, "a lamp", language)}


@pytest.mark.parametrize("name", SHOPS)
@pytest.mark.parametrize("language", get_args(Language))
def test_what_stands_before_a_nearer_item_names_a_relation_that_holds(tmp_path, name, language):
    shop = make_shop(SHOPS[name], tmp_path)
    finder = finder_of(shop, tmp_path)
    same = {"en": "same {}: {}", "zh": "{}相同：{}"}[language]
    brand, category = {"en": ("brand", "category"), "zh": ("品牌", "类目")}[language]
    both = {"en": "had by the same {} user", "zh": "有 {} 位用户两者都选过"}[language]
    like = {"en": "had by users of a similar history", "zh": "历史相似的用户选过"}[language]
    moved = 0
    for anchor in range(len(shop.kind)):
        for row, is_early, signals in explained(shop, finder, anchor, language):
            assert ("placement" in signals) == is_early
            if not is_early:
                continue
            moved += 1
            reason = signals["placement"]["reason"]
            true = []
            if shop.brand[anchor] == shop.brand[row] >= 0:
                true.append(same.format(brand, BRANDS[shop.brand[row]]))
            if shop.category[anchor] == shop.category[row] >= 0:
                true.append(same.format(category, f"Ware > {KINDS[shop.category[row]]}"))
            common = np.intersect1d(shop.users[shop.had == anchor], shop.users[shop.had == row])
            true += [both.format(len(common))] if len(common) else [like] * bool(len(shop.users))
            named = [sentence for sentence in true if sentence in reason]
            assert named or KINDS[shop.kind[row]] in reason, (reason, true)  # titles name their kind, a category
    assert moved, "nothing stood before a nearer item: the shop shows nothing"


def test_with_titles_alone_nothing_comes_early_and_nothing_is_related(tmp_path):
    shop = make_shop(ShopPlan(seed=1), tmp_path)
    finder = finder_of(shop, tmp_path)
    for _, is_early, signals in explained(shop, finder, 3, "en"):
        assert not is_early
        assert list(signals) == ["text"]


def test_users_of_both_are_counted_once_each(tmp_path):
    user, item = np.asarray([0, 0, 0, 1, 1, 2], np.int32), np.asarray([0, 1, 1, 0, 2, 1], np.int32)
    histories = HistorySnapshot.from_log(np.asarray([b"a", b"b", b"c"]), user, item, np.full(6, NOW, np.int64))
    assert histories.count_common_users(0, np.asarray([1, 2, 3], np.int32)).tolist() == [1, 1, 0]
    assert histories.count_common_users(9, np.asarray([1], np.int32)).tolist() == [0]
    assert histories.count_common_users(0, np.empty(0, np.int32)).tolist() == []


SENTENCES = {
    "en": {
        "graph": "same brand: Acme, both name the category Toys > Trains",
        "collaborative": "bought by the same 12 users",
        "lexical": "has “oak, table”",
        "placement": "before nearer items: same brand: Acme, both name the category Toys > Trains, "
        "bought by the same 12 users, has “oak, table”",
        "text": "62% like “oak table”",
    },
    "zh": {
        "graph": "品牌相同：Acme，都提到类目“Toys > Trains”",
        "collaborative": "有 12 位用户两者都买过",
        "lexical": "含有“oak, table”",
        "placement": "排在更相似的商品之前：品牌相同：Acme，都提到类目“Toys > Trains”，"
        "有 12 位用户两者都买过，含有“oak, table”",
        "text": "与“oak table”的相似度为 62%",
    },
}


@pytest.mark.parametrize("language", get_args(Language))
def test_every_relation_has_its_sentence_and_the_score_is_all_of_the_texts(language):
    entities = [Entity("brand", "Acme", True), Entity("category", "Toys > Trains", False)]
    related = ("graph", "collaborative", "lexical")
    item = SimilarItem(0.62, True, related, Relations(entities, 12), ("oak", "table"))
    signals = explain_similar(item, "oak table", language, bought=True)
    assert {signal["name"]: signal["reason"] for signal in signals} == SENTENCES[language]
    assert [signal["contribution"] for signal in signals] == [0.62, 0, 0, 0, 0]


def test_what_no_channel_listed_is_no_reason():
    item = SimilarItem(0.62, True, ("collaborative",), Relations([Entity("brand", "Acme", True)], 0))
    signals = explain_similar(item, "oak table", "en")
    assert [signal["reason"] for signal in signals[1:]] == [
        "had by users of a similar history",
        "before nearer items: had by users of a similar history",
    ]
