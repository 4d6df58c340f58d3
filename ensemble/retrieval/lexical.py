"""Items whose words match the query: BM25 by tantivy over the catalogue's fields, in tiers."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Occur, Query

from ensemble.filters import CATEGORY_SEPARATOR, Mask
from ensemble.retrieval.channel import Hits, Question
from ensemble.retrieval.tantivy_files import finish, index_writer, open_searcher
from ensemble.retrieval.words import Word, characters, clean, content, han_runs, has_han, key, words

# Tiers of the score. Within a tier BM25 adds less than WORDS_SCORE, so that tiers never mix.
VALUE_SCORE = 60.0
WORDS_SCORE = 30.0
# The BM25 that adds half of WORDS_SCORE.
_HALF_WAY = 15.0
_PAIR_BOOST = 0.5
# Two words that so many items hold say little by standing together, and finding where they do takes long.
_COMMON = 20_000
_HAN_BOOST = 0.3
_HAN_PHRASE_BOOST = 1.0
_CORRECTED_WEIGHT = 0.6
_CORRECTIONS = 3
_COMPLETIONS = 8
_COMPLETED_WEIGHT = 0.4
# Beyond this many words or characters a query is a text; its beginning says what is wanted.
_QUERY_WORDS = 32
_QUERY_CHARACTERS = 300
_VALUE_CHARACTERS = 100
# Up to this many allowed rows the engine is told them; beyond, it is asked for more hits than needed.
_FEW_ALLOWED = 2_000
# How deep to look for rows that tie with the last one.
_TIE_ROWS = 4_096
_LOOSE = 256  # items found until which those with only some of the words are taken
_QUOTED = re.compile('["“”„«»]([^"“”„«»]+)["“”„«»]')
_SETTINGS = "lexical.json"


@dataclass(frozen=True)
class LexicalIndex:
    """An index of `items` documents, one an item row.

    Attributes:
        items: Documents.
        boosts: Boost of each field.
        han: Whether any text holds Chinese.
        searcher: The documents.
        vocabulary: The words as written, with their stems.
    """

    items: int
    boosts: Mapping[str, float]
    han: bool
    searcher: tantivy.Searcher
    vocabulary: tantivy.Searcher

    @classmethod
    def write(cls, folder: Path, records: Sequence[Mapping[str, Any]], fields: Mapping[str, float]) -> int:
        """Writes the index.

        Args:
            folder: Where to; it must not exist or be empty.
            records: The items in the order of their rows; values are strings, lists of strings, or missing.
            fields: The fields to index, each with its boost.

        Returns:
            How many documents hold at least one word.

        Raises:
            ValueError: Without fields, or on a boost that is not above zero.
        """
        _check(fields)
        (folder / "items").mkdir(parents=True)
        (folder / "vocabulary").mkdir()
        seen: Counter[Word] = Counter()
        han, filled = False, 0
        writer = index_writer(folder / "items", _items_schema(len(fields)))
        for row, record in enumerate(records):
            values = [[_analysed(text) for text in _values(record.get(name))] for name in fields]
            found = {word for field in values for value in field for word in value.words}
            seen.update(found)
            filled += bool(found)
            han = han or any(value.runs for field in values for value in field)
            writer.add_document(_document(row, values))
        _analysed.cache_clear()
        finish(writer, folder / "items")
        writer = index_writer(folder / "vocabulary", _vocabulary_schema())
        for word, count in sorted(seen.items()):
            document = tantivy.Document()
            document.add_text("written", word.written)
            document.add_text("stem", word.stem)
            document.add_unsigned("count", count)
            writer.add_document(document)
        finish(writer, folder / "vocabulary")
        settings = {"items": len(records), "fields": dict(fields), "han": han}
        (folder / _SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), "utf-8")
        return filled

    @classmethod
    def open(cls, folder: Path) -> LexicalIndex:
        """Maps an index; the folder may be read-only and stays as it is."""
        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        return cls(
            settings["items"],
            settings["fields"],
            settings["han"],
            open_searcher(folder / "items"),
            open_searcher(folder / "vocabulary"),
        )


class Lexical:
    """Items by their words.

    Scores: 60 where a whole value (a title, a brand, one level of a category) equals the query, 30 where an item has
    all of its words, and below 30 for BM25.

    Args:
        index: The index.
        items: Size of the catalogue.
        place: Each item's position by popularity, int64 `[items]`, which orders equal scores; None for the row.

    Raises:
        ValueError: Where index and catalogue differ in size.
    """

    name = "lexical"

    def __init__(self, index: LexicalIndex, items: int, place: NDArray[np.int64] | None = None) -> None:
        if index.items != items:
            raise ValueError(f"lexical index of {index.items} items, catalogue of {items}: export both together")
        self._index = index
        self._place = np.arange(items, dtype=np.int64) if place is None else place
        self._schema = _items_schema(len(index.boosts))
        self._vocabulary_schema = _vocabulary_schema()

    def search(self, questions: Sequence[Question], depth: int) -> list[Hits]:
        """See `Channel`."""
        return [self._search(question, depth) for question in questions]

    def _search(self, question: Question, depth: int) -> Hits:
        text = clean(question.query)[:_QUERY_CHARACTERS]
        found = words(text)[:_QUERY_WORDS]
        allowed = 0 if question.allowed is None else int(np.count_nonzero(question.allowed))
        if not found or depth < 1 or not self._index.items or (question.allowed is not None and not allowed):
            return Hits.none()
        rows, scores = np.empty(0, np.int64), np.empty(0, np.float64)
        for base, query in self._tiers(text, found):
            # Some of the words is little evidence: a long list of it would only cost time.
            room = depth if base else min(depth, max(_LOOSE, len(rows)))
            if len(rows) >= room:
                break
            # A tier also finds what the ones above it found. Leaving that out here lets tantivy skip blocks.
            got, bm25 = self._collect(query, room + len(rows), question.allowed, allowed)
            new = ~np.isin(got, rows)
            rows = np.concatenate([rows, got[new]])
            scores = np.concatenate([scores, base + WORDS_SCORE * bm25[new] / (bm25[new] + _HALF_WAY)])
        return Hits(rows[:depth].astype(np.int32), scores[:depth].astype(np.float32))

    def _tiers(self, text: str, found: list[Word]) -> Iterator[tuple[float, Query]]:
        """Queries, best first, each with the least score of what it adds to the ones before."""
        known = list(dict.fromkeys(content(found)))
        sure = [self._meanings(word, word is known[-1]) for word in known]
        limits = self._phrases(text)
        terms = self._terms(sure)
        nearness = [*self._pairs(sure), *self._characters(text)]
        whole = Query.const_score_query(self._term(key(text), "value"), 0.0)
        yield VALUE_SCORE + WORDS_SCORE, _boolean([whole, *limits], [*terms, *nearness])
        if len(sure) == 1 and not limits and not nearness:
            yield WORDS_SCORE, _boolean([], terms)
        else:
            every = [Query.const_score_query(_boolean([], [self._term(t) for t in stems]), 0.0) for stems in sure]
            yield WORDS_SCORE, _boolean([*every, *limits], [*terms, *nearness])
        likely = [*sure[:-1], {**self._completions(known[-1].written), **sure[-1]}]
        terms = [*self._terms(likely), *self._characters(text)]
        yield 0.0, _boolean([_boolean([], terms), *limits] if limits else [], [] if limits else terms)

    def _meanings(self, word: Word, last: bool) -> dict[str, float]:
        """Stems that a word of the query stands for, with weights: itself or, where unknown, what it may be."""
        if self._index.searcher.doc_freq("all", word.stem):
            return {word.stem: 1.0}
        return (self._completions(word.written) if last else {}) or self._corrections(word) or {word.stem: 1.0}

    def _completions(self, written: str) -> dict[str, float]:
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
                found = self._vocabulary(_boolean([], near), _CORRECTIONS, _CORRECTED_WEIGHT / distance)
                if found:
                    return found
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
        return [
            Query.boost_query(self._term(stem, f"field{position}"), boost * weight)
            for stems in meanings
            for stem, weight in stems.items()
            for position, boost in enumerate(self._index.boosts.values())
        ]

    def _pairs(self, meanings: list[dict[str, float]]) -> list[Query]:
        """Neighbours in the query that are neighbours in the item."""
        best = [max(stems, key=lambda stem: stems[stem]) for stems in meanings]
        common = [self._index.searcher.doc_freq("all", stem) > _COMMON for stem in best]
        return [
            Query.boost_query(self._phrase("all", [best[at], best[at + 1]], slop=1), _PAIR_BOOST)
            for at in range(len(best) - 1)
            if not (common[at] and common[at + 1])
        ]

    def _characters(self, text: str) -> list[Query]:
        """Finds items where the dictionary's words do not occur, or where their borders differ."""
        found: list[Query] = []
        for run in han_runs(text) if self._index.han else ():
            found += [Query.boost_query(self._term(c, "han"), _HAN_BOOST) for c in dict.fromkeys(run)]
            if len(run) > 1:
                found.append(Query.boost_query(self._phrase("han", list(run)), _HAN_PHRASE_BOOST))
        return found

    def _phrase(self, field: str, terms: list[str], slop: int = 0) -> Query:
        return Query.phrase_query(self._schema, field, [*terms], slop)

    def _phrases(self, text: str) -> list[Query]:
        """What every hit has to hold: the phrases in quotation marks."""
        limits = []
        for quoted in _QUOTED.findall(text):
            # By character, as a word's segmentation depends on its neighbours.
            spelt = characters(quoted)
            if len(spelt) == 1:
                limits.append(self._term(spelt[0], "spelt"))
            elif spelt:
                limits.append(self._phrase("spelt", spelt))
        return [Query.const_score_query(limit, 0.0) for limit in limits]

    def _term(self, stem: str, field: str = "all") -> Query:
        return Query.term_query(self._schema, field, stem, "freq")

    def _collect(
        self, query: Query, depth: int, allowed: Mask | None, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `depth` best allowed rows of a query, ties by popularity, with their BM25."""
        items, searcher = self._index.items, self._index.searcher
        limit = depth + 1
        if allowed is not None and count <= _FEW_ALLOWED:
            inside = Query.term_set_query(self._schema, "row", [int(row) for row in np.flatnonzero(allowed)])
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, Query.const_score_query(inside, 0.0))])
            limit = max(count, 1)
        elif allowed is not None:
            limit = math.ceil(1.2 * limit * items / count)
        while True:
            limit = min(limit, items)
            hits = searcher.search(query, limit, count=False).hits
            rows = np.array(searcher.fast_field_values("row", [address for _, address in hits]), np.int64)
            scores = np.array([score for score, _ in hits], np.float64)
            last = scores[-1] if len(scores) else 0.0
            complete = len(hits) < limit or limit == items
            if allowed is not None:
                kept = allowed[rows]
                rows, scores = rows[kept], scores[kept]
            straddles = len(rows) >= depth and scores[depth - 1] == last and limit < _TIE_ROWS
            if complete or (len(rows) >= depth and not straddles):
                break
            limit = max(4 * limit, _TIE_ROWS if straddles else 0)
        order = np.lexsort((self._place[rows], -scores))[:depth]
        return rows[order], scores[order]


def _items_schema(fields: int) -> tantivy.Schema:
    builder = tantivy.SchemaBuilder().add_unsigned_field("row", indexed=True, fast=True)
    for position in range(fields):
        builder = builder.add_text_field(f"field{position}", tokenizer_name="whitespace", index_option="freq")
    for name in ("all", "han", "spelt"):
        builder = builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    return builder.add_text_field("value", tokenizer_name="raw", index_option="basic").build()


def _vocabulary_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder().add_text_field("written", tokenizer_name="raw", index_option="basic")
    builder = builder.add_text_field("stem", True, tokenizer_name="raw", index_option="basic")
    return builder.add_unsigned_field("count", fast=True).build()


class _Value(NamedTuple):
    """One text of an item, analysed."""

    words: tuple[Word, ...]
    stems: str
    spelt: str
    runs: tuple[str, ...]
    key: str


# Brands, levels of categories and titles repeat.
@lru_cache(maxsize=50_000)
def _analysed(text: str) -> _Value:
    found = tuple(words(text))
    short = key(text) if len(text) <= _VALUE_CHARACTERS else ""
    stems = " ".join(word.stem for word in found)
    return _Value(found, stems, " ".join(characters(text)), tuple(" ".join(run) for run in han_runs(text)), short)


def _document(row: int, values: list[list[_Value]]) -> tantivy.Document:
    document = tantivy.Document()
    document.add_unsigned("row", row)
    for position, field in enumerate(values):
        for value in field:
            document.add_text(f"field{position}", value.stems)
            document.add_text("all", value.stems)
            document.add_text("spelt", value.spelt)
            for run in value.runs:
                document.add_text("han", run)
            if value.key:
                document.add_text("value", value.key)
    return document


def _values(value: Any) -> list[str]:
    """A field's texts: every element of a list, every level of a category path."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, (list, tuple)):
        return [text for element in value for text in _values(element)]
    return [text for level in str(value).split(CATEGORY_SEPARATOR) if (text := clean(level))]


def _check(fields: Mapping[str, float]) -> None:
    if not fields:
        raise ValueError("lexical fields: found none; name at least one field with its boost, as in title=3")
    for name, boost in fields.items():
        if not (math.isfinite(boost) and boost > 0):
            raise ValueError(f"lexical fields: {name} has boost {boost}; allowed: a number above 0")


def _boolean(must: Sequence[Query], should: Sequence[Query]) -> Query:
    return Query.boolean_query([*((Occur.Must, query) for query in must), *((Occur.Should, query) for query in should)])
