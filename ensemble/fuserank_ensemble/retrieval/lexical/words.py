"""Splits text into the words that are searched; documents and queries go through the same functions."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import tantivy

from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.retrieval.lexical.plurals import IRREGULAR_PLURALS
from fuserank_ensemble.understanding.fillers import fillers

# Longer texts are cut: it bounds the time that one item can cost.
MAX_CHARACTERS = 10_000
# Digits part from letters, so that `500ml`, `500 ml` and `A-1234`, `A1234` are the same words.
_WORD = r"\p{N}+|[\p{L}\p{M}]+|\p{So}"
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['’](?=[^\W\d_])")
_ACCENT = re.compile("[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]")
_JIEBA_LOCK = threading.Lock()
_STEMS = 200_000  # words whose stems are kept
# An item's texts are cleaned a dozen times while it is indexed, and brands and levels of categories repeat.
_SHORT, _CLEANED = 200, 4_096  # characters of a text that is kept cleaned; how many are


class Word(NamedTuple):
    """One word: as written (lower case, without accents), and its stem, which the index holds."""

    written: str
    stem: str


def clean(text: str) -> str:
    """Normalises, drops what cannot be seen or encoded and apostrophes within words, and cuts at `MAX_CHARACTERS`."""
    return _clean_short(text) if len(text) <= _SHORT else _clean(text)


def _clean(text: str) -> str:
    encodable = text[: 2 * MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return _APOSTROPHE.sub("", _INVISIBLE.sub("", normalise(encodable)))[:MAX_CHARACTERS]


_clean_short = lru_cache(_CLEANED)(_clean)


def has_han(text: str) -> bool:
    """Whether a text holds a Chinese character."""
    return _HAN.search(text) is not None


def han_runs(text: str) -> list[str]:
    """The runs of Chinese characters in a text, simplified."""
    return _HAN.findall(simplify(text))


def simplify(text: str) -> str:
    """A text with traditional Chinese characters replaced by simplified ones; both scripts write the same words.

    Which one a character becomes may depend on its neighbours: 乾 is 干 in 乾燥, and stays in 乾隆.
    """
    return str(_to_simplified().convert(text)) if has_han(text) else text


def words(text: str) -> list[Word]:
    """Splits a text into its words in order.

    Chinese is simplified, then segmented by jieba; a longer word stands beside those in it.
    """
    return [Word(written, stem(written)) for written in _analyzer().analyze(_segmented(simplify(clean(text))))]


def split_characters(text: str) -> list[str]:
    """Splits a text into its words as written, where every Chinese character, simplified, is a word."""
    written: list[str] = _analyzer().analyze(_spaced(simplify(clean(text))))
    return written


def match_key(text: str) -> str:
    """Returns a key that ignores punctuation, spaces, accents, case, inflection and Chinese script."""
    return " ".join(map(stem, split_characters(text)))


def has_accents(text: str) -> bool:
    """Whether a text may hold a Latin letter with an accent."""
    return not text.isascii() and _ACCENT.search(text) is not None


def spellings(text: str) -> list[tuple[str, str]]:
    """The words of a text as `Word.written` has them, each with its spelling in lower case with accents."""
    plain = clean(text)
    written = _analyzer().analyze(plain)
    return list(zip(written, _analyzer(fold=False).analyze(plain) if has_accents(plain) else written, strict=True))


@lru_cache(maxsize=_STEMS)
def stem(written: str) -> str:
    """The stem of a word as `Word.written` has it; an irregular plural has that of its singular."""
    # `clean` leaves no apostrophe: the genitive of "women" is "womens".
    plural = written if written in IRREGULAR_PLURALS else written.removesuffix("s")
    return str(_stemmer().analyze(IRREGULAR_PLURALS.get(plural, written))[0])


def content_words(all_words: list[Word]) -> list[Word]:
    """The words that say what is searched for; all of them where none does."""
    return [word for word in all_words if word.written not in fillers()] or all_words


def shared_words(text: str, others: Iterable[str]) -> list[str]:
    """Returns the words of a text that say something and that one of some other texts holds, as the text has them."""
    held = {word.stem for other in others for word in words(other)}
    return [word.written for word in content_words(words(text)) if word.stem in held]


def _spaced(text: str) -> str:
    return _HAN.sub(lambda run: " " + " ".join(run.group()) + " ", text)


def _segmented(text: str) -> str:
    return _HAN.sub(lambda run: " " + " ".join(_cut(run.group())) + " ", text)


def _cut(run: str) -> Iterator[str]:
    # Without its hidden Markov model an unknown word falls into characters, alike at both ends; with it, a word's
    # borders would depend on its neighbours.
    cut: Iterator[str] = _jieba().cut_for_search(run, HMM=False)
    return cut


def _jieba() -> Any:
    with _JIEBA_LOCK:
        return _loaded_jieba()


@lru_cache(maxsize=1)
def _loaded_jieba() -> Any:
    # Imported where the first Chinese text comes by: loading the dictionary takes a second and 150 MB.
    import jieba  # noqa: PLC0415

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # What `initialize` would do, less its cache: that is read from a shared temporary folder, where any user of the
    # machine may have put it.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


@lru_cache(maxsize=1)
def _to_simplified() -> Any:
    # As jieba: only who has Chinese pays for it, here 20 ms.
    import opencc  # noqa: PLC0415

    return opencc.OpenCC("t2s")


@lru_cache(maxsize=2)
def _analyzer(fold: bool = True) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_WORD)).filter(tantivy.Filter.lowercase())
    return (builder.filter(tantivy.Filter.ascii_fold()) if fold else builder).build()


@lru_cache(maxsize=1)
def _stemmer() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer("english")).build()
