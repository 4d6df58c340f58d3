"""Learns from the log what queries mean whose words no item has: the words of what people took for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import binom
from sklearn.feature_extraction.text import CountVectorizer

from fuserank_ensemble.catalog.synonyms import Synonyms, split_tokens
from fuserank_ensemble.catalog.text import normalise
from fuserank_ensemble.retrieval.lexical.words import has_han, words
from fuserank_ensemble.understanding.fillers import fillers
from fuserank_export.sources.interactions import Interactions

LEAST_USERS = 5  # that searched for a phrase: fewer are no evidence of what people mean
LEAST_SHARE = 0.6  # of what they took, that has the word of the catalogue
CHANCE = 0.001  # that any pair is learned that has nothing to do with each other
# Another word of the catalogue belongs to the first where it explains nearly as much: "soft drinks" for "coke". Longer
# phrases are no synonyms.
AS_TELLING, MOST_WORDS = 0.9, 3
_FIELDS = ("title", "brand", "category")
_ITEMS = 10  # most taken ones, that the words are looked up in


def learn_synonyms(
    log: Interactions,
    records: Sequence[Mapping[str, Any]],
    known: Synonyms,
    has_word: Callable[[str], bool],
    before: float,
    *,
    least_users: int = LEAST_USERS,
) -> dict[str, str]:
    """Returns what replaces words of queries that no item has, by such a phrase, in the order of the alphabet.

    A word of the catalogue explains a phrase where the items taken for it have the word far more often than the items
    that people take at all: the binomial tail is below `CHANCE` divided by the number of pairs (Bonferroni). Of several
    the one with the highest likelihood ratio is taken. What a user took several times for a query counts once.

    Args:
        log: The log.
        records: The catalogue as it is searched, by row.
        known: The shop's own synonyms; their phrases are left alone.
        has_word: Whether an item has a word, given in lower case.
        before: Epoch seconds; later events are not looked at.
        least_users: That have searched for a phrase.
    """
    unknown = _unknown_phrases(log.queries, known, has_word)
    earlier = log.timestamp < before
    searched = earlier & (log.query >= 0)
    if not any(unknown) or not searched.any():
        return {}
    rows, counts = np.unique(_distinct(log.user[earlier], log.item[earlier])[1], return_counts=True)
    query, user, taken = _distinct(log.query[searched], log.user[searched], log.item[searched])
    item = np.searchsorted(rows, taken)
    of_query = CountVectorizer(analyzer=list, binary=True, dtype=np.int64)
    events = of_query.fit_transform(unknown)[query]  # [events, phrases]
    of_item = CountVectorizer(analyzer=list, binary=True, dtype=np.int64)
    held = of_item.fit_transform([_stems(records[row]) for row in rows])  # [items taken, words of the catalogue]
    users = np.asarray((_sums(user, len(log.user_ids)) @ events > 0).sum(0)).ravel()
    by_item = (_sums(item, len(rows)) @ events).multiply(users >= least_users).tocsc()
    pairs = (by_item.T @ held).tocsr()  # how often a word of the catalogue was taken for a phrase
    totals = np.asarray(events.sum(0)).ravel()
    chance = counts @ held / counts.sum()
    phrase = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    telling = _likelihood_ratios(pairs.data, totals[phrase], chance[pairs.indices])
    stems, replacements = of_item.get_feature_names_out(), dict[str, str]()
    for position, name in enumerate(of_query.get_feature_names_out()):
        start, end = pairs.indptr[position : position + 2]
        likeliest = start + np.argsort(-telling[start:end], kind="stable")[:MOST_WORDS]
        least = AS_TELLING * telling[start:end].max(initial=0.0)
        meant = {str(stems[pairs.indices[i]]) for i in likeliest if telling[i] >= least > 0}
        most_taken = np.argsort(-by_item[:, [position]].toarray().ravel(), kind="stable")
        if replacement := _as_written(meant, [records[rows[i]] for i in most_taken[:_ITEMS]]):
            replacements[str(name)] = replacement
    return replacements


def _distinct(*columns: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns the distinct rows of a table as columns, sorted, int32 `[columns, rows]`."""
    distinct: NDArray[np.int32] = np.unique(np.stack(columns), axis=1)
    return distinct


def _sums(group: NDArray[np.int64], groups: int) -> csr_matrix:
    """Returns the matrix that sums events by group, int64 `[groups, events]`."""
    return csr_matrix((np.ones(len(group), np.int64), (group, np.arange(len(group)))), (groups, len(group)))


def _unknown_phrases(queries: Sequence[str], known: Synonyms, has_word: Callable[[str], bool]) -> list[list[str]]:
    """Returns for each query the phrase that it is, where no item and no synonym has a word of it; else nothing.

    A query with other words beside tells less: what people took for "comfy sofa" is no meaning of "comfy". Chinese is
    left out: which characters are a word is the segmenter's guess.
    """
    passed_over, with_meaning = fillers(), frozenset(known.words)

    def is_unknown(word: str) -> bool:
        return word.isalpha() and not has_han(word) and word not in with_meaning and not has_word(word)

    phrases = []
    for query in queries:
        tokens = [word for word in split_tokens(normalise(query).lower()) if word not in passed_over]
        is_phrase = 0 < len(tokens) <= MOST_WORDS and all(map(is_unknown, tokens))
        phrases.append([" ".join(tokens)] if is_phrase else [])
    return phrases


def _likelihood_ratios(
    together: NDArray[np.int64], totals: NDArray[np.int64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the logarithm of the likelihood ratio of each pair of words, 0 where it may be chance, `[pairs]`."""
    share = together / totals
    ratios: NDArray[np.float64] = together * np.log(share / chance)
    by_chance = binom.sf(together - 1, totals, chance)
    ratios[(share < LEAST_SHARE) | (by_chance * len(together) > CHANCE)] = 0.0
    return ratios


def _stems(record: Mapping[str, Any]) -> set[str]:
    """Returns the stems of an item's words; a single letter is a unit, such as of litres, or a Chinese word."""
    return {
        word.stem
        for word in _words(record)
        if word.written.isalpha() and (len(word.written) > 1 or has_han(word.written))
    }


def _as_written(stems: set[str], records: Sequence[Mapping[str, Any]]) -> str:
    """Returns the words of these stems in the order of the first item that has them all; empty where none has."""
    for record in records if stems else ():
        written = {word.stem: word.written for word in _words(record) if word.stem in stems}
        if len(written) == len(stems):
            return " ".join(written.values())
    return ""


def _words(record: Mapping[str, Any]) -> list[Any]:
    return [word for name in _FIELDS if record.get(name) for word in words(str(record[name]))]
