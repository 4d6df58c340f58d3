"""What a query asks of the items' words, as tiers of queries to the engine, the surest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from cachetools import LRUCache
from tantivy import Occur, Query

from fuserank_ensemble.retrieval.lexical.codes import code_key, tells_apart
from fuserank_ensemble.retrieval.lexical.documents import items_schema, vocabulary_schema
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.lexical.words import (
    Word,
    content_words,
    han_runs,
    has_han,
    match_key,
    spellings,
    split_characters,
)
from fuserank_ensemble.understanding.phrases import find_phrases

# Tiers of the score. Within a tier BM25 adds less than WORDS_SCORE, so that tiers never mix.
CODE_SCORE = 180.0  # what scores as much is the item that the whole query names
VALUE_SCORE = 60.0
WORDS_SCORE = 30.0  # also the least score of what is certain: below it an item matches by a guess or in part
GUESS_SCORE = 15.0
LOOSE = 256  # items found until which those with only some of the words are taken
HEAD_BOOST = 4.0  # of words where a title names the thing itself; 0 for none
# Of an item whose category lists several things, the first of which the query names, see `documents.first_part`: about
# as much as BM25 gives for a query's words in a title.
_PART_SCORE = 100.0
_PAIR_BOOST = 0.5
_AMOUNT_BOOST = 3.0
_SPELLING_BOOST = 2.0  # of a word without accents, where items have it with and without
_ACCENTS_SCORE = 12.0  # of a word with the query's accents, where they have
# Two words that so many items hold say little by standing together, and finding where they do takes long.
_COMMON = 10_000
_HAN_BOOST = 0.3
_HAN_PHRASE_BOOST = 1.0
_CORRECTED_WEIGHT = 0.6
_CORRECTIONS = 3
_COMPLETIONS = 8
_COMPLETED_WEIGHT = 0.4
# A word that more than this share of the items (and more than _COMMON) hold says nothing by itself.
_COMMON_SHARE = 0.1
_CACHED_TERMS = 16_384  # whose numbers of items are kept: 3 MB
_CACHED_WORDS = 2_048  # whose completions and terms are kept: 4 MB
_RARE_SHARE = 0.02  # of the items whose title a filler may be in to add to a score


class TierBuilder:
    """Builds the tiers of a query.

    Their least scores: 180 where the query is an item's code, or begins one and is not words that an item has, 90 where
    a whole value (a title, a brand, one level of a category) equals the query or a code stands in it, 30 where an item
    has all of its words, 15 where it has all of what its unknown words may mean, and 0 for some of them.

    Args:
        index: The index that is searched.
    """

    def __init__(self, index: LexicalIndex) -> None:
        self._index = index
        self._schema = items_schema(len(index.boosts))
        self._vocabulary_schema = vocabulary_schema()
        self._fields = [(f"field{position}", boost) for position, boost in enumerate(index.boosts.values())]
        self._doc_freq = lru_cache(_CACHED_TERMS)(index.searcher.doc_freq)
        self._known_terms: LRUCache[Any, list[Query]] = LRUCache(_CACHED_WORDS)
        self._known_completions: LRUCache[Any, dict[str, float]] = LRUCache(_CACHED_WORDS)

    def build(
        self, text: str, query_words: list[Word], amounts: Sequence[Sequence[str]], share: float, is_certain: bool
    ) -> Iterator[tuple[float, Query]]:
        """Queries, best first, each with the least score of what it adds to the ones before.

        Args:
            text: The query.
            query_words: Its words.
            amounts: The keys of each size that it names.
            share: What share of the items is allowed.
            is_certain: Whether the words are as they were typed; what matches corrected ones is a guess.
        """
        content, key = list(dict.fromkeys(content_words(query_words))), match_key(text)
        # A filler that the shop itself uses adds to a score; no item has to have it.
        fillers = [{w.stem: 1.0} for w in dict.fromkeys(query_words) if w not in content and self._tells(w)]
        known = [self._is_known(word) for word in content]
        guesses = [
            {word.stem: 1.0} if is_known else self._guesses(word, word is content[-1])
            for word, is_known in zip(content, known, strict=True)
        ]
        # A word that nothing is known of excludes nothing.
        meanings = [stems for stems in guesses if stems]
        limits = self._phrases(text)
        terms = [*self._terms([*meanings, *fillers]), *self._amounts(amounts)]
        nearness = [
            *self._pairs(meanings),
            *self._heads(meanings),
            *([Query.const_score_query(self._term(key, "part"), _PART_SCORE)] if self._doc_freq("part", key) else []),
            *self._characters(text),
            *self._spellings(text, content),
        ]
        every = [Query.const_score_query(_any([self._term(stem) for stem in stems]), 0.0) for stems in meanings]
        # Words that all items with them have to have.
        of_words = _boolean([*every, *limits], [*terms, *nearness])
        begun = self._index.begun_codes(text)
        answers = begun is not None and all(known) and self._matches(of_words)
        yield from self._codes(text)
        if begun is not None and not answers:
            yield CODE_SCORE, Query.const_score_query(begun, 0.0)
        others = len(meanings) > 0
        if is_certain and self._doc_freq("value", key):
            whole = Query.const_score_query(self._term(key, "value"), 0.0)
            yield VALUE_SCORE + WORDS_SCORE, _boolean([whole, *limits], [*terms, *nearness])
            # Mostly what has all the words has them as that value: whether more does is found without scores.
            others = others and self._matches(_boolean([*every, *limits], [], [whole]))
        if others:
            yield WORDS_SCORE if is_certain and all(known) else GUESS_SCORE, of_words
        if begun is not None and answers:
            yield GUESS_SCORE, Query.const_score_query(begun, 0.0)
        last = {**self._completions(content[-1].written), **guesses[-1]}
        likely = [stems for stems in (*guesses[:-1], last) if stems]
        rare = likely if limits else self._distinctive(likely, share)
        terms = [*self._terms([*rare, *fillers]), *self._amounts(amounts), *self._characters(text)]
        yield 0.0, _boolean([_any(terms), *limits], []) if limits else _any(terms)

    def unknown_words(self, query_words: list[Word]) -> tuple[str, ...]:
        """Returns the words of a query that no item has, nor anything like them."""
        content = list(dict.fromkeys(content_words(query_words)))
        unknown = [word for word in content if not self._is_known(word)]
        return tuple(word.written for word in unknown if not self._guesses(word, word is content[-1]))

    def _codes(self, text: str) -> Iterator[tuple[float, Query]]:
        """The codes that are the whole query, or stand in it: each with the least score of the items that have it."""
        whole = self._known_code(text)
        if whole is not None:
            # Where a title or a brand is called the same, both are meant: films are called by numbers too.
            yield VALUE_SCORE + WORDS_SCORE if self._index.is_value(text) else CODE_SCORE, whole
            return
        parts = text.split()
        keys = [part for part in parts if any(map(str.isdigit, part)) and tells_apart(code_key(part))]
        codes = [code for part in dict.fromkeys(keys) if (code := self._known_code(part)) is not None]
        if codes:
            yield CODE_SCORE if len(codes) == len(parts) else VALUE_SCORE + WORDS_SCORE, _any(codes)

    def _known_code(self, text: str) -> Query | None:
        return Query.const_score_query(self._term(code_key(text), "code"), 0.0) if self._index.is_code(text) else None

    def _matches(self, query: Query) -> bool:
        return bool(self._index.searcher.search(query, 1, count=False).hits)

    def _spellings(self, text: str, content: Sequence[Word]) -> list[Query]:
        """The words as they are accented, where items have them with and without accents."""
        if not self._index.accented:
            return []
        written = {word.written for word in content}
        spelt = {spelling: word for word, spelling in spellings(text) if word in written}
        known = [spelling for spelling in spelt if self._doc_freq("spelling", spelling)]
        terms = {spelling: self._term(spelling, "spelling") for spelling in known}
        # Who types accents means them; who does not may be in a hurry.
        return [
            Query.boost_query(term, _SPELLING_BOOST)
            if spelling == spelt[spelling]
            else Query.const_score_query(term, _ACCENTS_SCORE)
            for spelling, term in terms.items()
        ]

    def _tells(self, word: Word) -> bool:
        """Whether a filler is in titles, and rare enough there to tell items apart."""
        return 0 < self._doc_freq("head", word.stem) <= _RARE_SHARE * self._index.items

    def _is_known(self, word: Word) -> bool:
        return self._doc_freq("all", word.stem) > 0

    def _guesses(self, word: Word, last: bool) -> dict[str, float]:
        """Stems that an unknown word of the query may stand for, with weights; none where nothing is like it."""
        return (self._completions(word.written) if last else {}) or self._corrections(word)

    def _amounts(self, amounts: Sequence[Sequence[str]]) -> list[Query]:
        """The sizes that the query names, in any unit."""
        return [Query.boost_query(_any([self._term(key, "amount") for key in keys]), _AMOUNT_BOOST) for keys in amounts]

    def _distinctive(self, meanings: list[dict[str, float]], share: float) -> list[dict[str, float]]:
        """The words that tell items apart, if one of them alone finds enough among the allowed items; else all.

        A word such as "ounce" is in half of a shop's items: it adds next to nothing to a score, and reading where it
        occurs takes longer than all the rest.
        """
        common = max(_COMMON, _COMMON_SHARE * self._index.items)
        counts = [max(self._doc_freq("all", stem) for stem in stems) for stems in meanings]
        kept = [stems for stems, count in zip(meanings, counts, strict=True) if count <= common]
        enough = any(share * count >= LOOSE for count in counts if count <= common)
        return kept if enough else meanings

    def _completions(self, written: str) -> dict[str, float]:
        if written not in self._known_completions:
            self._known_completions[written] = self._find_completions(written)
        return self._known_completions[written]

    def _find_completions(self, written: str) -> dict[str, float]:
        if len(written) < 2 or not written[0].isalpha() or has_han(written):
            return {}
        query = Query.fuzzy_term_query(self._vocabulary_schema, "written", written, distance=0, prefix=True)
        return self._vocabulary(query, _COMPLETIONS, _COMPLETED_WEIGHT)

    def _corrections(self, word: Word) -> dict[str, float]:
        if not word.written.isalpha() or has_han(word.written):
            return {}
        for distance, least in ((1, 4), (2, 8)):
            if len(word.written) >= least:
                # By the stem too: one wrong letter may keep the stemmer from what it would have cut off.
                near = [
                    Query.fuzzy_term_query(self._vocabulary_schema, field, text, distance)
                    for field, text in zip(("written", "stem"), word, strict=True)
                ]
                stems = self._vocabulary(_any(near), _CORRECTIONS, _CORRECTED_WEIGHT / distance)
                if stems:
                    return stems
        return {}

    def _vocabulary(self, query: Query, limit: int, weight: float) -> dict[str, float]:
        """Stems of the words found, the commonest first with the full weight."""
        searcher = self._index.vocabulary
        hits = searcher.search(query, limit, count=False, order_by_field="count").hits
        stems: list[str] = [str(searcher.doc(address).get_first("stem")) for _, address in hits]
        most = max((float(count) for count, _ in hits), default=1.0)
        weights = [weight * math.log1p(float(count)) / math.log1p(most) for count, _ in hits]
        return dict(reversed(list(zip(stems, weights, strict=True))))

    def _terms(self, meanings: list[dict[str, float]]) -> list[Query]:
        return [term for stems in meanings for stem, weight in stems.items() for term in self._terms_of(stem, weight)]

    def _terms_of(self, stem: str, weight: float) -> list[Query]:
        """A word in each field that has it: a search takes as long for a term that no item has."""
        key = (stem, weight)
        if key not in self._known_terms:
            self._known_terms[key] = [
                Query.boost_query(self._term(stem, field), boost * weight)
                for field, boost in self._fields
                if self._doc_freq(field, stem)
            ]
        return self._known_terms[key]

    def _pairs(self, meanings: list[dict[str, float]]) -> list[Query]:
        """Neighbours in the query that are neighbours in the item."""
        best = [max(stems, key=lambda stem: stems[stem]) for stems in meanings]
        common = [self._doc_freq("all", stem) > _COMMON for stem in best]
        return [
            Query.boost_query(self._phrase("all", [best[i], best[i + 1]], slop=1), _PAIR_BOOST)
            for i in range(len(best) - 1)
            if not (common[i] and common[i + 1])
        ]

    def _heads(self, meanings: list[dict[str, float]]) -> list[Query]:
        """The words where an item's title names the thing itself, and not what it goes with."""
        return [
            Query.boost_query(self._term(stem, "head"), HEAD_BOOST * weight)
            for stems in meanings
            for stem, weight in stems.items()
            if self._doc_freq("head", stem)
        ]

    def _characters(self, text: str) -> list[Query]:
        """The Chinese characters: they match where the dictionary's words do not occur or have other borders."""
        queries: list[Query] = []
        for run in han_runs(text) if self._index.han else ():
            queries += [Query.boost_query(self._term(c, "han"), _HAN_BOOST) for c in dict.fromkeys(run)]
            if len(run) > 1:
                queries.append(Query.boost_query(self._phrase("han", list(run)), _HAN_PHRASE_BOOST))
        return queries

    def _phrase(self, field: str, terms: list[str], slop: int = 0) -> Query:
        return Query.phrase_query(self._schema, field, [*terms], slop)

    def _phrases(self, text: str) -> list[Query]:
        """What every hit has to hold: the phrases in quotation marks."""
        limits = []
        for phrase in find_phrases(text):
            # By character, as a word's segmentation depends on its neighbours.
            spelt = split_characters(text[phrase.start : phrase.end])
            if len(spelt) == 1:
                limits.append(self._term(spelt[0], "spelt"))
            elif spelt:
                limits.append(self._phrase("spelt", spelt))
        return [Query.const_score_query(limit, 0.0) for limit in limits]

    def _term(self, stem: str, field: str = "all") -> Query:
        return Query.term_query(self._schema, field, stem, "freq")


def _boolean(must: Sequence[Query], should: Sequence[Query], must_not: Sequence[Query] = ()) -> Query:
    clauses = [(Occur.Must, query) for query in must]
    clauses += [(Occur.Should, query) for query in should]
    return Query.boolean_query(clauses + [(Occur.MustNot, query) for query in must_not])


def _any(queries: Sequence[Query]) -> Query:
    return queries[0] if len(queries) == 1 else _boolean([], queries)
