"""Query completion while typing: from titles and logged queries, the most popular first."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Occur, Query

from fuserank_ensemble.catalog.filters import CATEGORY_SEPARATOR, Columns
from fuserank_ensemble.catalog.text import collapse
from fuserank_ensemble.retrieval.lexical.cuts import LONGEST_SHOWN, cut_middle, cut_phrase
from fuserank_ensemble.retrieval.lexical.tantivy_files import finish, index_writer, open_searcher
from fuserank_ensemble.retrieval.lexical.words import MAX_CHARACTERS, has_han, split_characters

LONGEST_QUERY = 100  # characters of a logged query that is suggested; nobody would want a longer one
NAMED_BY = ("brand", "category")  # the fields whose values are phrases, too
_LONGEST_KEY = 1_000  # characters of a phrase that a prefix is compared with
# Prefixes up to this long are terms of their own: what begins so is one posting list, however much it is.
_START = 12
_TOP = 100
_PREFIX_WORDS = 12

Completion = tuple[str, float]


def collect_phrases(
    titles: Sequence[str],
    popularity: NDArray[np.float32],
    queries: Mapping[str, int],
    columns: Columns | None = None,
    spoken: Callable[[str], str] = str,
) -> Iterator[Completion]:
    """Yields the phrases that may be suggested, each with its popularity; `Suggester.write` merges equal ones.

    Args:
        titles: The items' titles `[items]`.
        popularity: The items' popularity `[items]`.
        queries: How often each query was logged.
        columns: The items' fields, whose brands and categories are suggested, too; None for neither.
        spoken: Shortens a title or a name to what may be suggested; empty where nothing of it may.

    Raises:
        ValueError: Where `titles` and `popularity` differ in length.
    """
    if len(titles) != len(popularity):
        raise ValueError(f"titles and popularity: found {len(titles)} and {len(popularity)}; allowed: equally many")
    asked = ((query, float(count)) for query, count in queries.items() if len(query) <= LONGEST_QUERY)
    titled = zip(map(spoken, titles), map(float, popularity), strict=True)
    named = () if columns is None else ((spoken(name), count) for name, count in _names(columns, popularity).items())
    return chain(titled, named, asked)


def _names(columns: Columns, popularity: NDArray[np.float32]) -> dict[str, float]:
    """Returns the brands and the categories' own names, each with the popularity of its items."""
    names: dict[str, float] = {}
    for field in NAMED_BY:
        column = columns.by_name.get(field)
        if column is None or column.kind not in ("keyword", "category"):
            continue
        known = column.values >= 0
        counts = np.bincount(column.values[known], popularity[known], minlength=len(column.words))
        for word, count in zip(column.words, counts.tolist(), strict=True):
            for name in word.split(CATEGORY_SEPARATOR) if column.kind == "category" else (word,):
                names[name] = names.get(name, 0.0) + count
    return names


class Suggester:
    """Completions of a prefix; see `complete`."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self._searcher = searcher
        self._schema = _schema()
        self._top = self._extend({}, Query.all_query(), min(_TOP, searcher.num_docs))

    @staticmethod
    def write(folder: Path, phrases: Iterable[Completion]) -> int:
        """Writes the phrases, equal ones merged and their popularity summed up; those without any word are left out.

        Returns:
            How many phrases were written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        texts, totals = _merge(phrases)
        writer = index_writer(folder, _schema())
        # Sorted twice, the second time in an array: a million pairs to compare took 80 MB.
        by_text = np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int32)
        order = by_text[np.argsort(-np.asarray(totals)[by_text], kind="stable")]
        for place, number in enumerate(order.tolist()):
            writer.add_document(phrase_document(place, texts[number], totals[number]))
        finish(writer, folder)
        return len(texts)

    @classmethod
    def open(cls, folder: Path) -> Suggester:
        """Maps the phrases; the folder may be read-only and stays as it is."""
        return cls(open_searcher(folder))

    def __len__(self) -> int:
        return int(self._searcher.num_docs)

    def has_key(self, key: str) -> bool:
        """Whether there is a phrase with a key, see `phrase_key`."""
        return self._searcher.doc_freq("key", key) > 0

    def complete(
        self, prefix: str, count: int, hidden: Collection[str] = frozenset(), habits: Sequence[str] = ()
    ) -> list[Completion]:
        """Phrases that a prefix may become, as they are written, each with its popularity.

        First those that begin with the prefix, then those that hold its words in any order (the last one as a
        beginning), then, from four characters on, those within one wrong character of it, or two from eight. A long
        phrase is cut, and an ellipsis says where.

        Args:
            prefix: What is typed so far; empty for the most popular phrases.
            count: How many are wanted.
            hidden: Keys of the phrases that are not shown, see `phrase_key`.
            habits: What the user's items are called, dearest first: of what fits as well it comes first.
        """
        spelt = split_characters(prefix)[-_PREFIX_WORDS:]
        if count < 1 or not self._searcher.num_docs:
            return []
        own = {key: habit for habit in habits if (key := phrase_key(habit)) and key not in hidden}
        if not spelt:
            if own:
                dearest = self._extend(self._known(list(own)[:count]), Query.all_query(), count, hidden)
                return _cut(list(dearest.items())[:count], spelt)
            if count <= len(self._top) and not hidden:
                return _cut(list(self._top.items())[:count], spelt)
            return _cut(list(self._extend({}, Query.all_query(), count, hidden).items())[:count], spelt)
        completions: dict[str, float] = {}
        # A space after the last word says that it is whole.
        ended = prefix[-1:].isspace()
        fitting = [_beginning_with(own, spelt, ended), _holding_words(own, spelt, ended), []]
        for query, keys in zip(self._queries(spelt, ended), fitting, strict=True):
            completions |= {
                phrase: worth for phrase, worth in self._known(keys[:count]).items() if phrase not in completions
            }
            completions = self._extend(completions, query, count, hidden)
            if len(completions) >= count:
                break
        return _cut(list(completions.items())[:count], spelt)

    def _known(self, keys: Sequence[str]) -> dict[str, float]:
        """The phrases with some keys, in their order, each with its popularity; a key without a phrase has none."""
        known: dict[str, float] = {}
        for key in keys:
            hits = self._searcher.search(Query.term_query(self._schema, "key", key, "basic"), 1, count=False).hits
            for _, address in hits:
                document = self._searcher.doc(address)
                known[str(document.get_first("text"))] = float(document.get_first("popularity") or 0.0)
        return known

    def _queries(self, spelt: list[str], ended: bool) -> Iterator[Query]:
        yield self._beginning(" ".join(spelt) + " " * ended)
        yield self._holding(spelt, ended)
        yield self._nearly(spelt, ended)

    def _beginning(self, start: str) -> Query:
        query = Query.term_query(self._schema, "start", start[:_START], "basic")
        if len(start) <= _START:
            return query
        return self._begins("key", start)

    def _holding(self, spelt: list[str], ended: bool) -> Query:
        *earlier, last = spelt
        clauses = [self._word(word) for word in earlier]
        if ended:
            clauses.append(self._word(last))
        elif len(last) <= _START:
            clauses.append(Query.term_query(self._schema, "begun", last, "basic"))
        else:
            clauses.append(self._begins("word", last))
        return _all(clauses)

    def _nearly(self, spelt: list[str], ended: bool) -> Query:
        last = len(spelt) - 1
        return _all([self._near(word, position == last and not ended) for position, word in enumerate(spelt)])

    def _near(self, word: str, begun: bool) -> Query:
        distance = (len(word) >= 4) + (len(word) >= 8)
        if not distance or has_han(word) or not word.isalpha():
            return self._holding([word], ended=not begun)
        return Query.fuzzy_term_query(self._schema, "word", word, distance, prefix=begun)

    def _begins(self, field: str, start: str) -> Query:
        return Query.fuzzy_term_query(self._schema, field, start, distance=0, prefix=True)

    def _word(self, word: str) -> Query:
        return Query.term_query(self._schema, "word", word, "basic")

    def _extend(
        self, completions: Mapping[str, float], query: Query, count: int, hidden: Collection[str] = frozenset()
    ) -> dict[str, float]:
        """The completions so far, followed by the most popular phrases that a query matches and that are not hidden."""
        extended = dict(completions)
        limit = max(count + len(completions) + len(hidden), 1)
        hits = self._searcher.search(query, limit, count=False, order_by_field="place", order=tantivy.Order.Asc).hits
        for _, address in hits:
            document = self._searcher.doc(address)
            text = str(document.get_first("text"))
            if not hidden or phrase_key(text) not in hidden:
                extended.setdefault(text, float(document.get_first("popularity") or 0.0))
        return extended


def _beginning_with(keys: Iterable[str], spelt: Sequence[str], ended: bool) -> list[str]:
    """Returns the keys that begin with what was typed."""
    start = " ".join(spelt)
    return [key for key in keys if (f"{key} ".startswith(f"{start} ") if ended else key.startswith(start))]


def _holding_words(keys: Iterable[str], spelt: Sequence[str], ended: bool) -> list[str]:
    """Returns the keys that hold the words that were typed, the last one as a beginning unless it is whole."""
    *earlier, last = spelt
    held = [(key, key.split()) for key in keys]
    return [
        key
        for key, words in held
        if set(earlier) <= set(words) and (last in words if ended else any(word.startswith(last) for word in words))
    ]


def _cut(completions: Sequence[Completion], typed: Sequence[str]) -> list[Completion]:
    """The phrases as they are shown, without repeats: of long ones that begin alike the ends are shown too."""
    shown: dict[str, float] = {}
    for text, popularity in completions:
        cut = cut_phrase(text, typed)
        if cut in shown and len(text) > LONGEST_SHOWN:
            cut = cut_middle(text)
        shown.setdefault(cut, popularity)
    return list(shown.items())


def _merge(phrases: Iterable[Completion]) -> tuple[list[str], array[float]]:
    """Returns the heaviest phrase of each key, and the sum of the popularity of all that have the key, `[keys]`.

    As arrays by number: a tuple for each of a million keys took twice the memory.
    """
    numbers: dict[str, int] = {}
    heaviest, least, totals = list[str](), array("d"), array("d")  # the heaviest phrase, its weight below zero, the sum
    for text, weight in phrases:
        # As it is written: what search makes of it is compared, never shown.
        phrase = collapse(text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8"))
        phrase = text if phrase == text else phrase  # no second copy of a title
        key = phrase_key(phrase)
        if not key:
            continue
        # A log or a popularity may be broken; one broken number must not decide the order of all.
        counted = weight if math.isfinite(weight) and weight > 0 else 0.0
        number = numbers.setdefault(key, len(heaviest))
        if number == len(heaviest):
            heaviest.append(phrase)
            least.append(-weight)
            totals.append(counted)
            continue
        totals[number] += counted
        least[number], heaviest[number] = min((least[number], heaviest[number]), (-weight, phrase))
    return heaviest, totals


def phrase_key(text: str) -> str:
    """Returns what phrases that differ in case, punctuation and white space alone have in common."""
    return " ".join(split_characters(text))[:_LONGEST_KEY]


def phrase_document(place: int, text: str, weight: float) -> tantivy.Document:
    """A phrase of the index: its place among all, the most popular first, and its popularity."""
    spelt = split_characters(text)
    key = phrase_key(text)
    document = tantivy.Document()
    document.add_unsigned("place", place)
    document.add_text("text", text)
    document.add_float("popularity", weight)
    document.add_text("key", key)
    for end in range(1, min(len(key), _START) + 1):
        document.add_text("start", key[:end])
    for word in dict.fromkeys(spelt):
        document.add_text("word", word)
    for start in {word[:end] for word in spelt for end in range(1, min(len(word), _START) + 1)}:
        document.add_text("begun", start)
    return document


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder().add_unsigned_field("place", fast=True)
    builder = builder.add_text_field("text", stored=True, tokenizer_name="raw", index_option="basic")
    builder = builder.add_float_field("popularity", stored=True)
    for name in ("key", "start", "word", "begun"):
        builder = builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _all(queries: Sequence[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, query) for query in queries])
