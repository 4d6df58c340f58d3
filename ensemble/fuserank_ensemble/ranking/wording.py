"""The sentences of explanations, as a shopper reads them: one table a language, with plurals."""

from __future__ import annotations

from collections.abc import Mapping

from fuserank_ensemble.contract.controls import Language

# A count named `times` or `days` comes with its noun, in the form that it asks for; `count` and `rank` are bare.
_NOUNS: Mapping[Language, Mapping[str, tuple[str, str]]] = {
    "en": {"times": ("{:,} time", "{:,} times"), "days": ("{:,} day", "{:,} days")},
    "zh": {"times": ("{:,} 次", "{:,} 次"), "days": ("{:,} 天", "{:,} 天")},
}

SENTENCES: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "no_query": "no query",
        "text": "{share:.0%} like “{query}”",
        "text_unlike": "unlike “{query}”",
        "lexical": "has “{words}”",
        "lexical_code": "its code is or begins with “{query}”",
        "lexical_guess": "has a word like one of “{query}”",
        "lexical_none": "shares no word with the query",
        "popularity": "{count:,} events of all users",
        "popularity_none": "nobody has had it yet",
        "new": "here for {days}",
        "new_unknown": "unknown since when",
        "history": "you had it {times}, last {days} ago",
        "history_today": "you had it {times}, last today",
        "history_bought": "you bought it {times}, last {days} ago",
        "history_bought_today": "you bought it {times}, last today",
        "history_none": "new to you",
        "collaborative": "chosen by users like you (number {rank:,})",
        "collaborative_none": "no sign from users like you",
        "content": "like what you had lately (number {rank:,})",
        "content_none": "unlike what you had lately",
        "graph": "related to what you had or asked for (number {rank:,})",
        "graph_none": "not related to what you had or asked for",
        "channel": "found by {channel} (number {rank:,})",
        "channel_none": "not found by {channel}",
        "reading": "reads as an answer to “{query}”",
        "reading_against": "reads less like an answer to “{query}”",
        "reading_none": "no query",
        "sequence": "follows from what you had lately",
        "sequence_against": "does not follow from what you had lately",
        "sequence_none": "no history to follow from",
        "taste": "{share:.1%} of your events are in its category",
        "taste_none": "no history in its category",
        "price": "costs {price:,.2f}",
        "price_usual": "costs {price:,.2f}, about what you usually pay",
        "price_above": "costs {price:,.2f}, above what you usually pay",
        "price_below": "costs {price:,.2f}, below what you usually pay",
        "price_unknown": "price unknown",
        "shop": "{facts}",
        "shop_none": "the shop says nothing more of it",
        "segment": "popular in your {label}: {group}",
        "segment_less": "less usual in your {label}: {group}",
        "segment_usual": "as usual in your {label}: {group}",
        "segment_category": "of a category that is popular in your {label}: {group}",
        "segment_category_less": "of a category that is less usual in your {label}: {group}",
        "segment_category_usual": "of a category that is as usual in your {label}: {group}",
        "segment_none": "no group of yours is known",
        "context": "popular on your {label}: {group}",
        "context_less": "less usual on your {label}: {group}",
        "context_usual": "as usual on your {label}: {group}",
        "context_category": "of a category that is popular on your {label}: {group}",
        "context_category_less": "of a category that is less usual on your {label}: {group}",
        "context_category_usual": "of a category that is as usual on your {label}: {group}",
        "context_none": "no device of yours is known",
        "yes": "{label}: yes",
        "no": "{label}: no",
        "fact": "{label} {fact}",
        "fusion": "place by channel: {channels}",
        "fusion_none": "no channel lists it",
        "fit": "meets what “{query}” asks for",
        "fit_missed": "misses a size, a price or what “{query}” rules out",
        "category_meant": "of a category that “{query}” may mean",
        "category_unlikely": "of a category that “{query}” hardly means",
        "category_unknown": "has no category",
        "depth": "beyond the candidates that are compared first",
        "depth_none": "among the candidates that are compared first",
        "rules_boost": "promoted by the shop",
        "rules_bury": "demoted by the shop",
        "rules_none": "no rule of the shop moves it",
        "pin": "pinned by the shop",
        "pin_unscored": "pinned by the shop; not among the candidates, so the ranker has not judged it",
        "explore": "shown here to learn how it is liked",
        "base": "the mean candidate of this request",
    },
    "zh": {
        "no_query": "没有搜索词",
        "text": "与“{query}”的相似度为 {share:.0%}",
        "text_unlike": "与“{query}”不相似",
        "lexical": "含有“{words}”",
        "lexical_code": "商品编码是“{query}”或以其开头",
        "lexical_guess": "含有与“{query}”相近的词",
        "lexical_none": "与搜索词没有共同的词",
        "popularity": "全部用户共有 {count:,} 次行为",
        "popularity_none": "还没有人选过",
        "new": "上架 {days}",
        "new_unknown": "上架时间未知",
        "history": "您选过 {times}，最近一次在 {days}前",
        "history_today": "您选过 {times}，最近一次在今天",
        "history_bought": "您买过 {times}，最近一次在 {days}前",
        "history_bought_today": "您买过 {times}，最近一次在今天",
        "history_none": "您还没有选过",
        "collaborative": "与您相似的用户选过（第 {rank:,} 位）",
        "collaborative_none": "与您相似的用户没有选过",
        "content": "与您最近选的商品相似（第 {rank:,} 位）",
        "content_none": "与您最近选的商品不相似",
        "graph": "与您选过或搜索的内容相关（第 {rank:,} 位）",
        "graph_none": "与您选过或搜索的内容无关",
        "channel": "由 {channel} 召回（第 {rank:,} 位）",
        "channel_none": "{channel} 未召回",
        "reading": "内容符合“{query}”",
        "reading_against": "内容与“{query}”不太相符",
        "reading_none": "没有搜索词",
        "sequence": "与您最近的购物顺序相符",
        "sequence_against": "与您最近的购物顺序不符",
        "sequence_none": "没有可参考的历史",
        "taste": "您的行为有 {share:.1%} 属于该类目",
        "taste_none": "您在该类目没有记录",
        "price": "价格 {price:,.2f}",
        "price_usual": "价格 {price:,.2f}，与您平常的花费相当",
        "price_above": "价格 {price:,.2f}，高于您平常的花费",
        "price_below": "价格 {price:,.2f}，低于您平常的花费",
        "price_unknown": "价格未知",
        "shop": "{facts}",
        "shop_none": "店铺没有更多信息",
        "segment": "在您的{label}（{group}）中受欢迎",
        "segment_less": "在您的{label}（{group}）中较少见",
        "segment_usual": "在您的{label}（{group}）中与平常无异",
        "segment_category": "所属类目在您的{label}（{group}）中受欢迎",
        "segment_category_less": "所属类目在您的{label}（{group}）中较少见",
        "segment_category_usual": "所属类目在您的{label}（{group}）中与平常无异",
        "segment_none": "不了解您所属的群体",
        "context": "在您的{label}（{group}）上受欢迎",
        "context_less": "在您的{label}（{group}）上较少见",
        "context_usual": "在您的{label}（{group}）上与平常无异",
        "context_category": "所属类目在您的{label}（{group}）上受欢迎",
        "context_category_less": "所属类目在您的{label}（{group}）上较少见",
        "context_category_usual": "所属类目在您的{label}（{group}）上与平常无异",
        "context_none": "不了解您的设备",
        "yes": "{label}：是",
        "no": "{label}：否",
        "fact": "{label} {fact}",
        "fusion": "各召回通道中的名次：{channels}",
        "fusion_none": "没有召回通道列出它",
        "fit": "满足“{query}”的要求",
        "fit_missed": "不满足“{query}”对规格、价格或排除项的要求",
        "category_meant": "属于“{query}”可能所指的类目",
        "category_unlikely": "不属于“{query}”通常所指的类目",
        "category_unknown": "没有类目",
        "depth": "排在首批比较的候选商品之后",
        "depth_none": "属于首批比较的候选商品",
        "rules_boost": "店铺推荐",
        "rules_bury": "店铺调低了排序",
        "rules_none": "店铺规则没有影响它",
        "pin": "店铺置顶",
        "pin_unscored": "店铺置顶；不在候选之列，排序模型没有评分",
        "explore": "在此展示，以了解大家是否喜欢",
        "base": "本次请求候选商品的平均水平",
    },
}

# What common columns are called; another column's label is its own name.
_LABELS: Mapping[Language, Mapping[str, str]] = {
    "en": {"in_stock": "in stock"},
    "zh": {
        "rating": "评分",
        "reviews": "评价数",
        "margin": "毛利",
        "stock": "库存",
        "in_stock": "有货",
        "season": "季节",
        "discount": "折扣",
        "color": "颜色",
        "size": "尺寸",
        "segment": "客群",
        "tier": "会员等级",
        "tags": "标签",
        "device": "设备",
    },
}
SEPARATOR: Mapping[Language, str] = {"en": ", ", "zh": "，"}


def label(language: Language, column: str) -> str:
    """Returns what a shop's column is called in a sentence."""
    return _LABELS[language].get(column.lower(), column.replace("_", " "))


def format_sentence(language: Language, sentence: str, **values: float | str) -> str:
    """Returns one sentence with its values filled in.

    Args:
        language: Of the reader.
        sentence: A key of `SENTENCES`.
        **values: The values that it names; `times` and `days` are whole counts.
    """
    for name, forms in _NOUNS[language].items():
        if name in values:
            values[name] = forms[values[name] != 1].format(values[name])
    text = SENTENCES[language][sentence]
    return text.format(**values) if values else text
