"""Price limits in queries, in English and in Chinese: "under $10", "10-15 dollars", "200块左右"."""

from __future__ import annotations

import re

_CURRENCY = r"dollars?|bucks?|usd|euros?|yuan|rmb|元|块|\$|€|£"
_MONEY = r"(?:\$|€|£|¥|￥|usd|rmb)?\s*(?P<{0}>\d+(?:\.\d+)?)\s*(?P<{0}_unit>" + _CURRENCY + ")?"
_SYMBOL = re.compile(r"[$€£¥￥]|usd|rmb", re.IGNORECASE)
_FROM = re.compile(
    rf"\b(?:over|above|more than|at least|from|starting at)\s+{_MONEY.format('low')}(?![\w./])", re.IGNORECASE
)
_TO = re.compile(
    r"(?:\b(?:under|below|less than|lower than|cheaper than|up to|at most|no more than|not over|max(?:imum)?|within)\s+"
    rf"|<\s*=?\s*){_MONEY.format('high')}(?![\w./])",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    rf"\b(?:between|from)\s+{_MONEY.format('low')}\s*(?:and|to|-|–)\s*{_MONEY.format('high')}(?![\w./])", re.IGNORECASE
)
_RANGE = re.compile(
    rf"(?<![\w./-]){_MONEY.format('low')}\s*(?:to|-|–)\s*{_MONEY.format('high')}(?![\w./])", re.IGNORECASE
)
_YUAN = r"(?:元|块钱?|人民币)"
_TO_CHINESE = re.compile(
    rf"(?:(?:(?<!不)低于|不超过|不高于|不大于|少于)\s*(?P<before>\d+(?:\.\d+)?)\s*{_YUAN}?|"
    rf"(?<![\d.])(?P<after>\d+(?:\.\d+)?)\s*{_YUAN}?\s*(?:以下|以内|之内))的?"
)
_FROM_CHINESE = re.compile(
    rf"(?:(?:(?<!不)(?:高于|超过|大于)|不低于|不少于)\s*(?P<before>\d+(?:\.\d+)?)\s*{_YUAN}|"
    rf"(?<![\d.])(?P<after>\d+(?:\.\d+)?)\s*{_YUAN}\s*以上)的?"
)
_RANGE_CHINESE = re.compile(
    rf"(?P<price>价格?在?\s*)?(?<![\d.])(?P<low>\d+(?:\.\d+)?)\s*{_YUAN}?\s*[到至~～—-]\s*(?P<high>\d+(?:\.\d+)?)\s*"
    rf"(?P<yuan>{_YUAN})?\s*(?:之间)?的?"
)
_ABOUT_PRICE = re.compile(
    rf"(?<![\d.])(?P<yuan>\d+(?:\.\d+)?)\s*{_YUAN}\s*(?:左右|上下)的?|"
    rf"\b(?:around|about)\s+{_MONEY.format('about')}(?![\w./])",
    re.IGNORECASE,
)
_ABOUT_SHARE = 0.2  # of a price that it may differ from by


def find_price_limits(text: str) -> tuple[float | None, float | None, str]:
    """Returns the lowest and the highest price that a query names, None for any, and the query without them.

    A number is a price where it has a currency, or where the query ends with it: "under 10 lb" is none.
    """
    between = _BETWEEN.search(text)
    if not between and (between := _RANGE.search(text)) and not _has_currency(between, "low", "high"):
        between = None
    if between and (_is_price(between, "low", text) or _is_price(between, "high", text)):
        low, high = sorted((float(between["low"]), float(between["high"])))
        return low, high, text[: between.start()] + " " + text[between.end() :]
    if (match := _RANGE_CHINESE.search(text)) and (match["price"] or match["yuan"]):
        low, high = sorted((float(match["low"]), float(match["high"])))
        return low, high, text[: match.start()] + " " + text[match.end() :]
    if (match := _ABOUT_PRICE.search(text)) and (match["yuan"] or _has_currency(match, "about")):
        price = float(match["yuan"] or match["about"])
        low, high = round(price * (1 - _ABOUT_SHARE), 2), round(price * (1 + _ABOUT_SHARE), 2)
        return low, high, text[: match.start()] + " " + text[match.end() :]
    low_limit, high_limit = None, None
    if (match := _FROM.search(text)) and _is_price(match, "low", text):
        low_limit, text = float(match["low"]), text[: match.start()] + " " + text[match.end() :]
    elif match := _FROM_CHINESE.search(text):
        low_limit = float(match["before"] or match["after"])
        text = text[: match.start()] + " " + text[match.end() :]
    if (match := _TO.search(text)) and _is_price(match, "high", text):
        high_limit, text = float(match["high"]), text[: match.start()] + " " + text[match.end() :]
    elif match := _TO_CHINESE.search(text):
        high_limit = float(match["before"] or match["after"])
        text = text[: match.start()] + " " + text[match.end() :]
    if low_limit is not None and high_limit is not None and low_limit > high_limit:
        # Limits that contradict each other say nothing.
        return None, None, text
    return low_limit, high_limit, text


def _has_currency(match: re.Match[str], *names: str) -> bool:
    return any(match[f"{name}_unit"] for name in names) or bool(_SYMBOL.search(match.group()))


def _is_price(match: re.Match[str], name: str, text: str) -> bool:
    before = text[match.start() : match.start(name)]
    return bool(match[f"{name}_unit"] or _SYMBOL.search(before)) or not text[match.end() :].strip()
