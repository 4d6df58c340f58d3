"""Takes a query apart: what to search for, and the conditions that it states in words.

"beer under $10" searches for beer at a price of at most 10; "binder without rings" for binders, and rings count
against one; of "half gallon milk" the size is an amount, not two words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from fuserank_ensemble.catalog.synonyms import Synonyms
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.contract.options import UNDERSTOOD_PARTS, UnderstoodPart
from fuserank_ensemble.understanding.fillers import fillers
from fuserank_ensemble.understanding.phrases import find_phrases
from fuserank_ensemble.understanding.prices import find_price_limits
from fuserank_ensemble.understanding.quantities import Amount, Quantities
from fuserank_ensemble.understanding.spelling import Spelling

_CHEAP = re.compile(r"\b(?:cheap(?:est)?|inexpensive|affordable|budget)\b|最?便宜的?|平价", re.IGNORECASE)
_JOIN = "\u00a0"  # between the words that replace a synonym, which are ruled out together; no normalised text has it
_NOUN = rf"[^\W\d_]{{2,}}(?:{_JOIN}[^\W\d_]{{2,}})*"
# What follows is left out of the search: an encoder would look for it.
_WITHOUT = re.compile(
    r"\b(?:with\s+|but\s+)?(?:without|w/o|excluding|except|minus|not|no|(?:do\s+not|don['’]?t)\s+(?:want|like|need))\s+"
    r"(?:any\s+|an?\s+|the\s+|added\s+|with\s+|too\s+|so\s+|very\s+|overly\s+)?"
    r"(?!more\b|name\b|one\b|longer\b)(?P<what>(?:(?:artificial|synthetic|extra)\s+)?"
    rf"{_NOUN}(?:\s+(?:or|and|nor)\s+{_NOUN})?)(?:\s+added\b)?|"
    # Of "除草剂户外用" nothing is ruled out.
    r"除(?:了(?P<except>[\u4e00-\u9fff]{1,6}?)(?:以外|之外|外)|(?P<beside>[\u4e00-\u9fff]{1,6}?)(?:以外|之外))的?|"
    r"(?:不含|不要|不加|不放|(?<!有)没有|不带)(?P<chinese>[\u4e00-\u9fff]{1,4}?)(?:的|$|(?=\s))",
    re.IGNORECASE,
)
# An attribute that catalogues spell out too; its words stay in the search.
_FREE = re.compile(r"\b(?P<free>[^\W\d_]{3,})[\s-]free\b|\bnon[\s-](?P<non>[^\W\d_]{3,})", re.IGNORECASE)
_JOINED = re.compile(r"\s+(?:or|and|nor)\s+", re.IGNORECASE)
# Between a size and what there is of it: "5 lb bag of sugar".
_OF = re.compile(r"\s+(?:(?:bag|can|box) )?of\s+", re.IGNORECASE)
# Before a size: "at least 12 rolls", "24 x 16.9 oz".
_ABOUT = re.compile(
    r"(?:\b(?:more than|less than|(?:at )?(?:least|most)|over|under|up to|about|around)|(?<=\d)\s*[x×])\s*$",
    re.IGNORECASE,
)
_NEAR = 32  # characters before a size in which they stand: a query may be full of sizes
# Before what is wanted, where no space parts them: "想买一双跑鞋"; "推荐信" and "想买条纹衬衫" name things.
_MEASURE = "[双个款件条台部只些点]"
_WISH = re.compile(
    rf"^(?:请问|有没有|帮我找|给我(?!的)|我?想(?:买|要|找)|我?要买|推荐(?=[一几]{_MEASURE}))+"
    rf"(?:[一几]{_MEASURE}|个(?![性人])|些)?(?=[\u4e00-\u9fff]{{2}})"
)
_LOOSE = re.compile(r"^[\s,;:–的-]+|(?<![\s,;:–-])[\s,;:–-]+$")


class UnderstoodQuery(msgspec.Struct, array_like=True, frozen=True):
    """A query, taken apart.

    Attributes:
        text: What is left to search for; the whole query where nothing else would be left.
        words: `text` without its amounts, for the search by words; the same where there are none.
        amounts: The keys of each amount, see `Amount.near_keys`.
        price_from: Least price; None for any.
        price_to: Highest price; None for any.
        cheap: Whether low prices are wanted.
        ruled_out: Words that an item should not have.
        sizes: The amounts, spelt as `Amount.text`.
        corrected: Each word that was taken for a typing error, and what it was taken for.
    """

    text: str
    words: str
    amounts: tuple[tuple[str, ...], ...] = ()
    price_from: float | None = None
    price_to: float | None = None
    cheap: bool = False
    ruled_out: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    corrected: tuple[tuple[str, str], ...] = ()

    @classmethod
    def plain(cls, query: str) -> UnderstoodQuery:
        """A query that is taken as it stands."""
        text = normalise(query)
        return cls(text, text)

    def describe(self, query: str) -> dict[str, Any]:
        """Returns what was understood beside the query itself, for replies; empty where that is all.

        Args:
            query: The query as it was sent.
        """
        stated = {
            "text": self.text if self.text != normalise(query) else None,
            "price_from": self.price_from,
            "price_to": self.price_to,
            "cheap": self.cheap or None,
            "ruled_out": list(self.ruled_out) or None,
            "sizes": list(self.sizes) or None,
            "corrected": dict(self.corrected) or None,
        }
        return {name: value for name, value in stated.items() if value is not None}

    @property
    def has_price_limit(self) -> bool:
        """Whether it names a price."""
        return self.price_from is not None or self.price_to is not None

    @property
    def has_conditions(self) -> bool:
        """Whether it states anything beside what to search for."""
        return bool(self.amounts or self.ruled_out or self.cheap or self.has_price_limit)


@dataclass(frozen=True)
class QueryParser:
    """Takes queries apart; training and serving share it.

    Attributes:
        synonyms: Replaced in queries as they are in items.
        quantities: The units that are known.
        spelling: Corrects misspelt words; None leaves them.
        is_value: Whether a text is a whole title, brand, level of a category or code. Such a query means what is called
            so, even where it reads like a condition: "No Country for Old Men".
    """

    synonyms: Synonyms
    quantities: Quantities
    spelling: Spelling | None = None
    is_value: Callable[[str], bool] = lambda text: False

    def parse(self, query: str, parts: Collection[UnderstoodPart] = UNDERSTOOD_PARTS) -> UnderstoodQuery:
        """Returns a query's parts.

        Args:
            query: The query as it was sent.
            parts: What is taken for what it is; all else is words like any other. Without any, the query stands as it
                is.
        """
        if not parts:
            return UnderstoodQuery.plain(query)
        text = normalise(query)
        corrected: tuple[tuple[str, str], ...] = ()
        replace = partial(self.synonyms.replace, joined_by=_JOIN) if "synonyms" in parts else str
        if self.is_value(whole := _separate(replace(text))):
            return UnderstoodQuery(whole, whole)
        if "spelling" in parts and self.spelling is not None:
            text, corrected = self.spelling.correct(text)
        joined = replace(text)
        text = _separate(joined)
        if self.is_value(text):
            return UnderstoodQuery(text, text, corrected=corrected)
        low, high, rest = find_price_limits(joined) if "prices" in parts else (None, None, joined)
        cheap = "prices" in parts and _CHEAP.search(rest) is not None
        if cheap:
            rest = _CHEAP.sub(" ", rest)
        out, rest = _ruled_out(rest) if "negation" in parts else ((), rest)
        rest = _tidy(_separate(rest))
        if not any(word.lower() not in fillers() for word in re.findall(r"\w+", rest)):
            # Nothing to search for would be left: the words are taken as they are.
            return UnderstoodQuery(text, text, corrected=corrected)
        strip = _strip_fillers if "fillers" in parts else str
        rest = strip(rest)
        amounts = self.quantities.find(rest) if "sizes" in parts else []
        phrases = find_phrases(rest) if amounts else []
        # What is quoted is wanted as it stands.
        amounts = [a for a in amounts if not any(p.start <= a.start < p.end for p in phrases)]
        words = strip(_tidy(_without(rest, amounts)))
        if not any(map(str.isalpha, words)):
            # A size alone is what is searched for.
            return UnderstoodQuery(rest, rest, (), low, high, cheap, out, corrected=corrected)
        sizes = tuple(amount.text for amount in amounts)
        near = tuple(tuple(amount.near_keys) for amount in amounts)
        return UnderstoodQuery(", ".join((words, *sizes)), words, near, low, high, cheap, out, sizes, corrected)


def _ruled_out(text: str) -> tuple[tuple[str, ...], str]:
    """The words that a query rules out, and the query without those that an encoder would look for.

    Args:
        text: The query; the words of one synonym are joined.
    """
    rest = _WITHOUT.sub(" ", text)
    wanted = set(_separate(rest).lower().split())
    out = [
        word
        for match in _WITHOUT.finditer(text)
        for word in _words(match["what"] or match["except"] or match["beside"] or match["chinese"])
    ]
    # Who wants dish soap but not one brand, which is a synonym of dish soap, rules out nothing that can be told.
    out = [word for word in out if _JOIN not in word or wanted.isdisjoint(word.split(_JOIN))]
    out += [(match["free"] or match["non"]).lower() for match in _FREE.finditer(rest)]
    return tuple(dict.fromkeys(map(_separate, out))), rest


def _separate(text: str) -> str:
    """A text in which the words of synonyms are words like others."""
    return text.replace(_JOIN, " ")


def _words(what: str) -> list[str]:
    return [word.lower() for word in _JOINED.split(what)]


def _without(text: str, amounts: list[Amount]) -> str:
    kept, at = [], 0
    for amount in amounts:
        about = _ABOUT.search(text, max(at, amount.start - _NEAR), amount.start)
        kept.append(text[at : about.start() if about else amount.start])
        end = _OF.match(text, amount.end)
        at = end.end() if end else amount.end
    return " ".join((*kept, text[at:]))


def _strip_fillers(text: str) -> str:
    """A query without the words around it that say nothing of what is searched for; whole where nothing else is."""
    text = _WISH.sub("", text)
    words = text.split()
    telling = [i for i, word in enumerate(words) if word.lower().strip(",.!?") not in fillers()]
    return " ".join(words[telling[0] : telling[-1] + 1]) if telling else text


def _tidy(text: str) -> str:
    return " ".join(_LOOSE.sub("", text).split())
